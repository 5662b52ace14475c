"""The response bank beside a prompt as what is optimized, and where the responses of a run are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_pmpo.app.banks import find_bank
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.grading import grader_for, require_same_grader
from pytest_pmpo.app.locks import exclusive
from pytest_pmpo.app.models import Engine
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import BankError, Location
from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.records import OptimizeResult
from pytest_pmpo.prompts.source import WorkingTree
from pytest_pmpo.responses.bank import append, bank_names, read_bank
from pytest_pmpo.responses.records import Response
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.response_bank import NAME


@dataclass(frozen=True, slots=True)
class Aim:
    """What to optimize: a metric of the labels, or a bank; ``note`` says why a bank that is there is not used."""

    metric: Metric | BankObjective
    note: str = ""


@contextmanager
def aim(checker: Checker, task: Task, engine: Engine, grader: str | None, per_fixture: int) -> Iterator[Aim]:
    """The metric the gate would take; a grader's process, where there is one, ends with the block.

    Args:
        grader: by the command line, else the bank's.
        per_fixture: fresh responses to each fixture from every prompt about to be accepted.

    Raises:
        BankError: the bank is malformed, or was asked for by name and is missing or lacks a fixture.
        GraderError: nobody knows how to grade, or two graders would be mixed.
    """
    wants_bank = task.settings.metric in ("auto", NAME)
    bank = find_bank(WorkingTree(checker.project.root), task.path) if wants_bank else None
    if bank is None:
        if task.settings.metric == NAME:
            raise BankError(
                f"metric = {NAME!r}, but {task.path} has no bank",
                location=Location(task.path),
                hint=f"pmpo bank build {task.path}",
            )
        yield Aim(checker.metric(task))
        return
    with grader_for(checker.project, task, bank, checker.base_for_trust, grader) as opened:
        wanted = BankObjective(bank, opened, engine.model.fingerprint, per_fixture)
        lacking = wanted.lacking(task.suite.fixtures, task.suite.prompt)
        if lacking is not None and task.settings.metric != NAME:
            note = f"the bank {bank.path} is not used: fixture {lacking.id!r}, for one, has no usable response in it"
            yield Aim(checker.metric(task), note)
            return
        require_same_grader(bank, task, opened)
        yield Aim(wanted)


def keep(checker: Checker, task: Task, result: OptimizeResult) -> Path | None:
    """Add what a run has sampled to the bank beside the prompt; None where there is nothing new.

    Raises:
        BankError: if the file cannot be written; what was sampled stays beside the journal.
    """
    if not result.drawn:
        return None
    root = checker.project.root
    path = bank_path(checker, task)
    if path is None:
        return None  # taken away while the run went on
    with exclusive(checker.models.cache_folder(), str(root / path)):
        bank = read_bank(path, (root / path).read_bytes())
        known = {row.identity for row in bank.responses}
        fresh = [
            row
            for row in result.drawn
            if (row.identity not in known if isinstance(row, Response) else row.digest not in bank.proposals)
        ]
        append(root / path, fresh)
    return root / path if fresh else None


def bank_path(checker: Checker, task: Task) -> str | None:
    """The path of the bank beside a prompt, relative to the root."""
    source = WorkingTree(checker.project.root)
    return next((name for name in bank_names(task.path) if source.exists(name)), None)
