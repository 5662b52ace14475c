"""Pairing base and head fixture by fixture, and refusing what cannot be paired. Without numpy."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from pytest_pmpo.errors import FixtureError, NumericsError, PmpoError
from pytest_pmpo.gate.records import Policy
from pytest_pmpo.scoring.records import PromptScore


def signed_differences(base: PromptScore, head: PromptScore) -> list[float]:
    """Head minus base of every fixture, sign changed where higher is better, so that positive is worse.

    Raises:
        NumericsError: naming the fixture whose number is NaN or infinite.
        FixtureError: if base and head were not measured on the same fixtures in the same order.
        PmpoError: if they were not measured by the same metric.
    """
    _require_same_ground(base, head)
    require_finite(base, "base")
    require_finite(head, "head")
    sign = 1.0 if head.metric.direction == "lower" else -1.0
    return [sign * (h.value - b.value) for b, h in zip(base.fixtures, head.fixtures, strict=True)]


def without(score: PromptScore, ids: Collection[str]) -> PromptScore:
    """The score over the other fixtures."""
    return replace(score, fixtures=tuple(row for row in score.fixtures if row.fixture_id not in ids)) if ids else score


def effective_tolerance(policy: Policy, head: PromptScore, base_mean: float) -> float:
    """The tolerance in the metric's unit (a share of the base's mean if relative), never below the noise floor."""
    relative = head.metric.scale == "relative"
    return max(policy.tolerance * abs(base_mean) if relative else policy.tolerance, policy.noise_floor)


def require_finite(score: PromptScore, version: str) -> None:
    """Raise NumericsError for the first fixture with a NaN or infinite number."""
    for fixture in score.fixtures:
        measured = fixture.measurement
        numbers = [measured.value, fixture.weight]
        numbers += [] if measured.nll_per_token is None else [measured.nll_per_token]
        bad = next((x for x in numbers if not math.isfinite(x)), None)
        if bad is not None:
            raise NumericsError(
                f"{score.prompt}: fixture {fixture.fixture_id!r} measures {bad} under the {version} prompt",
                location=fixture.location,
                hint="no verdict is given on such a number; check the model's weights and dtype (float32 is safest)",
            )


def _require_same_ground(base: PromptScore, head: PromptScore) -> None:
    if base.metric != head.metric:
        raise PmpoError(
            f"{head.prompt}: base was measured by {base.metric.name} ({base.metric.unit}), "
            f"head by {head.metric.name} ({head.metric.unit})",
            hint="measure both by one metric",
        )
    if not head.fixtures:
        raise FixtureError(f"{head.prompt}: there are no fixtures to compare")
    if len(base.fixtures) != len(head.fixtures):
        raise FixtureError(f"{head.prompt}: base has {len(base.fixtures)} fixtures, head has {len(head.fixtures)}")
    for b, h in zip(base.fixtures, head.fixtures, strict=True):
        if b.fixture_id != h.fixture_id:
            raise FixtureError(
                f"{head.prompt}: base has fixture {b.fixture_id!r} where head has {h.fixture_id!r}",
                location=h.location,
                hint="measure base and head on the same fixtures, in one order",
            )
