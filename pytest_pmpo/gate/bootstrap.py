"""BCa bootstrap of a weighted mean difference over clusters, by ``scipy.stats.bootstrap``.

B. Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association 82 (1987), 171-185.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pytest_pmpo.gate.signflip import Floats

INTERVAL_LEVEL = 0.025
"""Error on each side of the printed 95 % interval."""

_FEWEST, _MOST = 9_999, 199_999
_CELLS = 1 << 21  # resampled values held at a time


def resamples(level: float) -> int:
    """Resamples that leave at least 20 beyond the bound at ``level``; between 9 999 and 199 999."""
    return min(max(_FEWEST, math.ceil(20 / level)), _MOST)


@dataclass(frozen=True, slots=True)
class Ends:
    """``low, high``: two-sided 95 % interval; ``lower_bound, upper_bound``: one-sided, at the level of the decision."""

    low: float
    high: float
    lower_bound: float
    upper_bound: float


def bca(sums: Floats, weights: Floats, level: float, count: int, rng: np.random.Generator) -> Ends:
    """Interval at 95 % and one-sided bounds at ``level``.

    Args:
        sums, weights: of each cluster, shape ``(n,)``; not all means equal.
        level: error of each one-sided bound.
        count: number of resamples.

    Returns:
        the ends; one that BCa cannot give (NaN) is infinite.
    """
    from scipy import stats  # half a second; only verdicts that compare pay for it

    def ratio(a: Floats, w: Floats, axis: int = -1) -> Floats:
        return np.asarray(a.sum(axis=axis) / w.sum(axis=axis), dtype=np.float64)

    result = None
    ends: list[float] = []
    for confidence, side in ((1 - 2 * INTERVAL_LEVEL, "two-sided"), (1 - level, "greater"), (1 - level, "less")):
        result = stats.bootstrap(
            (sums, weights),
            ratio,
            n_resamples=count if result is None else 0,  # the later calls reread the resamples of the first
            batch=max(1, _CELLS // len(sums)),
            vectorized=True,
            paired=True,
            confidence_level=confidence,
            alternative=side,
            method="BCa",
            bootstrap_result=result,
            rng=rng,
        )
        ends += [float(result.confidence_interval.low), float(result.confidence_interval.high)]
    low, high, lower, _, _, upper = ends
    return Ends(_or(low, -math.inf), _or(high, math.inf), _or(lower, -math.inf), _or(upper, math.inf))


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
