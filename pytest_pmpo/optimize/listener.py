"""How a run tells what it is doing. A live table, a log file and a test are listeners alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pytest_pmpo.optimize.budget import Budget, Spent
from pytest_pmpo.optimize.records import OptimizeResult, Round
from pytest_pmpo.scoring.records import MetricInfo


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is about to do, for printing before anything is paid.

    Attributes:
        first_tokens: forward tokens of scoring the incumbent, the least any run spends.
        resumed: rounds' worth of work found in the journal: prompts scored already.
        notes: things to know beforehand, such as too few held-out fixtures to prove anything.
    """

    path: str
    strategy: str
    rewriters: tuple[str, ...]
    model: str
    metric: MetricInfo
    parts: dict[str, int]
    budget: Budget
    first_tokens: int
    resumed: int
    notes: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The plan in plain text."""
        names = {"heldout": "held-out"}
        parts = ", ".join(f"{count} {names.get(name, name)}" for name, count in self.parts.items())
        rewriters = ", ".join(self.rewriters) or "none"
        lines = [
            f"optimize {self.path}: strategy {self.strategy}, rewriters {rewriters}, model {self.model}",
            f"fixtures: {parts}; objective {self.metric.name} ({self.metric.unit})",
            f"limits: {self.budget}; the first scoring takes {self.first_tokens:,} forward tokens",
        ]
        if self.resumed:
            lines.append(f"resuming: {self.resumed} prompts are scored already and are not scored again")
        return (*lines, *self.notes)


class Listener(Protocol):
    """Told of a run's course; must not raise."""

    def started(self, plan: Plan) -> None:
        """Before the first forward pass."""
        ...

    def working(self, spent: Spent) -> None:
        """After every call to a model."""
        ...

    def round_done(self, row: Round) -> None:
        """After every round; round 0 is the incumbent."""
        ...

    def noted(self, text: str) -> None:
        """Something a person should know, such as a rewriter that failed."""
        ...

    def finished(self, result: OptimizeResult) -> None:
        """At the end, whatever the end was."""
        ...


class Silent:
    """A listener that says nothing."""

    def started(self, plan: Plan) -> None:
        """Nothing."""

    def working(self, spent: Spent) -> None:
        """Nothing."""

    def round_done(self, row: Round) -> None:
        """Nothing."""

    def noted(self, text: str) -> None:
        """Nothing."""

    def finished(self, result: OptimizeResult) -> None:
        """Nothing."""
