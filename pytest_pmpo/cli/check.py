"""``pmpo check``: judge the prompts against their base, without pytest."""

from __future__ import annotations

import argparse
import os

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.header import header_lines
from pytest_pmpo.app.outputs import (
    check_reports,
    make_report,
    note_lines,
    require_folder,
    save_baseline,
    tell_github,
    write_reports,
)
from pytest_pmpo.app.project import Project, Task
from pytest_pmpo.app.results import Result, Results, trouble
from pytest_pmpo.cli import FOUND, OK, TROUBLE
from pytest_pmpo.cli.common import add_options, chosen_paths, given_of, notify, open_project, progress, width
from pytest_pmpo.errors import ConfigError, PmpoError
from pytest_pmpo.options import OUTPUTS, RUN, SETTINGS, Given
from pytest_pmpo.report.terminal import failure, one_line, summary
from pytest_pmpo.report.text import visible_characters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which prompts, and the options of the common table."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="prompt files or folders (default: all configured)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print failures and the count only")
    add_options(parser, (*SETTINGS, *OUTPUTS, *RUN))


def run(arguments: argparse.Namespace) -> int:
    """Judge each prompt, print as it goes, write what was asked for."""
    project, given = open_project(arguments), given_of(arguments)
    if given.show_config:
        print(*project.config.describe(), sep="\n")
        return OK
    _refuse(given, project, arguments.paths)
    shown = None if arguments.quiet else progress()
    checker = Checker(project, notify=notify, progress=shown, confirm=given.confirm)
    if not arguments.quiet:
        print(*header_lines(checker), sep="\n")
    results = Results()
    for path in chosen_paths(project, arguments.paths):
        _judge_file(checker, path, results, arguments.quiet)
    results.work = checker.work()
    report = make_report(checker, results)
    notes = note_lines(report, -1 if arguments.quiet else 1)
    notes += [f"  {trouble}" for trouble in checker.models.cache_troubles()]
    print(*summary(report, -1 if arguments.quiet else 0, width=width()), *notes, sep="\n")
    write_reports(given.reports, report, project.extensions)
    if given.github:
        print(tell_github(report, os.environ), end="")
    if given.save_baseline is not None:
        count = save_baseline(given.save_baseline, checker, results)
        print(f"baseline of {count} prompts: {given.save_baseline}")
    return TROUBLE if results.troubles else FOUND if report.failed else OK


def _refuse(given: Given, project: Project, paths: list[str]) -> None:
    """What cannot come to a good end, before anything is scored."""
    check_reports(given.reports, project.extensions)
    if given.save_baseline is not None:
        require_folder(given.save_baseline)
        if paths:
            raise ConfigError("--save-baseline needs all prompts: name no paths with it")


def _judge_file(checker: Checker, path: str, results: Results, quiet: bool) -> None:
    try:
        tasks = checker.project.tasks(path)
    except PmpoError as error:
        _show_error(error, results)
        results.found[path] = trouble(error, path, path)
        return
    for task in tasks:
        _judge(checker, task, results, quiet)


def _judge(checker: Checker, task: Task, results: Results, quiet: bool) -> None:
    key = f"{task.path}::{task.name}"
    try:
        result = checker.check(task)
    except PmpoError as error:
        _show_error(error, results)
        results.found[key] = trouble(error, task.label, task.path)
        return
    results.found[key] = result
    _show(task, result, quiet)


def _show(task: Task, result: Result, quiet: bool) -> None:
    verdict = result.entry.verdict
    if verdict.failed or verdict.informs:
        print("", *failure(verdict, width=width()), "", sep="\n")
    elif not quiet:
        print(f"{task.path} [{task.name}] {one_line(verdict)}")


def _show_error(error: PmpoError, results: Results) -> None:
    """Once, where one cause keeps many prompts from being judged; the summary names them all."""
    told = {(t.message, t.hint) for t in results.troubles}
    if error.location is None and (error.message, error.hint) in told:
        return
    print(f"error: {visible_characters(str(error))}")
