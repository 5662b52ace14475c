"""Files of a pytest run. Only the process that sees all results writes them."""

from __future__ import annotations

import os

import pytest

from pytest_pmpo.app import outputs
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.results import Results
from pytest_pmpo.errors import ConfigError, PmpoError
from pytest_pmpo.gate import baseline
from pytest_pmpo.options import Given

_PARTIAL = ("keyword", "markexpr", "lf", "deselect", "stepwise")
"""Options of pytest that leave tests out."""


def check(config: pytest.Config, given: Given, checker: Checker) -> None:
    """Refuse what cannot come to a good end, before anything is scored.

    Raises:
        ConfigError: an unknown reporter, a folder that is not there, a baseline of a part of the prompts.
        BaselineError: a baseline to compare with that cannot be read.
    """
    outputs.check_reports(given.reports, checker.project.extensions)
    file = checker.project.config.settings.baseline
    if file is not None:
        baseline.load(checker.project.config.folder / file)
    if given.save_baseline is None:
        return
    outputs.require_folder(given.save_baseline)
    partial = [name for name in _PARTIAL if config.getoption(name, None)]
    if partial or config.args_source is pytest.Config.ArgsSource.ARGS:
        raise ConfigError(
            "--pmpo-save-baseline needs all prompts: a baseline of some of them would lose the others",
            hint="run it without paths, -k, -m, --lf, --deselect and --stepwise",
        )


def write(
    config: pytest.Config, given: Given, checker: Checker, results: Results, session: pytest.Session
) -> list[str]:
    """Write what was asked for; one line on each file, or on what kept it from being written.

    A file that was asked for and is not there fails the run.
    """
    if config.getoption("collectonly"):
        return []
    lines: list[str] = []
    try:
        report = outputs.make_report(checker, results)
        if given.github:
            lines += outputs.tell_github(report, os.environ).splitlines()
        if given.reports:
            outputs.write_reports(given.reports, report, checker.project.extensions)
            lines += [f"pmpo: {name} report: {path}" for name, path in given.reports]
        if given.save_baseline is not None:
            count = outputs.save_baseline(given.save_baseline, checker, results)
            lines.append(f"pmpo: baseline of {count} prompts: {given.save_baseline}")
    except PmpoError as error:
        lines.append(f"pmpo: error: {error}")
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
    return lines
