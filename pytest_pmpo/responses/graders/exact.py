"""The response, or the answer it ends in, is the expected text."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pmpo.prompts.model import Expected, Fixture
from pytest_pmpo.responses.graders.answers import final_answer, normalised
from pytest_pmpo.responses.graders.base import Grade, expected_text


@dataclass(frozen=True, slots=True)
class Exact:
    """Compares after folding case, white space and outer punctuation, unless ``strict``.

    A response that reasons first is right if what follows its last answer marker is the expected text. A label that is
    only a prefix has to be how the response, or its final answer, starts.
    """

    strict: bool = False

    @property
    def identity(self) -> str:
        """``exact`` or ``exact(strict)``."""
        return "exact(strict)" if self.strict else "exact"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """1 for the expected text, else 0."""
        expected = expected_text(fixture, self.identity)
        prefix = isinstance(fixture.label, Expected) and fixture.label.prefix
        if self.strict:
            right = response.startswith(expected) if prefix else response == expected
            return Grade(float(right), "verbatim" if right else "not verbatim")
        wanted = normalised(expected)
        for candidate in (response, final_answer(response)):
            if candidate is None:
                continue
            given = normalised(candidate)
            if given == wanted or (prefix and given.startswith(wanted)):
                return Grade(1.0, "the expected text")
        return Grade(0.0, "another text")
