"""The protocol of a grader: a response to a fixture → how good it is, from 0 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from pytest_pmpo.errors import GraderError
from pytest_pmpo.prompts.model import Choice, Expected, Fixture


@dataclass(frozen=True, slots=True)
class Grade:
    """How good a response is. ``score`` lies in [0, 1]; ``reason`` is one short phrase for the person who looks."""

    score: float
    reason: str = ""


class Grader(Protocol):
    """Grades one response at a time. Equal input gives an equal grade, except where a judge is asked (once)."""

    @property
    def identity(self) -> str:
        """Name and everything that changes a grade; kept beside every grade, so that a changed grader is noticed."""
        ...

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """The grade of a response to a fixture.

        Raises:
            GraderError: if this grader cannot grade it; never for a response that is merely wrong.
        """
        ...


def expected_text(fixture: Fixture, grader: str) -> str:
    """The right answer of a fixture as text.

    Raises:
        GraderError: for a preference fixture, which has no single right answer.
    """
    label = fixture.label
    if isinstance(label, Expected):
        return label.text
    if isinstance(label, Choice):
        return label.choices[label.expected]
    raise GraderError(
        f"fixture {fixture.id!r} has a preference label; {grader} needs one expected answer",
        location=fixture.location,
        hint="grade it with a function, a judge, or grades given in the bank file",
    )


def checked(grade: Grade, identity: str, fixture: Fixture) -> Grade:
    """The grade, if its score is a number in [0, 1].

    Raises:
        GraderError: naming the grader and the fixture.
    """
    if not isinstance(grade.score, (int, float)) or not math.isfinite(grade.score) or not 0 <= grade.score <= 1:
        raise GraderError(
            f"grader {identity} gave {grade.score!r} for fixture {fixture.id!r}; a grade lies between 0 and 1",
            location=fixture.location,
        )
    return grade
