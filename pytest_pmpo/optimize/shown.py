"""Fixtures a prompt shows: what they measure from then on is copying, so they have to leave the fixture file.

The gate does not count them, whatever their ``split``; ``pmpo lint`` calls them an error.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pmpo.prompts.lint.findings import quoted

NAMED = 5
"""Fixtures named in a sentence."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Ids of the fixtures a prompt shows, in fixture order, and the files these stand in."""

    ids: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def count(self) -> str:
        """``1 fixture``, ``12 fixtures``."""
        return f"{len(self.ids)} fixture{'' if len(self.ids) == 1 else 's'}"

    @property
    def named(self) -> tuple[str, ...]:
        """The first few ids, shortened, what is invisible escaped."""
        return tuple(quoted(name, 60)[1:-1] for name in self.ids[:NAMED])

    @property
    def places(self) -> tuple[str, ...]:
        """The files, what is invisible escaped."""
        return tuple(quoted(path, 200)[1:-1] for path in self.files)

    @property
    def more(self) -> int:
        """How many are not among ``named``."""
        return max(0, len(self.ids) - NAMED)

    @property
    def sentence(self) -> str:
        """Which they are, and what to do; empty where there are none."""
        if not self.ids:
            return ""
        more = f" and {self.more} more" if self.more else ""
        return (
            f"the new prompt shows {self.count}: {', '.join(self.named)}{more}; when you apply it, take "
            f"{'it' if len(self.ids) == 1 else 'them'} out of {' and '.join(self.places)}, or put "
            f"{'another' if len(self.ids) == 1 else 'others'} in: an answer that stands in the prompt is copied, so "
            "the gate does not count it (pmpo lint: fixture-leak)"
        )
