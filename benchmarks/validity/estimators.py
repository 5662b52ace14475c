"""Numbers per prompt and item [P, n]: every metric, and every estimator that was tried on the bank.

Higher is better in all of them. The product's own estimator is called through the product (``product``), so that the
benchmark measures what is shipped; the vectorised ``self_normalised`` is the same formula and a test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.validity.records import Floats, Ints, Subset, TaskRun
from pytest_pmpo.scoring.metrics import importance

Estimator = Callable[[Subset], Floats]
LabelMetric = Callable[[TaskRun], Floats | None]


def _sum(item: Ints, values: Floats, n: int) -> Floats:
    """Sums over items: [P, R] → [P, n]."""
    return np.stack([np.bincount(item, row, n) for row in np.atleast_2d(values)])


def _count(bank: Subset) -> Floats:
    return np.maximum(np.bincount(bank.item, minlength=bank.run.n), 1)


def _top(bank: Subset, values: Floats) -> Floats:
    top = np.full((len(values), bank.run.n), -np.inf)
    for row, out in zip(values, top, strict=True):
        np.maximum.at(out, bank.item, row)
    return top[:, bank.item]


def weighted(bank: Subset, log_w: Floats) -> Floats:
    """Self-normalised mean of the grades under log weights [P, R]."""
    w = np.exp(log_w - _top(bank, log_w))
    return _sum(bank.item, w * bank.grade, bank.run.n) / np.maximum(_sum(bank.item, w, bank.run.n), 1e-300)


def self_normalised(bank: Subset) -> Floats:
    """Balance-heuristic importance sampling, self-normalised per item."""
    return weighted(bank, bank.log_w)


def product(bank: Subset) -> Floats:
    """The same through the package's own code, item by item."""
    result = np.zeros((len(bank.log_w), bank.run.n))
    for i in range(bank.run.n):
        mine = np.flatnonzero(bank.item == i)
        for p, row in enumerate(bank.log_w[:, mine]):
            if len(mine):
                result[p, i] = importance.self_normalised(
                    row.tolist(), [0.0] * len(mine), bank.grade[mine].tolist(), 10.0
                ).value
    return result


def tempered(power: float) -> Estimator:
    """Weights to a power below 1: less variance, a bias towards the mean of the bank."""
    return lambda bank: weighted(bank, power * bank.log_w)


def length_tempered(tokens: float) -> Estimator:
    """A power √(tokens / length) for responses longer than ``tokens``: log weights grow like the root of the length."""
    return lambda bank: weighted(bank, np.minimum(1.0, np.sqrt(tokens / bank.tokens)) * bank.log_w)


def truncated(limit: float | None) -> Estimator:
    """Ionides (2008): weights above the limit are cut to it; None for the root of the number of responses."""

    def estimate(bank: Subset) -> Floats:
        bound = np.sqrt(_count(bank))[bank.item] if limit is None else limit
        return weighted(bank, np.minimum(bank.log_w, np.log(bound)))

    return estimate


def unnormalised(bank: Subset) -> Floats:
    """Mean of w c: unbiased where the bank covers the prompt, with heavy tails."""
    return np.asarray(_sum(bank.item, np.exp(np.minimum(bank.log_w, 50)) * bank.grade, bank.run.n) / _count(bank))


def control_variate(bank: Subset) -> Floats:
    """Mean of w (c − m) + m with the item's mean grade m: E[w] = 1 as a control variate."""
    mean = np.bincount(bank.item, bank.grade, bank.run.n) / _count(bank)
    w = np.exp(np.minimum(bank.log_w, 50))
    return _sum(bank.item, w * (bank.grade - mean[bank.item]), bank.run.n) / _count(bank) + mean


def regression(bank: Subset) -> Floats:
    """Mean of w c, regressed over the items on the mean of w (a control variate with a fitted coefficient)."""
    value, w = unnormalised(bank), np.exp(np.minimum(bank.log_w, 50))
    weight = _sum(bank.item, w, bank.run.n) / _count(bank)
    dx, dy = weight - weight.mean(1, keepdims=True), value - value.mean(1, keepdims=True)
    slope = (dx * dy).sum(1, keepdims=True) / np.maximum((dx * dx).sum(1, keepdims=True), 1e-12)
    return np.asarray(value - slope * (weight - 1))


