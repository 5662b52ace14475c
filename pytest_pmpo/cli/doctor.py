"""``pmpo doctor``: what is installed, which models are here, the cache, the base; ``--noise`` measures the floor,
``--validity`` how often a verdict is right."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.doctor import describe, measure_noise, tasks
from pytest_pmpo.app.noise import Noise
from pytest_pmpo.app.project import Task
from pytest_pmpo.app.validity import measure_validity
from pytest_pmpo.cli import OK
from pytest_pmpo.cli.common import add_options, notify, open_project, progress
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.options import SETTINGS
from pytest_pmpo.report.text import visible_characters

_PROMPTS = 3
FEW = 4
"""Prompts in a bank below which the figures of its validity are coarse."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and the options of the settings."""
    parser.add_argument("--noise", action="store_true", help="score the same fixtures in several packings")
    parser.add_argument(
        "--prompts", type=int, default=_PROMPTS, metavar="N", help=f"measure with up to N prompts (default {_PROMPTS})"
    )
    parser.add_argument(
        "--validity",
        action="store_true",
        help="measure with the prompts' own response banks how often a verdict is right; reports of later runs cite it",
    )
    add_options(parser, (option for option in SETTINGS if option.setting in ("base", "models", "device", "dtype")))


def run(arguments: argparse.Namespace) -> int:
    """Print what there is. Finding something broken is no failure of this command: it was asked to look."""
    checker = Checker(open_project(arguments), notify=notify, progress=progress())
    for line in describe(checker):
        print(visible_characters(line))
    if arguments.noise:
        for task, noise in measure_noise(checker, arguments.prompts):
            print(visible_characters(f"noise of {task.label} [{task.model_name}]: {_shown(checker, task, noise)}"))
    if arguments.validity:
        for line in _validity(checker):
            print(visible_characters(line))
    return OK


def _validity(checker: Checker) -> Iterator[str]:
    found = False
    for task, measured in measure_validity(checker, tasks(checker)[0]):
        found = True
        about = f"validity of {task.label} [{task.model_name}]"
        if isinstance(measured, PmpoError):
            yield f"{about}: not measured: {measured}"
            continue
        yield f"{about}: what each metric says of pairs of the bank's prompts, against the grades of their responses"
        for name, validity in measured.validity.items():
            yield f"  {name}: {validity.sentence()}"
        if not measured.validity:
            yield f"  {measured.bank.path} was drawn from one prompt; it takes two, better three: pmpo bank build"
        elif len(measured.bank.proposals) < FEW:
            yield f"  with {len(measured.bank.proposals)} prompts in the bank these figures are coarse: {FEW} say more"
    if found:
        yield "reports of later runs on this machine cite these figures"
    else:
        yield "validity: no prompt has a response bank to measure with; pmpo bank build PROMPT makes one"


def _shown(checker: Checker, task: Task, noise: Noise | PmpoError) -> str:
    if isinstance(noise, PmpoError):
        return f"not measured: {noise}"
    return f"mean {noise.mean:.2e}, fixture {noise.fixture:.2e} {checker.metric(task).info.unit}"
