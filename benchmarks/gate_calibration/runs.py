"""The gate's own statistics, run over drawn differences: how often they err, and how often they find what is there.

The rule under test is ``statistics.bound``: a regression is called when the one-sided lower bound is above zero (the
tolerance is zero here, so nothing else protects). As every end is the most cautious of several, a bound that is not
above zero by its cheapest part (``skewness.Moments``) need not be computed further; that is what makes enough
replications affordable, and it changes no outcome.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.gate_calibration import nulls
from pytest_pmpo.gate import bootstrap, power, signflip, statistics
from pytest_pmpo.gate.bootstrap import INTERVAL_LEVEL
from pytest_pmpo.gate.skewness import Moments
from pytest_pmpo.gate.statistics import Clusters

ALPHA = 0.05
SHARED = ALPHA / 10  # ten changed prompts
HARD_BREAK = 1.0  # nats per token, the default of the gate
SCALE = 0.15  # nats per token that one standard deviation of a difference is taken to be, for the guard's column

AT_MDE = -1.0


@dataclass(frozen=True)
class Level:
    """Shares of replications under one null at one number of draws, each between 0 and 1."""

    name: str
    n: int
    replications: int
    false_alarms: float
    false_alarms_shared: float
    coverage: float
    hard_breaks: float
    parts: dict[str, float]
    parts_replications: int


@dataclass(frozen=True)
class Power:
    """Share of replications in which an effect was found."""

    name: str
    n: int
    effect: float
    replications: int
    found: float
    found_shared: float


def seed(*parts: object) -> int:
    """A seed that depends on what is run, not on the order of the runs."""
    return zlib.crc32(repr(parts).encode())


def alarms(clusters: Clusters, level: float) -> bool:
    """Whether the rule calls a regression at ``level``."""
    if Moments.of(clusters.sums, clusters.weights).lower_bound(level) <= 0:
        return False
    return statistics.bound(clusters, level).lower_bound > 0


def covers(clusters: Clusters) -> bool:
    """Whether the printed 95 % interval holds the true mean, zero."""
    one, other = Moments.of(clusters.sums, clusters.weights), Moments.of(-clusters.sums, clusters.weights)
    if one.lower_bound(INTERVAL_LEVEL) <= 0 and other.lower_bound(INTERVAL_LEVEL) <= 0:
        return True
    bounds = statistics.bound(clusters, ALPHA)
    return bounds.low <= 0 <= bounds.high


def level(job: tuple[str, int, int, int]) -> Level:
    """False alarms and coverage of one null; ``job`` = name, draws, replications, replications for the parts."""
    name, n, replications, few = job
    rng = np.random.default_rng(seed("level", name, n))
    counts = np.zeros(4)
    for _ in range(replications):
        drawn = nulls.clusters(name, rng, n)
        worst = float(np.max(drawn.sums / drawn.weights)) * SCALE
        counts += (alarms(drawn, ALPHA), alarms(drawn, SHARED), covers(drawn), worst > HARD_BREAK)
    own, shared, covered, broken = (float(c) for c in counts / replications)
    return Level(name, n, replications, own, shared, covered, broken, _parts(name, n, few), few)


def _parts(name: str, n: int, replications: int) -> dict[str, float]:
    """False alarms at ``ALPHA`` of each ingredient alone, on fewer replications and resamples."""
    rng = np.random.default_rng(seed("parts", name, n))
    counts = {"sign-flip": 0, "BCa": 0, "Hall × 2": 0}
    for _ in range(replications):
        drawn = nulls.clusters(name, rng, n)
        sums, weights = drawn.sums, drawn.weights
        inner = np.random.default_rng(1)
        if n < signflip.EXACT_BELOW:
            means = signflip.all_subset_means(sums, weights)
        else:
            means = signflip.drawn_subset_means(sums, weights, 1999, inner)
        counts["sign-flip"] += signflip.lower_bound(means, ALPHA) > 0
        counts["Hall × 2"] += Moments.of(sums, weights).lower_bound(ALPHA) > 0
        if not drawn.constant:
            counts["BCa"] += bootstrap.bca(sums, weights, ALPHA, 1999, inner).lower_bound > 0
    return {part: count / replications for part, count in counts.items()}


def found(job: tuple[str, int, float, int]) -> Power:
    """Power at one effect in standard deviations; ``job`` = name, draws, effect, replications.

    ``AT_MDE`` as effect stands for the minimum detectable effect that the gate prints for that many draws.
    """
    name, n, effect, replications = job
    rng = np.random.default_rng(seed("power", name, n, effect))
    counts = np.zeros(2)
    for _ in range(replications):
        for i, at in enumerate((ALPHA, SHARED)):
            size = power.detectable(n**-0.5, n, at) if effect == AT_MDE else effect
            counts[i] += np.isfinite(size) and alarms(nulls.clusters(name, rng, n, size), at)
    return Power(name, n, effect, replications, *(float(c) for c in counts / replications))


def jobs(sizes: Iterable[int], replications: int, few: int) -> list[tuple[str, int, int, int]]:
    """One job per null and size, largest first so that two processes end together."""
    return [(name, n, replications, few) for n in sorted(sizes, reverse=True) for name in nulls.NULLS]


def power_jobs(sizes: Iterable[int], effects: Iterable[float], replications: int) -> list[tuple[str, int, float, int]]:
    """One job per distribution, size and effect, but none beyond five standard errors."""
    return [
        (name, n, effect, replications)
        for n in sorted(sizes, reverse=True)
        for name in ("normal", "t3")
        for effect in (*effects, AT_MDE)
        if effect * n**0.5 <= 5
    ]
