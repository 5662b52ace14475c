"""The response ends in the right number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from pytest_pmpo.errors import GraderError
from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.responses.graders.answers import WINDOW, final_answer
from pytest_pmpo.responses.graders.base import Grade, expected_text

_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,40})?(?:[eE][-+]?\d{1,3})?%?")


@dataclass(frozen=True, slots=True)
class Number:
    """Compares numbers, not their spelling: ``1,200``, ``1200.0`` and ``$1200`` are the same.

    The first number after the last answer marker counts; without a marker, the last number of the response. The
    expected number is found in the label the same way (``#### 42`` at the end of a worked solution).

    Attributes:
        tolerance: how far the number may be off, relative to the expected one.
    """

    tolerance: float = 0.0

    @property
    def identity(self) -> str:
        """``number``, with its tolerance where there is one."""
        return f"number(±{self.tolerance:g})" if self.tolerance else "number"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """1 if the number is the expected one, else 0."""
        wanted = final_number(expected_text(fixture, self.identity))
        if wanted is None:
            raise GraderError(
                f"the expected answer of fixture {fixture.id!r} holds no number",
                location=fixture.location,
                hint="use the grader 'exact'",
            )
        given = final_number(response)
        if given is None:
            return Grade(0.0, "no number")
        right = abs(given - wanted) <= abs(wanted) * Decimal(str(self.tolerance))
        return Grade(float(right), f"gave {given:f}" if abs(given.adjusted()) < 30 else f"gave {given}")


def final_number(text: str) -> Decimal | None:
    """The number a text settles on, or None."""
    answer = final_answer(text)
    if answer is not None:
        after = _NUMBER.findall(answer)
        if after:
            # "12 + 5 = 17" states the sum and then its value
            return _decimal(after[-1] if "=" in answer else after[0])
    found = _NUMBER.findall(text[-WINDOW:])
    return _decimal(found[-1]) if found else None


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text.rstrip("%").replace(",", "").replace("−", "-"))
    except InvalidOperation:
        return None
