"""What a set of fixtures can see: the minimum detectable effect, and how many would see less.

E. Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 5: with paired differences of standard deviation
``s`` over ``n`` independent draws, a one-sided test at level α finds a true mean difference

    mde = ( t_{1-α} + t_{1-β} ) · s / sqrt(n)

with power 1-β. Student's quantiles stand in for the normal ones because n is small here. Draws are clusters. The
guard against skewness costs power where draws are few; the factor ``1 + 3.3 z²_{1-α} / n^1.5`` allows for it. It was
fitted to the gate's own power under normal differences, n = 8 to 200 and α = 0.05 to 0.005;
``benchmarks/gate_calibration`` prints the power that the resulting effect has.
"""

from __future__ import annotations

import math

POWER = 0.8
_GUARD = 3.3
_MOST = 1_000_000


def detectable(standard_error: float, clusters: int, level: float) -> float:
    """Smallest true mean difference found with 80 % power, in the unit of ``standard_error``.

    Args:
        standard_error: of the mean difference, over clusters.
        clusters: independent draws.
        level: one-sided error rate of the test.

    Returns:
        inf where no outcome of so few clusters is significant at ``level``.
    """
    if clusters < fewest_clusters(level) or clusters < 2:
        return math.inf
    return _factor(clusters, level) * standard_error


def needed_clusters(standard_error: float, clusters: int, level: float, effect: float) -> int | None:
    """Clusters of the same spread with which ``effect`` would be found with 80 % power; None if more than a million.

    ``standard_error`` is that of ``clusters`` clusters.
    """
    if effect <= 0 or clusters < 2:
        return None
    fewest = max(2, fewest_clusters(level))
    spread = standard_error * math.sqrt(clusters)

    def sees(n: int) -> bool:
        return _factor(n, level) * spread / math.sqrt(n) <= effect

    if not sees(_MOST):
        return None
    low, high = fewest - 1, _MOST  # sees(high) holds; bisect, as the effect found shrinks with n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if sees(middle) else (middle, high)
    return high


def fewest_clusters(level: float) -> int:
    """Clusters below which not even one-signed differences reach ``level`` in a sign-flip test: 2^-n > level."""
    return max(1, math.ceil(-math.log2(level) - 1e-12))


def _factor(clusters: int, level: float) -> float:
    from scipy.special import ndtri, stdtrit  # slow to import; only verdicts that compare pay for it

    df = clusters - 1
    allowance = 1 + _GUARD * float(ndtri(level)) ** 2 / math.pow(clusters, 1.5)
    return float(stdtrit(df, 1 - level) + stdtrit(df, POWER)) * allowance
