"""Grades for what has none, anew where the label changed, and a look at whether the grader still agrees with itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_pmpo.errors import GraderError
from pytest_pmpo.prompts.model import Fixture, Note
from pytest_pmpo.responses.graders.base import Grader, checked
from pytest_pmpo.responses.records import GIVEN, Bank, Response, label_digest

DIFFERENT = 1e-6


@dataclass(frozen=True, slots=True)
class Regraded:
    """A bank with grades.

    Attributes:
        bank: the same responses in the same order.
        graded: how many got a grade, or a new one.
        notes: one line for every kept grade the grader disagrees with, and for a grader that changed.
    """

    bank: Bank
    graded: int
    notes: tuple[Note, ...]


def grade_bank(bank: Bank, fixtures: Sequence[Fixture], grader: Grader) -> Regraded:
    """Grade what has no grade, or one by another grader or for another label. Given grades stay as they are.

    Raises:
        GraderError: if the grader fails.
    """
    by_id = {fixture.id: fixture for fixture in fixtures}
    rows: list[Response] = []
    changed = 0
    replaced: set[str] = set()
    for row in bank.responses:
        fixture = by_id.get(row.fixture)
        if fixture is None or not _due(row, fixture, grader):
            rows.append(row)
            continue
        if row.grade is not None and row.grader != grader.identity:
            replaced.add(str(row.grader))
        grade = checked(grader.grade(fixture, row.text), grader.identity, fixture)
        rows.append(replace(row, grade=float(grade.score), grader=grader.identity, label=label_digest(fixture)))
        changed += 1
    notes = [Note(f"grades by {name} were replaced by those of {grader.identity}") for name in sorted(replaced)]
    return Regraded(replace(bank, responses=tuple(rows)), changed, tuple(notes))


def disagreements(bank: Bank, fixtures: Sequence[Fixture], grader: Grader) -> tuple[Note, ...]:
    """Kept grades of this very grader, for this very label, that it would not give again; one note each.

    Raises:
        GraderError: if the grader fails.
    """
    by_id = {fixture.id: fixture for fixture in fixtures}
    found = []
    for row in bank.responses:
        fixture = by_id.get(row.fixture)
        if fixture is None or row.grade is None or row.grader != grader.identity or row.label != label_digest(fixture):
            continue
        grade = checked(grader.grade(fixture, row.text), grader.identity, fixture)
        if abs(grade.score - row.grade) > DIFFERENT:
            found.append(
                Note(f"{grader.identity} gives {grade.score:g} now, the bank holds {row.grade:g}", row.location)
            )
    return tuple(found)


def require_agreement(bank: Bank, fixtures: Sequence[Fixture], grader: Grader) -> None:
    """Stop where a grader disagrees with grades it gave.

    Raises:
        GraderError: naming the first line and how many there are.
    """
    found = disagreements(bank, fixtures, grader)
    if found:
        raise GraderError(
            f"{len(found)} kept grades differ from what the grader gives now; the first: {found[0].message}",
            location=found[0].location,
            hint="the grader or what it imports has changed: grade the bank anew with pmpo bank grade",
        )


def _due(row: Response, fixture: Fixture, grader: Grader) -> bool:
    if row.grade is None:
        return True
    if row.grader in (None, GIVEN):
        return False
    return row.grader != grader.identity or row.label != label_digest(fixture)
