"""Scores made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, PromptScore

MakeScore = Callable[..., PromptScore]

LOSS = MetricInfo("cross-entropy", "nats/token")


@pytest.fixture
def score() -> MakeScore:
    """A PromptScore from values, one per fixture; ``nll`` defaults to the values themselves."""

    def make(
        values: Sequence[float],
        *,
        metric: MetricInfo = LOSS,
        nll: Sequence[float | None] | None = None,
        groups: Sequence[str | None] | None = None,
        weights: Sequence[float] | None = None,
        ids: Sequence[str] | None = None,
    ) -> PromptScore:
        n = len(values)
        rows = zip(
            ids or [f"case-{i}" for i in range(n)],
            values,
            nll if nll is not None else values,
            groups or [None] * n,
            weights or [1.0] * n,
            strict=True,
        )
        fixtures = tuple(
            FixtureScore(id_, Measurement(value, tokens), group=group, weight=weight)
            for id_, value, tokens, group, weight in rows
        )
        return PromptScore("prompts/triage.prompt.yml", metric, fixtures)

    return make
