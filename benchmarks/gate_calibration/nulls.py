"""Distributions of per-fixture differences with mean exactly zero: a change neither better nor worse on average.

Positive is worse. Each has standard deviation 1 (``t2`` has none; its scale is 1), so that effects and the hard-break
guard read in the same unit for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pytest_pmpo.gate.statistics import Clusters

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def _normal(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_normal(n)


def _laplace(rng: np.random.Generator, n: int) -> Floats:
    return rng.laplace(scale=math.sqrt(0.5), size=n)


def _t3(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_t(3, n) / math.sqrt(3)


def _t2(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_t(2, n)


def _few_much_worse(rng: np.random.Generator, n: int) -> Floats:
    """Centred lognormal, skewness 6.2: most fixtures a little better, a few much worse."""
    return (rng.lognormal(size=n) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)


def _few_much_better(rng: np.random.Generator, n: int) -> Floats:
    """The same, mirrored: most fixtures a little worse, a few much better. The hard case for a regression gate."""
    return -_few_much_worse(rng, n)


def _mildly_skewed(rng: np.random.Generator, n: int) -> Floats:
    """Centred lognormal with sigma 0.5, mirrored, skewness -1.75."""
    s2 = 0.25
    return (math.exp(s2 / 2) - rng.lognormal(sigma=0.5, size=n)) / math.sqrt((math.exp(s2) - 1) * math.exp(s2))


def _sparse(rng: np.random.Generator, n: int) -> Floats:
    """Four in five differences exactly zero, the others t3."""
    return np.where(rng.random(n) < 0.2, rng.standard_t(3, n), 0.0) / math.sqrt(0.6)


def _rare_rescue(rng: np.random.Generator, n: int) -> Floats:
    """Nine in ten fixtures 0.3 worse, one in ten 2.7 better, noise 0.4: many small samples hold no rescued fixture."""
    return (np.where(rng.random(n) < 0.1, -2.7, 0.3) + 0.4 * rng.standard_normal(n)) / math.sqrt(0.81 + 0.16)


SINGLE: Mapping[str, Draw] = {
    "normal": _normal,
    "laplace": _laplace,
    "t3": _t3,
    "t2": _t2,
    "sparse": _sparse,
    "few much worse": _few_much_worse,
    "mildly skewed": _mildly_skewed,
    "few much better": _few_much_better,
    "rare rescue": _rare_rescue,
}
"""One fixture is one draw."""

GROUPED = "grouped t3"
"""One to six fixtures of unequal weight share a t3 draw, plus noise of their own."""

NULLS = (*SINGLE, GROUPED)

SYMMETRIC = ("normal", "laplace", "t3", "t2", "sparse", GROUPED)
"""Where the sign-flip test is exact."""


def clusters(name: str, rng: np.random.Generator, n: int, effect: float = 0.0) -> Clusters:
    """``n`` independent draws with mean ``effect``, as the gate sums them up."""
    if name != GROUPED:
        return Clusters(SINGLE[name](rng, n) + effect, np.ones(n))
    sizes = rng.integers(1, 7, n)
    shared = _t3(rng, n) * math.sqrt(0.8)
    sums, weights = np.empty(n), np.empty(n)
    for i, size in enumerate(sizes):
        w = rng.uniform(0.5, 2.0, size)
        d = shared[i] + math.sqrt(0.2) * rng.standard_normal(size) + effect
        sums[i], weights[i] = (w * d).sum(), w.sum()
    return Clusters(sums, weights)
