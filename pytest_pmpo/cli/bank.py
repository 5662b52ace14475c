"""``pmpo bank``: graded responses beside the fixtures, the gate's best metric."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pytest_pmpo.app.bank import BankKeeper, Drawing
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.project import Task
from pytest_pmpo.cli import OK
from pytest_pmpo.cli.common import add_options, chosen_paths, notify, open_project, progress
from pytest_pmpo.errors import ConfigError
from pytest_pmpo.options import SETTINGS
from pytest_pmpo.prompts.model import Note
from pytest_pmpo.report.text import visible_characters
from pytest_pmpo.responses.build import BuildReport
from pytest_pmpo.responses.variants import DEFAULT_VARIANTS

_RELEVANT = {"model", "models", "device", "dtype", "revision"}
ACTIONS = {
    "build": "draw responses to every fixture from several prompts, grade them and keep them",
    "top-up": "draw from the prompt as it is now, as far as the bank does not cover it",
    "grade": "grade what has no grade, or one of another grader",
    "show": "say what the bank holds",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do with which prompt's bank."""
    parser.add_argument("action", choices=ACTIONS, help="; ".join(f"{name}: {what}" for name, what in ACTIONS.items()))
    parser.add_argument("path", metavar="PROMPT", help="the prompt file")
    parser.add_argument("--per-fixture", type=int, default=8, metavar="N", help="build: responses to each (default 8)")
    parser.add_argument(
        "--from",
        dest="proposals",
        default=",".join(DEFAULT_VARIANTS),
        metavar="NAMES",
        help="build: prompts to draw from: base, steps, none, direct, or git refs (default %(default)s)",
    )
    parser.add_argument("--budget", type=int, metavar="N", help="top-up: responses to draw at most")
    parser.add_argument("--grader", help="exact, choice, number, contains, … (default: what the labels suggest)")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="of one response (default 256)")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="of all responses together")
    parser.add_argument("--seed", type=int, default=0)
    add_options(parser, (option for option in SETTINGS if option.setting in _RELEVANT))


def run(arguments: argparse.Namespace) -> int:
    """Do it, and say what was done."""
    project = open_project(arguments)
    [path] = chosen_paths(project, [arguments.path])
    tasks = project.tasks(path)
    if len(tasks) > 1:
        raise ConfigError(f"{path} has {len(tasks)} prompts or models; a bank belongs to one of each")
    keeper = BankKeeper(Checker(project, notify=notify, progress=progress()), tasks[0])
    drawing = Drawing(arguments.grader, None, arguments.max_new_tokens, arguments.max_tokens, arguments.seed)
    for line in _lines(arguments, keeper, drawing, tasks[0]):
        print(visible_characters(line))
    return OK


def _lines(arguments: argparse.Namespace, keeper: BankKeeper, drawing: Drawing, task: Task) -> Sequence[str]:
    if arguments.action == "show":
        return keeper.show().split("\n")
    if arguments.action == "grade":
        graded, notes = keeper.grade(drawing)
        return [f"{graded} responses graded", *_notes(notes)]
    if arguments.action == "build":
        names = [name.strip() for name in arguments.proposals.split(",") if name.strip()]
        report = keeper.build(names, arguments.per_fixture, drawing, _tell)
        return [*_report(report), *BankKeeper(keeper.checker, task).show().split("\n")]
    needed, topped = keeper.top_up(arguments.budget, drawing, _tell)
    if topped is None:
        return ["the bank covers this prompt: nothing to draw"]
    return [f"{needed.responses} responses were needed", *_report(topped)]


def _report(report: BuildReport) -> list[str]:
    line = f"{report.drawn} responses drawn, {report.kept} kept, {report.right:.0%} right, {report.tokens:,} tokens"
    missing = [f"{report.missing} still missing: the token budget ran out"] if report.missing else []
    return [line, *missing, *_notes(report.notes)]


def _notes(notes: Sequence[Note]) -> list[str]:
    return [f"note: {note.location}: {note.message}" if note.location else f"note: {note.message}" for note in notes]


def _tell(done: int, total: int) -> None:
    notify(f"{done} of {total} responses")
