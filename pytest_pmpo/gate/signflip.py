"""Sign-flip permutation of paired differences, and the interval that inverting it gives.

Cluster ``c`` holds the pair ``(A_c, W_c)`` = (sum of weight × difference, sum of weights); the mean difference is
``θ = ΣA / ΣW``. Under "the true mean is δ" with cluster differences symmetric around it, the residuals
``a_c = A_c - δ W_c`` may each change sign without changing their joint distribution. The one-sided p-value is the share
of the ``2^n`` sign patterns whose sum reaches the observed one::

    p(δ) = P( Σ s_c a_c >= Σ a_c )                        s_c = -1 on a subset S, +1 elsewhere
         = P( Σ_{c in S} a_c <= 0 )
         = ( 1 + #{ non-empty S : mean_S <= δ } ) / 2^n   with mean_S = Σ_S A / Σ_S W

so the subset means hold the whole test: the largest δ that is still rejected at level α lies just below their order
statistic number ``floor(α 2^n)``, which is the lower bound. This is the typical-value theorem of J. A. Hartigan, "Using
subsample values as typical values", Journal of the American Statistical Association 64 (1969), 1303-1317. With a random
draw of subsets in place of all of them, ``2^n`` becomes the number drawn + 1, and the p-value is that of a Monte Carlo
test (B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", 2010).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXACT_BELOW = 20
"""From this many clusters on, the subsets are drawn instead of enumerated (2^19 = 524 288 means is 4 MiB)."""

_TIE = 1e-12  # subset sums of exactly zero come out as rounding errors of this relative size
_CHUNK = 1 << 22  # random signs held at a time


def all_subset_means(sums: Floats, weights: Floats) -> Floats:
    """Weighted means of all ``2^n - 1`` non-empty subsets of clusters, sorted; shape ``(2^n - 1,)``.

    Args:
        sums: Σ weight × difference of each cluster, shape ``(n,)``, ``n < 20``.
        weights: Σ weight of each cluster, positive, shape ``(n,)``.
    """
    top = np.zeros(1)
    bottom = np.zeros(1)
    for a, w in zip(sums, weights, strict=True):  # doubling: with and without the next cluster
        top = np.concatenate([top, top + a])
        bottom = np.concatenate([bottom, bottom + w])
    return _snapped_and_sorted(top[1:] / bottom[1:], sums, weights)


def drawn_subset_means(sums: Floats, weights: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Weighted means of ``count`` random subsets, each cluster in with probability 1/2, sorted; shape ``(count,)``.

    The empty subset counts as ``<= δ`` for every δ, so its mean is -inf here.
    """
    n = len(sums)
    parts = []
    step = max(1, _CHUNK // n)
    pairs = np.stack([sums, weights], axis=1)
    for start in range(0, count, step):
        rows = min(step, count - start)
        bits = np.frombuffer(rng.bytes((rows * n + 7) // 8), dtype=np.uint8)
        chosen = np.unpackbits(bits, count=rows * n).reshape(rows, n)
        totals = chosen @ pairs
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(np.where(totals[:, 1] > 0, totals[:, 0] / totals[:, 1], -np.inf))
    return _snapped_and_sorted(np.concatenate(parts), sums, weights)


def _snapped_and_sorted(means: Floats, sums: Floats, weights: Floats) -> Floats:
    """Zeros that rounding blurred become zeros again, so that a tie is counted as one."""
    scale = float(np.max(np.abs(sums / weights)))
    means[np.abs(means) <= _TIE * scale] = 0.0
    means.sort()
    return means


def p_value(means: Floats) -> float:
    """One-sided p-value of "the mean difference is at most 0", from sorted subset means."""
    return float(1 + np.searchsorted(means, 0.0, side="right")) / float(len(means) + 1)


def lower_bound(means: Floats, level: float) -> float:
    """One-sided lower bound of the mean difference at error ``level``; -inf where so fine a level is out of reach."""
    rank = int(np.floor(level * (len(means) + 1) * (1 + 1e-12)))  # 0.05 * 20 must not become 0.999…
    return float(means[rank - 1]) if rank >= 1 else -np.inf


def mirrored(means: Floats) -> Floats:
    """The subset means of the differences with their signs changed, for the test of "better"."""
    return np.sort(np.where(np.isneginf(means), means, -means))
