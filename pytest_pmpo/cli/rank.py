"""``pmpo rank``: which variant of a prompt makes the right answers likeliest."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.project import Task
from pytest_pmpo.app.rank import Ranking, groups, rank
from pytest_pmpo.cli import OK, TROUBLE
from pytest_pmpo.cli.common import add_options, chosen_paths, notify, open_project, progress
from pytest_pmpo.errors import ConfigError, PmpoError
from pytest_pmpo.options import SETTINGS
from pytest_pmpo.report.text import change, number, plain, visible_characters

_IRRELEVANT = {"base", "strict", "hard_break", "blocking"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which prompts, and how to score them."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="prompt files or folders (default: all configured)")
    add_options(parser, (option for option in SETTINGS if option.setting not in _IRRELEVANT))


def run(arguments: argparse.Namespace) -> int:
    """Rank every group of prompts that share their fixtures."""
    project = open_project(arguments)
    checker = Checker(project, notify=notify, progress=progress())
    tasks: list[Task] = []
    exit_code = OK
    for path in chosen_paths(project, arguments.paths):
        try:
            tasks += project.tasks(path)
        except PmpoError as error:
            print(f"error: {visible_characters(str(error))}")
            exit_code = TROUBLE
    found = groups(tasks)
    if not found:
        raise ConfigError(
            "there are no two prompts with the same fixtures in one folder",
            hint="variants such as answer.a.prompt and answer.b.prompt share answer.fixtures.yaml",
        )
    for group in found:
        print(*_lines(rank(checker, group)), "", sep="\n")
    return exit_code


def _lines(ranking: Ranking) -> Iterator[str]:
    metric = ranking.metric
    proxy = " (a proxy for accuracy)" if metric.proxy else ""
    what = f"{metric.name} in {metric.unit}, {metric.direction} is better{proxy}"
    yield f"{ranking.fixtures} fixtures under {ranking.model}: {what}"
    room = max((len(plain(place.label)) for place in ranking.places), default=0)
    sign = 1 if metric.direction == "lower" else -1
    for i, place in enumerate(ranking.places, 1):
        line = f"  {i:>2}  {plain(place.label):<{room}}  {number(place.mean):>8}"
        if place.behind is not None:
            ends = sorted((sign * place.behind.low, sign * place.behind.high))
            line += f"  {change(sign * place.behind.delta)} ({change(ends[0])} to {change(ends[1])})"
            line += "" if place.behind.lower_bound > 0 else "  not proven"
        yield line
    for one in ranking.uncovered:
        yield f"   –  {plain(one.label)}: the bank covers only {100 * one.share:.0f} % of what it would answer"
        yield f"      {plain(one.advice)}"
    for note in ranking.notes:
        yield f"  note: {plain(f'{note.location}: {note.message}' if note.location else note.message)}"
