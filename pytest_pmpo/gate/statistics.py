"""Paired comparison of base and head: mean difference, interval, one-sided bounds, minimum detectable effect.

Differences are per fixture and signed so that positive is worse. Fixtures of one group are one draw: they enter as the
pair (Σ weight × difference, Σ weight), and only whole groups are flipped or resampled. The mean is ΣA / ΣW.

Below 20 clusters the ends come from the exact sign-flip test (``signflip``), from 20 on from the BCa bootstrap
(``bootstrap``) and drawn sign flips; in both cases a bound that knows about skewness (``skewness``) watches over them,
and each end is the most cautious of those that apply. Each alone errs on the liberal side somewhere: BCa under heavy
tails, sign flips under skew; ``benchmarks/gate_calibration`` shows by how much. Random draws are seeded, so that equal
inputs give equal ends.

Where both numbers may be off together, whatever the fixtures (the bias of a small response bank), the ends are wider by
that much: no number of fixtures averages it away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pytest_pmpo.gate import bootstrap, power, signflip, skewness
from pytest_pmpo.gate.bootstrap import INTERVAL_LEVEL, Ends
from pytest_pmpo.gate.pairing import effective_tolerance, signed_differences
from pytest_pmpo.gate.records import Comparison, Policy
from pytest_pmpo.gate.signflip import Floats
from pytest_pmpo.scoring.metrics.response_bank import systematic_error
from pytest_pmpo.scoring.records import FixtureScore, PromptScore

_SEED = 20505  # any fixed number: a verdict must not depend on the run


@dataclass(frozen=True, slots=True)
class Clusters:
    """Independent draws. ``sums`` = Σ weight × difference, ``weights`` = Σ weight, both of shape ``(clusters,)``."""

    sums: Floats
    weights: Floats

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def mean(self) -> float:
        """Weighted mean difference."""
        return math.fsum(self.sums) / math.fsum(self.weights)

    @property
    def standard_error(self) -> float:
        """Linearised standard error of the ratio ΣA / ΣW, with n - 1; nan for a single cluster."""
        n = len(self)
        if n < 2:
            return math.nan
        residuals = self.sums - self.mean * self.weights
        return math.sqrt(n / (n - 1) * math.fsum(residuals**2)) / math.fsum(self.weights)

    @property
    def constant(self) -> bool:
        """Whether every cluster has the same mean difference, up to rounding: there is nothing to resample."""
        means = self.sums / self.weights
        return bool(np.ptp(means) <= 1e-12 * max(float(np.max(np.abs(means))), 1e-300))


@dataclass(frozen=True, slots=True)
class Bounds(Ends):
    """The ends that hold, the p-value of "worse" by sign flips, and what made them."""

    p_worse: float
    method: str


def compare(base: PromptScore, head: PromptScore, policy: Policy) -> Comparison:
    """Everything the decision and the reports need to know of the paired differences.

    Raises:
        NumericsError: naming the fixture whose number is NaN or infinite.
        FixtureError: if base and head were not measured on the same fixtures in the same order.
        PmpoError: if they were not measured by the same metric.
    """
    deltas = signed_differences(base, head)
    clusters = cluster(head.fixtures, deltas)
    level = policy.alpha / policy.family
    bounds = bound(clusters, level)
    weights = [f.weight for f in head.fixtures]
    base_mean = math.fsum(w * f.value for w, f in zip(weights, base.fixtures, strict=True)) / math.fsum(weights)
    se = 0.0 if clusters.constant else clusters.standard_error
    error = systematic_error(base, head)
    n, g = len(head.fixtures), len(clusters)

    def needed(effect: float) -> int | None:
        draws = power.needed_clusters(se, g, level, effect - error)
        return None if draws is None else math.ceil(draws * n / g)

    return Comparison(
        n=n,
        clusters=g,
        base_mean=base_mean,
        head_mean=head.mean,
        delta=clusters.mean,
        low=bounds.low - error,
        high=bounds.high + error,
        lower_bound=bounds.lower_bound - error,
        upper_bound=bounds.upper_bound + error,
        p_worse=bounds.p_worse,
        method=bounds.method,
        detectable=power.detectable(se, g, level) + error,
        needed=needed(effective_tolerance(policy, head, base_mean)),
        needed_for_delta=needed(abs(clusters.mean)),
        systematic=error,
    )


def cluster(fixtures: tuple[FixtureScore, ...], deltas: list[float]) -> Clusters:
    """Sum weighted differences over groups; a fixture without a group is its own. Order of first appearance."""
    sums: dict[object, list[float]] = {}
    weights: dict[object, list[float]] = {}
    for index, (fixture, delta) in enumerate(zip(fixtures, deltas, strict=True)):
        key: object = index if fixture.group is None else fixture.group
        sums.setdefault(key, []).append(fixture.weight * delta)
        weights.setdefault(key, []).append(fixture.weight)
    return Clusters(
        np.array([math.fsum(values) for values in sums.values()]),
        np.array([math.fsum(values) for values in weights.values()]),
    )


def bound(clusters: Clusters, level: float) -> Bounds:
    """Interval at 95 % and one-sided bounds at ``level``, each the most cautious of the methods that apply."""
    sums, weights, mean = clusters.sums, clusters.weights, clusters.mean
    if len(clusters) < signflip.EXACT_BELOW:
        method = "sign-flip, exact"
        means = signflip.all_subset_means(sums, weights)
        bca = Ends(math.inf, -math.inf, math.inf, -math.inf)
    else:
        method = "BCa bootstrap and sign-flip"
        count = bootstrap.resamples(min(level, INTERVAL_LEVEL))
        means = signflip.drawn_subset_means(sums, weights, count, np.random.default_rng(_SEED))
        rng = np.random.default_rng(_SEED)
        bca = Ends(mean, mean, mean, mean) if clusters.constant else bootstrap.bca(sums, weights, level, count, rng)
    flips, mirror = means, signflip.mirrored(means)
    hall, hall_mirror = skewness.Moments.of(sums, weights), skewness.Moments.of(-sums, weights)

    def lower(at: float) -> float:
        return min(signflip.lower_bound(flips, at), hall.lower_bound(at))

    def upper(at: float) -> float:
        return max(-signflip.lower_bound(mirror, at), -hall_mirror.lower_bound(at))

    return Bounds(
        low=min(lower(INTERVAL_LEVEL), bca.low),
        high=max(upper(INTERVAL_LEVEL), bca.high),
        lower_bound=min(lower(level), bca.lower_bound),
        upper_bound=max(upper(level), bca.upper_bound),
        p_worse=signflip.p_value(means),
        method=method,
    )
