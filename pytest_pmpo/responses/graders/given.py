"""Grades people gave: looked up, never computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_pmpo.errors import GraderError
from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.responses.graders.base import Grade


@dataclass(frozen=True)
class Given:
    """Grades by (fixture id, response text)."""

    grades: Mapping[tuple[str, str], float]

    @property
    def identity(self) -> str:
        """``given``."""
        return "given"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """The grade given.

        Raises:
            GraderError: if there is none.
        """
        score = self.grades.get((fixture.id, response))
        if score is None:
            raise GraderError(
                f"a response to fixture {fixture.id!r} has no grade",
                location=fixture.location,
                hint="add its grade to the bank file, or name a grader",
            )
        return Grade(score, "given")
