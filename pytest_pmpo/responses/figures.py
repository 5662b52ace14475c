"""What ``validity.py`` counts, apart from how it counts: every report that cites a figure reads it."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of pairs, which add up over prompts.

    Attributes:
        differ: pairs whose sampled accuracy differs; ``right``, ``decided`` and ``wrong`` are some of them.
        equal: the others; ``alarms`` are those that were called different.
    """

    differ: int = 0
    right: int = 0
    decided: int = 0
    wrong: int = 0
    equal: int = 0
    alarms: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def sentence(self) -> str:
        """What a report cites."""
        parts = [
            f"{self.right} of {self.differ} differences point the right way, {self.decided} decided, "
            f"{self.wrong} of them wrongly"
            if self.differ
            else "no two of the prompts differ in sampled accuracy, so there is no direction to be right about"
        ]
        parts += [f"{self.alarms} of {self.equal} equal pairs called different"] if self.equal else []
        return "; ".join(parts)
