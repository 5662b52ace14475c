"""Near pairs with a topped-up bank: a few responses of both versions themselves join those of the proposals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.validity.estimators import jackknife_bias, self_normalised, surely_covered
from benchmarks.validity.judging import ALPHA, Tally, Truth, p_values
from benchmarks.validity.records import Floats, Subset, TaskRun
from pytest_pmpo.scoring.metrics.response_bank import MIN_COVERAGE, WEIGHT_LIMIT


def topped_up_banks(run: TaskRun, truth: Truth, proposals: Sequence[str], k: int) -> list[Subset]:
    """The bank of each near pair; its two prompts are the pair's."""
    return [_bank(run, i, j, proposals, k) for i, j in truth.pairs[truth.near]]


def judge_banks(truth: Truth, banks: Sequence[Subset], tolerance: float = 0.0) -> Tally:
    """As ``judging.judge``, for near pairs given by their banks."""
    return _tally(truth, _differences(banks), np.zeros(len(banks)), np.ones(len(banks), bool), tolerance)


def judge_by_rule(truth: Truth, banks: Sequence[Subset], tolerance: float = 0.0) -> Tally:
    """The same by the gate's rule: where both versions are covered, with the interval wider by the bank's bias."""
    biases = [jackknife_bias(bank) for bank in banks]
    error = np.array([abs(float((head - base).mean())) for base, head in biases])
    covered = np.array([bool((surely_covered(bank, WEIGHT_LIMIT) >= MIN_COVERAGE).all()) for bank in banks])
    return _tally(truth, _differences(banks), error, covered, tolerance)


def _differences(banks: Sequence[Subset]) -> Floats:
    return np.stack([head - base for base, head in map(self_normalised, banks)])


def _tally(truth: Truth, d: Floats, error: Floats, covered: np.ndarray, tolerance: float) -> Tally:
    differs, true = truth.differs[truth.near], truth.difference[truth.near]
    mean = d.mean(1)
    decided = (p_values(d, error) < ALPHA) & (np.abs(mean) > tolerance) & covered
    right = (mean > 0) == (true > 0)
    return Tally(
        int(differs.sum()),
        int((differs & right).sum()),
        int((differs & decided).sum()),
        int((differs & decided & ~right).sum()),
        int((~differs).sum()),
        int((~differs & decided).sum()),
    )


def _bank(run: TaskRun, i: int, j: int, proposals: Sequence[str], k: int) -> Subset:
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
    own = log_p[[names.index(p) for p in pair]]
    return Subset(run, item, grade, np.zeros(len(item), dtype=np.int64), own - log_q, own)


def _rank(run: TaskRun) -> np.ndarray:
    """Number of each response among those of its item and proposal."""
    seen: dict[tuple[int, str], int] = {}
    ranks = []
    for key in zip(run.item.tolist(), run.proposal, strict=True):
        ranks.append(seen.get(key, 0))
        seen[key] = ranks[-1] + 1
    return np.array(ranks)
