"""The response holds the expected text, and nothing that must not be there."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.responses.graders.base import Grade, expected_text


@dataclass(frozen=True, slots=True)
class Contains:
    """Case does not count.

    Attributes:
        required: texts that all must occur; empty means the fixture's expected text.
        forbidden: texts of which none may occur.
    """

    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """``contains``, with its texts where they are not the fixture's."""
        parts = [f"required={list(self.required)!r}"] if self.required else []
        parts += [f"forbidden={list(self.forbidden)!r}"] if self.forbidden else []
        return f"contains({', '.join(parts)})" if parts else "contains"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """1 if all required and no forbidden texts occur, else 0."""
        text = response.casefold()
        for wanted in self.required or (expected_text(fixture, "contains"),):
            if wanted.casefold() not in text:
                return Grade(0.0, f"lacks {wanted!r}")
        for unwanted in self.forbidden:
            if unwanted.casefold() in text:
                return Grade(0.0, f"holds {unwanted!r}")
        return Grade(1.0, "holds what it should")
