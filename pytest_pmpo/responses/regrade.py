"""Grades for what has none, anew where the label changed, and a look at whether the grader still agrees with itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_pmpo.errors import GraderError, PmpoError
from pytest_pmpo.prompts.model import Fixture, Note
from pytest_pmpo.responses.build import MAX_FAILURES
from pytest_pmpo.responses.graders.base import Grader, checked
from pytest_pmpo.responses.records import GIVEN, Bank, Response, label_digest

DIFFERENT = 1e-6


@dataclass(frozen=True, slots=True)
class Regraded:
    """A bank with grades.

    Attributes:
        bank: the same responses in the same order.
        graded: how many got a grade, or a new one.
        notes: one line for every grader whose grades were replaced, and for every response that could not be graded.
        failure: what stopped the grading, after ``MAX_FAILURES`` of them; the rest is as it was.
    """

    bank: Bank
    graded: int
    notes: tuple[Note, ...]
    failure: PmpoError | None = None


def without_grades(bank: Bank) -> Bank:
    """The bank with all grades taken away except those people gave, to be graded anew."""
    rows = (row if row.grader in (None, GIVEN) else replace(row, grade=None, grader=None) for row in bank.responses)
    return replace(bank, responses=tuple(rows))


def grade_bank(bank: Bank, fixtures: Sequence[Fixture], grader: Grader) -> Regraded:
    """Grade what has no grade, or one by another grader or for another label. Given grades stay as they are."""
    by_id = {fixture.id: fixture for fixture in fixtures}
    rows: list[Response] = []
    changed = 0
    replaced: set[str] = set()
    failures: list[PmpoError] = []
    for row in bank.responses:
        fixture = by_id.get(row.fixture)
        rows.append(row)
        if fixture is None or not _due(row, fixture, grader) or len(failures) == MAX_FAILURES:
            continue
        try:
            grade = checked(grader.grade(fixture, row.text), grader.identity, fixture)
        except PmpoError as error:  # the grader's own, or that of the server a judge asks
            failures.append(error)
            continue
        if row.grade is not None and row.grader != grader.identity:
            replaced.add(str(row.grader))
        rows[-1] = replace(row, grade=float(grade.score), grader=grader.identity, label=label_digest(fixture))
        changed += 1
    notes = [Note(f"grades by {name} were replaced by those of {grader.identity}") for name in sorted(replaced)]
    notes += [Note(error.message, error.location) for error in failures]
    failure = failures[-1] if len(failures) == MAX_FAILURES else None
    return Regraded(replace(bank, responses=tuple(rows)), changed, tuple(notes), failure)


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
            hint="the grader, or what it imports, has changed: pmpo bank grade --anew",
        )


def _due(row: Response, fixture: Fixture, grader: Grader) -> bool:
    if row.grade is None:
        return True
    if row.grader in (None, GIVEN):
        return False
    return row.grader != grader.identity or row.label != label_digest(fixture)
