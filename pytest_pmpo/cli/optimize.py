"""``pmpo optimize``: improve prompts, prove it on held-out fixtures, hand over a patch."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.optimize import OUT, Finished, Wanted, optimize
from pytest_pmpo.app.project import Project, Task
from pytest_pmpo.cli import INTERRUPTED, OK, TROUBLE
from pytest_pmpo.cli.common import add_options, chosen_paths, notify, open_project
from pytest_pmpo.errors import ConfigError, PmpoError
from pytest_pmpo.optimize.handover import HandOver
from pytest_pmpo.optimize.rewriters.select import NAMES
from pytest_pmpo.optimize.strategies.select import CHOICES
from pytest_pmpo.options import SETTINGS
from pytest_pmpo.report.optimize_live import LiveTable
from pytest_pmpo.report.text import visible_characters

_IRRELEVANT = {"base", "baseline", "strict", "blocking"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which prompts, how to search, within which limits, and what to do with a winner."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="prompt files or folders")
    search = parser.add_argument_group("search")
    search.add_argument("--strategy", default="pmpo", metavar="NAME", help=f"one of {', '.join(CHOICES)}")
    search.add_argument(
        "--rewriter", action="append", default=[], metavar="NAME", help=f"again for more: {', '.join(NAMES)}"
    )
    search.add_argument("--segmenter", choices=("structure", "model"), default="structure", help="what cuts the prompt")
    search.add_argument("--task", metavar="TEXT", help="what the prompt is for, in words")
    search.add_argument("--seed", type=int, default=0, help="another seed is another split and another search")
    search.add_argument("--templates", type=Path, metavar="DIR", help="your own report templates and meta-prompts")
    search.add_argument("--record", type=Path, metavar="FILE", help="append language models' answers to FILE")
    limits = parser.add_argument_group("limits, never exceeded")
    limits.add_argument("--rounds", type=int, metavar="N")
    limits.add_argument("--forward-tokens", type=int, metavar="N")
    limits.add_argument("--generated-tokens", type=int, metavar="N")
    limits.add_argument("--minutes", type=float, metavar="N")
    bank = parser.add_argument_group("where a response bank lies beside the prompt")
    bank.add_argument(
        "--top-up",
        type=int,
        default=2,
        metavar="N",
        help="responses to each fixture from a prompt about to be accepted",
    )
    bank.add_argument("--top-up-tokens", type=int, metavar="N", help="tokens sampled for the bank in all")
    bank.add_argument("--grader", metavar="NAME", help="of those responses (default: the one that graded the bank)")
    hand = parser.add_argument_group("what to do with a winner")
    hand.add_argument("--out", type=Path, default=Path(OUT), metavar="DIR", help=f"patch and reports (default {OUT})")
    hand.add_argument("--branch", nargs="?", const="", metavar="NAME", help="commit it (default: on pmpo/PROMPT)")
    hand.add_argument("--push", action="store_true", help="push that branch")
    hand.add_argument("--open-pr", action="store_true", help="open or update a pull request")
    hand.add_argument("--remote", default="origin", metavar="NAME")
    hand.add_argument("--into", metavar="BRANCH", help="branch the pull request goes into")
    hand.add_argument("--signoff", action=argparse.BooleanOptionalAction, help="default: git's format.signOff")
    add_options(parser, (option for option in SETTINGS if option.setting not in _IRRELEVANT))


def run(arguments: argparse.Namespace) -> int:
    """Optimize each prompt in turn under its first model; one that cannot be done does not keep the next from it."""
    project = open_project(arguments)
    wanted = _wanted(arguments)
    checker = Checker(project, notify=notify)
    tasks = _tasks(project, arguments.paths)
    if arguments.branch and len(tasks) > 1:
        raise ConfigError("one branch name is given for several prompts", hint="name one prompt, or leave the name out")
    exit_code, told = OK, set[str]()
    for task in tasks:
        try:
            finished = _optimize(checker, task, wanted)
        except PmpoError as error:
            said = f"error: {visible_characters(str(error))}"
            if said not in told:  # the prompts of one file share its fixtures, and what is wrong with them
                print(said)
            told.add(said)
            exit_code = TROUBLE
            continue
        print(*finished.lines(), sep="\n")
        if finished.result.ending == "interrupted":
            return INTERRUPTED
        exit_code = TROUBLE if finished.result.ending == "failed" else exit_code
    return exit_code


def _optimize(checker: Checker, task: Task, wanted: Wanted) -> Finished:
    from rich.console import Console

    listener = LiveTable(Console())
    try:
        return optimize(checker, task, wanted, listener, os.environ)
    finally:
        listener.close()


def _tasks(project: Project, paths: list[str]) -> list[Task]:
    """Every prompt of the files, under the first of its models."""
    found = [task for path in chosen_paths(project, paths) for task in project.tasks(path)]
    return [task for task in found if task.model == task.settings.models[0]]


def _wanted(arguments: argparse.Namespace) -> Wanted:
    hand = HandOver(
        branch=arguments.branch is not None,
        push=arguments.push,
        open_pr=arguments.open_pr,
        name=arguments.branch or None,
        remote=arguments.remote,
        base=arguments.into,
        signoff=arguments.signoff,
    )
    return Wanted(
        strategy=arguments.strategy,
        rewriters=tuple(arguments.rewriter),
        rounds=arguments.rounds,
        forward_tokens=arguments.forward_tokens,
        generated_tokens=arguments.generated_tokens,
        minutes=arguments.minutes,
        seed=arguments.seed,
        out=arguments.out,
        templates=arguments.templates,
        record=arguments.record,
        task=arguments.task,
        segmenter=arguments.segmenter,
        top_up=arguments.top_up,
        top_up_tokens=arguments.top_up_tokens,
        grader=arguments.grader,
        hand_over=hand,
    )
