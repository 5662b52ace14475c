"""The active plugin: which prompts are collected, what is printed, what is written.

One instance per session, registered by ``activate`` and kept in ``config.stash``. Under pytest-xdist the workers judge;
only the controller prints and writes files, from what travels in the test reports.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from pytest_pmpo.app import builtin
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.extensions import ENTRY_POINTS, Extensions
from pytest_pmpo.app.header import header_lines
from pytest_pmpo.app.outputs import make_report, note_lines
from pytest_pmpo.app.project import Project
from pytest_pmpo.app.results import Results, Work, from_plain, to_plain
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.options import Given, given
from pytest_pmpo.plugin import outputs
from pytest_pmpo.plugin.items import PROMPT_ITEMS, PromptFile, PromptFolder
from pytest_pmpo.plugin.paths import explicit_paths, looks_like_prompt
from pytest_pmpo.plugin.progress import TerminalProgress
from pytest_pmpo.report.records import Report
from pytest_pmpo.report.terminal import STYLES, failure, summary
from pytest_pmpo.testing import Pmpo

CHECKER = pytest.StashKey[Checker]()


def activate(config: pytest.Config) -> None:
    """Read the settings and register the hooks below.

    Raises:
        pytest.UsageError: for settings that cannot be used, with file and line.
    """
    try:
        gate = Gate(config, checker_for(config))
    except PmpoError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(gate, "pmpo-gate")


def checker_for(config: pytest.Config) -> Checker:
    """The session's checker; made on first use, also for the ``pmpo`` fixture of a run that judges no prompts.

    Raises:
        ConfigError: see ``config.load``.
    """
    if CHECKER not in config.stash:
        progress = TerminalProgress(config)
        config.stash[CHECKER] = Checker(
            _project(config),
            notify=progress.notify,
            progress=progress,
            threads=_threads(config),
            confirm=_given(config).confirm,
        )
    return config.stash[CHECKER]


def python_api(config: pytest.Config) -> Pmpo:
    """What the ``pmpo`` fixture gives; settings that cannot be used fail the test that asked, without a traceback."""
    try:
        return Pmpo(checker_for(config))
    except PmpoError as error:
        message = str(error)
    pytest.fail(message, pytrace=False)


def show_config(config: pytest.Config) -> int:
    """Print every setting with its origin.

    Raises:
        pytest.UsageError: for settings that cannot be used.
    """
    try:
        settings = _project(config).config
    except PmpoError as error:
        raise pytest.UsageError(str(error)) from None
    for line in settings.describe():
        print(line)
    return int(pytest.ExitCode.OK)


class Gate:
    """The hooks of a session that judges prompts."""

    def __init__(self, config: pytest.Config, checker: Checker) -> None:
        self.config = config
        self.checker = checker
        self.given = _given(config)
        self.is_worker = hasattr(config, "workerinput")
        self.results = Results()
        self._chosen: tuple[str, ...] = ()
        self._session: pytest.Session | None = None
        self._written: list[str] = []
        if not self.is_worker:
            outputs.check(config, self.given, checker)

    def pytest_report_header(self) -> list[str]:
        """Models, device, dtype, base and its age; opens no model."""
        lines = header_lines(self.checker)
        if not self.checker.project.discovered() and not any(map(looks_like_prompt, explicit_paths(self.config))):
            folder = self.checker.project.config.settings.prompts[0]
            lines.append(f"pmpo: no prompts: there is no {folder!r}; name yours in [tool.pmpo] prompts")
        return lines

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Discover, so that a mistake in ``prompts`` is one clear message and not an internal error."""
        self._session = session
        try:
            self._chosen = tuple(path for path in self.checker.project.discovered() if self._wanted(path))
        except PmpoError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the configured prompts behind what the command line's arguments gave.

        They are added here and not as arguments: pytest drops arguments that lie below others, and would then not reach
        prompts in folders it does not descend into, such as ``.github``.
        """
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            root, top = self.checker.project.root, self.config.rootpath
            files = [root / path for path in self._chosen if not collector.isinitpath(root / path)]
            for folder, group in groupby(files, key=lambda file: top if file.is_relative_to(top) else root):
                report.result = [*report.result, PromptFolder.of(collector, folder, group, self.checker)]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
        """A prompt file named on the command line is ours alone: what it holds is never run as a doctest."""
        collectors = yield
        if not parent.session.isinitpath(file_path):
            return collectors
        path = self.checker.project.relative(file_path)
        if path not in self.checker.project.discovered() and not looks_like_prompt(str(file_path)):
            return collectors
        return [PromptFile.of(parent, path, self.checker)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what was reached into the report; as plain data in a worker, where it has to travel."""
        report = yield
        if isinstance(item, PROMPT_ITEMS) and item.outcome is not None and call.when == item.decides:
            if self.is_worker:
                vars(report)["pmpo_outcome"] = to_plain(item.outcome)
            else:
                self.results.found[item.nodeid] = item.outcome
            if item.words is not None:
                vars(report)["pmpo_words"] = item.words
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a worker reached."""
        plain = getattr(report, "pmpo_outcome", None)
        if plain is not None and not self.is_worker:
            self.results.found[report.nodeid] = from_plain(plain)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add up what a worker's scoring took; a worker that crashed has nothing to say."""
        work = getattr(node, "workeroutput", {}).get("pmpo_work")
        if work is not None:
            self.results.work += Work(**work)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport | pytest.CollectReport) -> Any:
        """``PASSED improved: 3.1 % better, …`` at ``-v``; letters and counts stay pytest's own, and so does ``FAILED``,
        which the short test summary repeats with a message of its own."""
        words = getattr(report, "pmpo_words", None)
        if words is None or hasattr(report, "wasxfail") or not report.passed:
            return None
        status, line = words
        return "passed", ".", (f"PASSED {line}", {STYLES[status]: True})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was asked for; a worker hands on what its scoring took."""
        if self.is_worker:
            vars(self.config)["workeroutput"]["pmpo_work"] = asdict(self.checker.work())
            return
        self.results.work += self.checker.work()
        self._written = outputs.write(self.config, self.given, self.checker, self.results, session)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """A few lines; none where no prompt was judged."""
        width = self.config.get_terminal_writer().fullwidth
        verbosity = self.config.get_verbosity()
        report = make_report(self.checker, self.results)
        lines = [*summary(report, verbosity, width=width), *note_lines(report, verbosity)]
        lines += [f"  {trouble}" for trouble in self.checker.models.cache_troubles()] if lines else []
        if verbosity >= 0 and (lines or self._written):
            terminalreporter.write_sep("-", "prompts")
        for line in (*self._informing(report, width, verbosity), *lines, *self._written):
            terminalreporter.write_line(line)
        if self._optimizes and self._session is not None:
            from pytest_pmpo.plugin import optimize  # nobody else pays for the optimizer

            optimize.run(self.config, self.checker, self.results, self._session)

    def _informing(self, report: Report, width: int, verbosity: int) -> Iterator[str]:
        """The tables of verdicts that inform only: their tests pass, and pytest prints nothing of a test that does."""
        for entry in report.ranked() if verbosity >= 0 else ():
            if entry.verdict.informs:
                yield from (*failure(entry.verdict, width=width), "")

    @property
    def _optimizes(self) -> bool:
        option = self.config.getoption
        asked = option("pmpo_optimize") or option("pmpo_optimize_rounds") is not None
        return bool(asked) and not self.is_worker and not option("collectonly")

    def _wanted(self, path: str) -> bool:
        """Whether a configured prompt takes part: without arguments all do, else those below a named folder."""
        if self.config.args_source is not pytest.Config.ArgsSource.ARGS:
            return True
        place = self.checker.project.root / path
        return any(place.is_relative_to(argument) for argument in explicit_paths(self.config))


def _project(config: pytest.Config) -> Project:
    """The project around pytest's rootdir, with pytest's own plugin manager for the extensions."""
    if not config.pluginmanager.hasplugin("pmpo-builtin"):
        config.pluginmanager.register(builtin, "pmpo-builtin")
        config.pluginmanager.load_setuptools_entrypoints(ENTRY_POINTS)
    return Project.open(config.rootpath, _given(config).settings, Extensions(config.hook))


def _given(config: pytest.Config) -> Given:
    return given(config.getoption, config.invocation_params.dir)


def _threads(config: pytest.Config) -> int | None:
    """Each worker's share of the cores, or None outside workers: together they do not ask for more than there are."""
    workers = getattr(config, "workerinput", {}).get("workercount")
    return None if workers is None else max(1, (os.cpu_count() or 1) // workers)
