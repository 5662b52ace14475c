"""``pmpo bank``: graded responses beside the fixtures, the gate's best metric."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_pmpo.app.bank import BankKeeper, Drawing
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.project import Project, Task
from pytest_pmpo.cli import OK
from pytest_pmpo.cli.common import add_options, chosen_paths, notify, open_project, progress
from pytest_pmpo.errors import ConfigError, PmpoError
from pytest_pmpo.options import SETTINGS
from pytest_pmpo.prompts.model import Note
from pytest_pmpo.report.text import visible_characters
from pytest_pmpo.responses.build import BuildReport
from pytest_pmpo.responses.graders.select import FOREIGN, GRADERS
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
    parser.add_argument("path", metavar="PROMPT", help="the prompt file; FILE#NAME for one of several prompts in it")
    parser.add_argument(
        "--per-fixture", type=_positive, default=8, metavar="N", help="build: responses to each (default 8)"
    )
    parser.add_argument(
        "--from",
        dest="proposals",
        default=",".join(DEFAULT_VARIANTS),
        metavar="NAMES",
        help="build: prompts to draw from: base, steps, none, direct, or git refs (default %(default)s)",
    )
    parser.add_argument(
        "--server",
        metavar="openai:MODEL[@URL]",
        help="build: draw from a chat server that tells log-probabilities; key in OPENAI_API_KEY",
    )
    parser.add_argument("--budget", type=_positive, metavar="N", help="top-up: responses to draw at most")
    parser.add_argument(
        "--grader",
        metavar="NAME",
        help=f"{', '.join(name for name in GRADERS if name not in FOREIGN)}, or module:function "
        "(default: [tool.pmpo.graders], else what graded the bank, else what the labels suggest)",
    )
    parser.add_argument("--anew", action="store_true", help="grade: everything again that a grader graded")
    parser.add_argument(
        "--max-new-tokens",
        type=_positive,
        metavar="N",
        help="of one response (default: as the bank has it, else 256)",
    )
    parser.add_argument("--max-tokens", type=_positive, metavar="N", help="of all responses together")
    parser.add_argument("--seed", type=int, default=0)
    add_options(parser, (option for option in SETTINGS if option.setting in _RELEVANT))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be 1 or more")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Do it, and say what was done."""
    project = open_project(arguments)
    keeper = BankKeeper(Checker(project, notify=notify, progress=progress()), _task(project, arguments.path))
    drawing = Drawing(
        arguments.grader, arguments.max_new_tokens, arguments.max_tokens, arguments.seed, arguments.server
    )
    try:
        lines = _lines(arguments, keeper, drawing)
    except PmpoError:
        kept = len(keeper.reread().bank.responses) - len(keeper.bank.responses)
        if kept > 0:
            notify(f"{kept} responses drawn before this error are kept in {keeper.bank.path}")
        raise
    for line in lines:
        print(visible_characters(line))
    return OK


def _task(project: Project, named: str) -> Task:
    """The one prompt under one model that is meant.

    Raises:
        ConfigError: there are several.
    """
    name, _, variant = named.partition("#") if not Path(named).exists() else (named, "", "")
    [path] = chosen_paths(project, [name])
    tasks = [task for task in project.tasks(path) if not variant or task.variant == variant]
    if not tasks:
        raise ConfigError(f"{path} has no prompt {variant!r}")
    if len({task.variant for task in tasks}) > 1:
        names = " or ".join(f"{path}#{task.variant}" for task in tasks[:3])
        raise ConfigError(f"{path} has several prompts; draw from one at a time", hint=names)
    if len(tasks) > 1:
        raise ConfigError(f"{path} is judged under {len(tasks)} models; name one", hint=f"--model {tasks[0].model}")
    return tasks[0]


def _lines(arguments: argparse.Namespace, keeper: BankKeeper, drawing: Drawing) -> Sequence[str]:
    if arguments.action == "show":
        return _shown(keeper)
    if arguments.action == "grade":
        graded, notes = keeper.grade(drawing, anew=arguments.anew)
        return [f"{graded} responses graded", *_notes(notes)]
    if arguments.action == "build":
        names = [name.strip() for name in arguments.proposals.split(",") if name.strip()]
        report = keeper.build(names, arguments.per_fixture, drawing, _tell)
        if not report.drawn and not report.missing:
            return ["the bank has them all: nothing to draw", *_shown(keeper)]
        return [*_report(report), *_shown(keeper.reread())]
    needed, topped = keeper.top_up(arguments.budget, drawing, _tell)
    if topped is None:
        return ["the bank covers this prompt: nothing to draw"]
    return [f"{needed.responses} responses were needed", *_report(topped), *_shown(keeper.reread())]


def _shown(keeper: BankKeeper) -> list[str]:
    return [*keeper.show(), *(_notes(keeper.notes()) if keeper.exists else ())]


def _report(report: BuildReport) -> list[str]:
    counts = f"{report.drawn} responses drawn, {report.kept} kept"
    line = f"{counts}, {100 * report.right:.0f} % right, {report.tokens:,} tokens"
    missing = [f"{report.missing} still missing: the token budget ran out"] if report.missing else []
    return [line, *missing, *_notes(report.notes)]


def _notes(notes: Sequence[Note]) -> list[str]:
    return [f"note: {note.location}: {note.message}" if note.location else f"note: {note.message}" for note in notes]


def _tell(done: int, total: int) -> None:
    notify(f"{done} of {total} responses")
