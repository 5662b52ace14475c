"""The protocol of a metric: which texts it wants scored after a fixture's prompt, and what it makes of their losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.scoring.records import Continuation, Measurement, MetricInfo, PromptScore, TargetScore


class Metric(Protocol):
    """Sequences wanted → token losses → one number per fixture, with its direction and unit.

    A metric may hold data of its own (a response bank does) but never a prompt: the same object measures base and head,
    so that their numbers are paired. It is pure: equal scores give an equal measurement.
    """

    @property
    def info(self) -> MetricInfo:
        """Name, unit, direction."""
        ...

    def supports(self, fixture: Fixture) -> str | None:
        """None if the fixture can be measured, else the reason it cannot."""
        ...

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        """The texts to score after the fixture's prompt; at least one."""
        ...

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """One number from the losses of ``continuations(fixture)``, in that order."""
        ...


class Scores(Protocol):
    """Whoever scores prompts: the scorer itself, or one that keeps books of what it costs."""

    def score(self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture], metric: Metric) -> list[PromptScore]:
        """Every prompt over the same fixtures, in the order given."""
        ...
