"""Expected quality under one prompt from responses drawn under others: self-normalised importance sampling.

With responses y_j drawn from proposals p_1 … p_m (n_k draws each, N in all), the mixture density

    q(y) = Σ_k (n_k / N) · p_k(y)

is the balance heuristic of Veach and Guibas (1995): a response counts under every proposal that might have written it,
so no weight exceeds N / n_k for a prompt that is itself a proposal. With w_j = p(y_j) / q(y_j),

    estimate  Â   = Σ_j w_j c_j / Σ_j w_j
    variance  V̂   = Σ_j ω_j² (c_j − Â)²,   ω_j = w_j / Σ w      (delta method; Owen, *Monte Carlo theory*, ch. 9)
    ESS           = 1 / Σ_j ω_j²
    bias      b̂   = (K − 1) (mean_j Â₋ⱼ − Â),   Â₋ⱼ without response j of K   (jackknife; Quenouille 1956)

A ratio of means is biased by the order of 1 / K, the more the fewer responses a prompt makes likely. Every fixture errs
the same way then, which no interval over fixtures shows.

ESS cannot see what is missing: when every response is improbable the largest of the small weights still wins. What can
be seen is that E_q[w] = 1. The share of the prompt's responses that the bank covers to within a factor M is

    coverage_M    = E_q[min(w, M)] = ∫ min(p, M q)  ≤  1,

estimated by the mean over responses and fixtures; it is bounded, so its variance is small where that of w has no bound.
Everything is done in log space: log-probabilities of long responses are far below the smallest float.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """What responses say of one fixture under one prompt.

    Attributes:
        value: Â, in the unit of the grades.
        variance: of Â given the fixture: Monte Carlo error of a bank this small.
        effective_sample_size: between 1 and the number of responses.
        coverage: mean of min(w, M) over the responses; about 1 where the bank covers the prompt.
        bias: b̂, of so small a bank; ``value`` less ``bias`` stays within 0 and 1.
    """

    value: float
    variance: float
    effective_sample_size: float
    coverage: float
    bias: float


def mixture(log_densities: Sequence[float], counts: Sequence[int]) -> float:
    """log q(y) from the log-probabilities (nats) of one response under each proposal, and their numbers of draws.

    Raises:
        ValueError: if there are no draws.
    """
    total = sum(counts)
    if total <= 0:
        raise ValueError("a mixture needs at least one draw")
    terms = [density + math.log(n / total) for density, n in zip(log_densities, counts, strict=True) if n > 0]
    return log_sum(terms)


def self_normalised(
    log_target: Sequence[float],
    log_proposal: Sequence[float],
    grades: Sequence[float],
    limit: float,
    counts: Sequence[float] | None = None,
) -> Estimate:
    """The estimate of one fixture.

    Args:
        log_target: log p(y_j) under the prompt in question, nats.
        log_proposal: log q(y_j) of the mixture, nats.
        grades: c_j.
        limit: M of the coverage.
        counts: how many draws each response stands for, where not all are here; default one.

    Raises:
        ValueError: without responses, or if a log-density is NaN, or all are minus infinity.
    """
    log_weights = [p - q for p, q in zip(log_target, log_proposal, strict=True)]
    if not log_weights or not all(math.isfinite(weight) for weight in log_weights):
        raise ValueError("an estimate needs responses with finite log-probabilities")
    stands_for = [1.0] * len(log_weights) if counts is None else list(counts)
    terms = [weight + math.log(count) for weight, count in zip(log_weights, stands_for, strict=True)]
    normaliser = log_sum(terms)
    shares = [math.exp(term - normaliser) for term in terms]
    value = math.fsum(share * grade for share, grade in zip(shares, grades, strict=True))
    # rounding must not push a mean of grades outside their range
    value = min(max(value, min(grades)), max(grades))
    log_limit = math.log(limit)
    return Estimate(
        value,
        math.fsum(share**2 * (grade - value) ** 2 for share, grade in zip(shares, grades, strict=True)),
        1 / math.fsum(share**2 for share in shares),
        math.fsum(n * math.exp(min(weight, log_limit)) for weight, n in zip(log_weights, stands_for, strict=True))
        / math.fsum(stands_for),
        _bias(terms, shares, grades, value),
    )


def _bias(terms: Sequence[float], shares: Sequence[float], grades: Sequence[float], value: float) -> float:
    """Of the weighted mean ``value`` of ``grades``, by leaving each response out in turn; 0 where all grades agree."""
    k = len(terms)
    if k == 1 or min(grades) == max(grades):
        return 0.0
    without = [
        # taking a share above a half out of the sum would leave little but rounding
        (value - share * grade) / (1 - share)
        if share < 0.5
        else _weighted([*terms[:j], *terms[j + 1 :]], [*grades[:j], *grades[j + 1 :]])
        for j, (share, grade) in enumerate(zip(shares, grades, strict=True))
    ]
    corrected = k * value - (k - 1) * math.fsum(without) / k
    return value - min(max(corrected, 0.0), 1.0)


def _weighted(terms: Sequence[float], values: Sequence[float]) -> float:
    normaliser = log_sum(terms)
    return math.fsum(math.exp(term - normaliser) * value for term, value in zip(terms, values, strict=True))


def log_sum(terms: Sequence[float]) -> float:
    """log Σ exp(term), without overflow."""
    top = max(terms)
    if not math.isfinite(top):
        return top
    return top + math.log(math.fsum(math.exp(term - top) for term in terms))