def filled(floor: float, limit: float) -> Estimator:
    """Doubly robust in spirit: where an item's weights sum to less than ``floor``, its mean grade fills the rest."""

    def estimate(bank: Subset) -> Floats:
        w = np.exp(np.minimum(bank.log_w, np.log(limit)))
        total = _sum(bank.item, w, bank.run.n) / _count(bank)
        value = _sum(bank.item, w * bank.grade, bank.run.n) / _count(bank)
        mean = np.bincount(bank.item, bank.grade, bank.run.n) / _count(bank)
        fill = np.maximum(floor - total, 0)
        return (value + fill * mean) / (total + fill)

    return estimate


def shrunk(strength: float) -> Estimator:
    """Towards the mean over items under the prompt, by ``strength`` effective responses."""

    def estimate(bank: Subset) -> Floats:
        value = self_normalised(bank)
        w = np.exp(bank.log_w - _top(bank, bank.log_w))
        size = _sum(bank.item, w, bank.run.n) ** 2 / np.maximum(_sum(bank.item, w * w, bank.run.n), 1e-300)
        return np.asarray((size * value + strength * value.mean(1, keepdims=True)) / (size + strength))

    return estimate


def jackknifed(bank: Subset) -> Floats:
    """K Â − (K − 1) mean of the leave-one-out estimates: takes the 1/K bias of a ratio away, at some variance."""
    n, k = bank.run.n, _count(bank)
    w = np.exp(bank.log_w - _top(bank, bank.log_w))
    total, right = _sum(bank.item, w, n), _sum(bank.item, w * bank.grade, n)
    rest = np.maximum((total[:, bank.item] - w), 1e-12)
    without = (right[:, bank.item] - w * bank.grade) / rest
    return np.clip(k * right / np.maximum(total, 1e-300) - (k - 1) * _sum(bank.item, without, n) / k, 0, 1)


def jackknife_bias(bank: Subset) -> Floats:
    """What the jackknife says of the bias of the self-normalised estimate [P, n]."""
    return np.asarray(self_normalised(bank) - jackknifed(bank))


def pareto_smoothed(bank: Subset) -> Floats:
    """Vehtari et al. (2024) with the tail pooled over items, for one item has too few weights for a fit of its own."""
    smoothed = bank.log_w.copy()
    for row in smoothed:
        _smooth_tail(row)
    return weighted(bank, smoothed)


def _smooth_tail(log_w: Floats) -> None:
    size = int(min(0.2 * len(log_w), 3 * np.sqrt(len(log_w))))
    if size < 5:
        return
    order = np.argsort(log_w)
    tail = order[-size:]
    cut = log_w[order[-size - 1]]
    excess = np.exp(log_w[tail] - log_w[tail[-1]]) - np.exp(cut - log_w[tail[-1]])
    if excess[-1] <= 0:
        return
    shape, scale = _fit_pareto(excess)
    ranks = (np.arange(size) + 0.5) / size
    quantiles = scale * np.expm1(-shape * np.log1p(-ranks)) / shape if abs(shape) > 1e-9 else -scale * np.log1p(-ranks)
    top = log_w[tail[-1]]
    log_w[tail] = np.minimum(np.log(quantiles + np.exp(cut - top)), 0.0) + top


def _fit_pareto(x: Floats) -> tuple[float, float]:
    """Generalised Pareto shape and scale of sorted excesses (Zhang and Stephens 2009, with the weak prior of PSIS)."""
    n = len(x)
    grid = 30 + int(np.sqrt(n))
    b = 1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    b = b / (3 * max(x[int(n / 4 + 0.5) - 1], 1e-300)) + 1 / x[-1]
    k = np.log1p(-b[:, None] * x).mean(1)
    likelihood = n * (np.log(np.maximum(-b / k, 1e-300)) - k - 1)
    weights = 1 / np.exp(np.minimum(likelihood[None] - likelihood[:, None], 700)).sum(1)
    best = float((b * weights).sum() / weights.sum())
    shape = float(np.log1p(-best * x).mean())
    scale = -shape / best
    return shape * n / (n + 10) + 5 / (n + 10), scale


def right_loss(bank: Subset) -> Floats:
    """Token-mean log-likelihood of right responses."""
    right = bank.grade > 0.5
    values = np.where(right, bank.log_p / bank.tokens, 0.0)
    return _sum(bank.item, values, bank.run.n) / np.maximum(np.bincount(bank.item, right, bank.run.n), 1)


