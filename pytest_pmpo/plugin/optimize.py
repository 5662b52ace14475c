"""``--pmpo-optimize``: when the gate has run, improve the prompts this run has judged, each under its first model.

Prompts are found by what was judged, so ``-k``, paths and ``--lf`` choose them. Only the process that sees all results
does it: never a worker of pytest-xdist.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from rich.console import Console

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.optimize import OUT, Finished, Wanted, optimize
from pytest_pmpo.app.project import Task
from pytest_pmpo.app.results import Result, Results
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.report.optimize_live import LiveTable
from pytest_pmpo.report.text import visible_characters


def run(config: pytest.Config, checker: Checker, results: Results, session: pytest.Session) -> None:
    """Optimize, printing as it goes. Trouble with a prompt is printed, fails the run and keeps no other from its turn.

    Ctrl-C ends the prompt at hand with its best so far, and the rest is left.
    """
    reporter = config.pluginmanager.getplugin("terminalreporter")
    reporter.write_sep("-", "optimize")
    if session.exitstatus == pytest.ExitCode.INTERRUPTED:
        reporter.write_line("pmpo: nothing is optimized: the run was interrupted")
        return
    _silence(checker)
    tasks = list(_tasks(checker, results))
    if not tasks:
        reporter.write_line("pmpo: nothing to optimize: no prompt was judged")
    for task in tasks:
        try:
            finished = _optimize(config, checker, task)
        except PmpoError as error:
            reporter.write_line(f"pmpo: error: {visible_characters(str(error))}", red=True)
            _fail(session)
            continue
        except KeyboardInterrupt:  # before there was anything to conclude
            reporter.write_line("pmpo: stopped by Ctrl-C")
            session.exitstatus = pytest.ExitCode.INTERRUPTED
            return
        for line in finished.lines():
            reporter.write_line(line)
        if finished.result.ending == "failed":
            _fail(session)
        if finished.result.ending == "interrupted":
            session.exitstatus = pytest.ExitCode.INTERRUPTED
            return


def _optimize(config: pytest.Config, checker: Checker, task: Task) -> Finished:
    listener = LiveTable(Console())
    wanted = Wanted(rounds=config.getoption("pmpo_optimize_rounds"), out=config.invocation_params.dir / OUT)
    try:
        return optimize(checker, task, wanted, listener, os.environ)
    finally:
        listener.close()


def _tasks(checker: Checker, results: Results) -> Iterator[Task]:
    """What was judged, in the order of the tests. The workers' tasks are theirs, so files are read again here."""
    judged = dict.fromkeys(
        (one.entry.path, one.entry.verdict.prompt) for one in results.found.values() if isinstance(one, Result)
    )
    for path, label in judged:
        found = [task for task in checker.project.tasks(path) if task.label == label]
        yield from (task for task in found if task.model == task.settings.models[0])


def _silence(checker: Checker) -> None:
    """The gate's progress line and the table would write over each other."""
    checker.models.progress = None
    for engine in checker.models.engines():
        engine.scorer.progress = None


def _fail(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
