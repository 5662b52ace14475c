"""A one-sided bound that knows about skewness, to guard the sign-flip test.

Sign flips assume differences that are symmetric around their mean. Where most fixtures get a little worse and a few
much better, the mean can be zero while nearly every sample looks worse, and the test then says "regressed" too often.
P. Hall, "On the removal of skewness by transformation", Journal of the Royal Statistical Society B 54 (1992), 221-228,
corrects Student's t by a monotone cubic in ``S = (mean - δ) / s``::

    g(S) = S + γ S² / 3 + γ² S³ / 27 + γ / (6 n)       sqrt(n) g(S) is close to Student's t with n - 1 degrees

and inverts in closed form. The skewness γ of a sample of n cannot exceed about sqrt(n) and is too small on average; so
where it speaks against "worse" (γ < 0) it counts twice. The factor is a choice: it was set, before the benchmark was
written, where the share of false failures under skewed nulls came down to about alpha from 20 clusters on.
``benchmarks/gate_calibration`` prints what holds and what does not. No test of a mean can hold for every skewed null:
R. R. Bahadur and L. J. Savage, "The nonexistence of certain statistical procedures in nonparametric problems",
Annals of Mathematical Statistics 27 (1956), 1115-1122.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pytest_pmpo.gate.signflip import Floats

_DOUBT = 2.0  # how much more adverse skewness is assumed than seen


@dataclass(frozen=True, slots=True)
class Moments:
    """What the bound needs of the clusters: number, mean, standard deviation and skewness of their differences."""

    n: int
    mean: float
    deviation: float
    skew: float

    @classmethod
    def of(cls, sums: Floats, weights: Floats) -> Moments:
        """Moments of the linearised ratio ΣA / ΣW: residuals ``(A_c - θ W_c) n / ΣW``, with n - 1 and n - 2."""
        n = len(sums)
        mean = float(sums.sum() / weights.sum())
        residuals = (sums - mean * weights) * n / weights.sum()
        scale = float(np.max(np.abs(sums / weights)))
        if n < 3 or float(np.max(np.abs(residuals))) <= 1e-12 * scale:  # too few, or all equal up to rounding
            return cls(n, mean, 0.0 if n >= 3 or scale == 0 else math.inf, 0.0)
        deviation = math.sqrt(float((residuals**2).sum()) / (n - 1))
        skew = n * float(((residuals / deviation) ** 3).sum()) / ((n - 1) * (n - 2))
        return cls(n, mean, deviation, skew)

    def lower_bound(self, level: float) -> float:
        """One-sided lower bound of the mean at error ``level``; -inf for fewer than three clusters that differ."""
        if self.deviation == 0:
            return self.mean
        if math.isinf(self.deviation):
            return -math.inf
        from scipy.special import stdtrit  # slow to import; only verdicts that compare pay for it

        g = self.skew if self.skew > 0 else _DOUBT * self.skew
        x = float(stdtrit(self.n - 1, 1 - level)) / math.sqrt(self.n)
        if abs(g) < 1e-9:
            return self.mean - self.deviation * x
        s = 3 / g * (math.cbrt(1 + g * (x - g / (6 * self.n))) - 1)
        return self.mean - self.deviation * s