def contrast(bank: Subset) -> Floats:
    """Mean log-likelihood per token of right minus wrong responses."""
    right = bank.grade > 0.5
    values = bank.log_p / bank.tokens
    good = _sum(bank.item, np.where(right, values, 0), bank.run.n) / np.maximum(
        np.bincount(bank.item, right, bank.run.n), 1
    )
    bad = _sum(bank.item, np.where(right, 0, values), bank.run.n) / np.maximum(
        np.bincount(bank.item, ~right, bank.run.n), 1
    )
    both = (np.bincount(bank.item, right, bank.run.n) > 0) & (np.bincount(bank.item, ~right, bank.run.n) > 0)
    return np.where(both, good - bad, 0.0)


def coverage(bank: Subset, limit: float) -> Floats:
    """Mean over items of the mean of min(w, limit): [P]."""
    return np.asarray(_capped(bank, limit).mean(1))


def surely_covered(bank: Subset, limit: float) -> Floats:
    """The coverage less its standard error over items: [P]. What the gate holds against its bound."""
    capped = _capped(bank, limit)
    return np.asarray(capped.mean(1) - capped.std(1, ddof=1) / np.sqrt(bank.run.n))


def _capped(bank: Subset, limit: float) -> Floats:
    w = np.minimum(np.exp(np.minimum(bank.log_w, 50)), limit)
    return np.asarray(_sum(bank.item, w, bank.run.n) / _count(bank))


def gold(run: TaskRun) -> Floats:
    """Token-mean log-likelihood of the bare label, its end not scored."""
    return np.asarray(run.labels["gold"][:, :, 0] / run.labels["gold"][:, :, 2])


def gold_with_end(run: TaskRun) -> Floats:
    """The same with the end-of-turn token."""
    return np.asarray(run.labels["gold"][:, :, 1] / (run.labels["gold"][:, :, 2] + 1))


def gold_without_form(run: TaskRun) -> Floats | None:
    """The bare label less the label of another item."""
    control = run.labels.get("control")
    return None if control is None else gold(run) - control[:, :, 0] / control[:, :, 1]


def choice(run: TaskRun) -> Floats | None:
    """Whether the right option is the likeliest."""
    return _over_options(run, lambda right, wrong: (right > wrong.max(1)).astype(float))


def preference(run: TaskRun) -> Floats | None:
    """Minus the preference loss of the right option over the others."""
    return _over_options(run, lambda right, wrong: -np.logaddexp(0, -(right[:, None] - wrong)).mean(1))


def _over_options(run: TaskRun, of: Callable[[Floats, Floats], Floats]) -> Floats | None:
    if "options" not in run.labels:
        return None
    columns = []
    for values, expected in zip(run.labels["options"], run.labels["expected"], strict=True):
        columns.append(of(values[:, expected], np.delete(values, expected, 1)))
    return np.stack(columns, 1)


LABEL_METRICS: Mapping[str, LabelMetric] = {
    "cross-entropy of the label": gold,
    "cross-entropy, end-of-turn token scored": gold_with_end,
    "cross-entropy less form control": gold_without_form,
    "preference loss over the options": preference,
    "likelihood choice accuracy": choice,
}

BANK_METRICS: Mapping[str, Estimator] = {
    "loss of right responses": right_loss,
    "contrast of right and wrong responses": contrast,
    "response bank": self_normalised,
}

CANDIDATES: Mapping[str, Estimator] = {
    "self-normalised": self_normalised,
    "jackknifed": jackknifed,
    "tempered 0.85": tempered(0.85),
    "tempered 0.7": tempered(0.7),
    "tempered 0.5": tempered(0.5),
    "tempered by length, 20 tokens": length_tempered(20),
    "tempered by length, 80 tokens": length_tempered(80),
    "truncated at 3": truncated(3),
    "truncated at 10": truncated(10),
    "truncated at the root of K": truncated(None),
    "Pareto-smoothed": pareto_smoothed,
    "unnormalised": unnormalised,
    "control variate": control_variate,
    "regression": regression,
    "filled 0.1, truncated at 4": filled(0.1, 4),
    "filled 0.5, truncated at 4": filled(0.5, 4),
    "shrunk by 1": shrunk(1),
}
