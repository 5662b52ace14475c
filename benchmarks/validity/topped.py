"""Near pairs with a topped-up bank: a few responses of both versions themselves join those of the proposals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.validity.judging import ALPHA, Tally, Truth, p_values
from benchmarks.validity.records import Floats, TaskRun


def topped_up_differences(run: TaskRun, truth: Truth, proposals: Sequence[str], k: int) -> Floats:
    """Estimated differences [near pairs, n], each from the bank of its own pair."""
    return np.stack([_difference(run, i, j, proposals, k) for i, j in truth.pairs[truth.near]])


def judge_differences(truth: Truth, d: Floats, tolerance: float = 0.0) -> Tally:
    """As ``judging.judge``, for near pairs given by their differences."""
    differs, true = truth.differs[truth.near], truth.difference[truth.near]
    mean = d.mean(1)
    decided = (p_values(d) < ALPHA) & (np.abs(mean) > tolerance)
    right = (mean > 0) == (true > 0)
    return Tally(
        int(differs.sum()),
        int((differs & right).sum()),
        int((differs & decided).sum()),
        int((differs & decided & ~right).sum()),
        int((~differs).sum()),
        int((~differs & decided).sum()),
    )


def _difference(run: TaskRun, i: int, j: int, proposals: Sequence[str], k: int) -> Floats:
    pair = [run.prompts[i], run.prompts[j]]
    extra = run.extra[run.families[i]]
    names = list(dict.fromkeys([*proposals, *pair]))
    old = np.isin(np.array(run.proposal), proposals) & (_rank(run) < k)
    new = np.isin(np.array(extra.drawn_from), pair)
    item = np.concatenate((run.item[old], extra.item[new]))
    grade = np.concatenate((run.grade[old], extra.grade[new]))
    source = np.concatenate((np.array(run.proposal)[old], np.array(extra.drawn_from)[new]))
    log_p = np.stack([np.concatenate((run.log_proposal[p][old], extra.log_p[p][new])) for p in names])
    counts = np.zeros((run.n, len(names)))
    np.add.at(counts, (item, np.array([names.index(s) for s in source])), 1)
    with np.errstate(divide="ignore"):
        shares = np.log(counts / np.maximum(counts.sum(1, keepdims=True), 1))
    log_q = np.logaddexp.reduce(log_p + shares[item].T, 0)
    values = [_self_normalised(log_p[names.index(p)] - log_q, item, grade, run.n) for p in pair]
    return np.asarray(values[1] - values[0])


def _self_normalised(log_w: Floats, item: np.ndarray, grade: Floats, n: int) -> Floats:
    top = np.full(n, -np.inf)
    np.maximum.at(top, item, log_w)
    w = np.exp(log_w - top[item])
    return np.bincount(item, w * grade, n) / np.maximum(np.bincount(item, w, n), 1e-300)


def _rank(run: TaskRun) -> np.ndarray:
    """Number of each response among those of its item and proposal."""
    seen: dict[tuple[int, str], int] = {}
    ranks = []
    for key in zip(run.item.tolist(), run.proposal, strict=True):
        ranks.append(seen.get(key, 0))
        seen[key] = ranks[-1] + 1
    return np.array(ranks)
