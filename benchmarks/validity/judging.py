"""How often a number is right: pairs of prompts, what is true of them, and what a metric says.

Truth: graded greedy answers (McNemar's exact test) or graded samples (paired t test over items), both at 5 %. A metric
decides by a paired t test over items at 5 %, and only where its bank covers both prompts, if it has one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.validity.records import Floats, TaskRun

ALPHA = 0.05
KINDS = ("near", "far")


@dataclass(frozen=True)
class Truth:
    """Per pair (i < j): the difference of j from i, and whether it is one."""

    pairs: NDArray[np.int64]
    near: NDArray[np.bool_]
    difference: Floats
    differs: NDArray[np.bool_]


@dataclass(frozen=True)
class Tally:
    """Counts over pairs; see ``rates``."""

    differ: int = 0
    right: int = 0
    decided: int = 0
    wrong: int = 0
    equal: int = 0
    alarms: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[int, ...]:
        """All counts in order."""
        return (self.differ, self.right, self.decided, self.wrong, self.equal, self.alarms)

    def rates(self) -> tuple[float, float, float, float]:
        """Per cent: right direction, decided, wrong of the decided, alarms among equal pairs; NaN for none."""
        return (
            _share(self.right, self.differ),
            _share(self.decided, self.differ),
            _share(self.wrong, self.decided),
            _share(self.alarms, self.equal),
        )


def greedy_truth(run: TaskRun) -> Truth:
    """By graded greedy answers."""
    pairs, near = _pairs(run)
    first, second = run.greedy[pairs[:, 0]], run.greedy[pairs[:, 1]]
    gained, lost = (second > first).sum(1), (second < first).sum(1)
    p = [stats.binomtest(int(a), int(a + b)).pvalue if a + b else 1.0 for a, b in zip(gained, lost, strict=True)]
    return Truth(pairs, near, (second - first).mean(1), np.array(p) < ALPHA)


def sampled_truth(run: TaskRun, samples: slice = slice(None)) -> Truth | None:
    """By graded samples, some of them."""
    if run.sampled is None:
        return None
    return truth_of(run, run.sampled[:, :, samples].mean(2))


def truth_of(run: TaskRun, values: Floats) -> Truth:
    """By any graded number per prompt and item."""
    pairs, near = _pairs(run)
    d = values[pairs[:, 1]] - values[pairs[:, 0]]
    return Truth(pairs, near, d.mean(1), p_values(d) < ALPHA)


def judge(
    truth: Truth,
    values: Floats,
    covered: Sequence[bool] | NDArray[np.bool_] | None = None,
    tolerance: float = 0.0,
    bias: Floats | None = None,
) -> dict[str, Tally]:
    """What a metric's numbers [P, n] say of the pairs, by kind of pair. ``bias`` [P, n] widens the test's interval."""
    d = values[truth.pairs[:, 1]] - values[truth.pairs[:, 0]]
    mean = d.mean(1)
    error = 0.0 if bias is None else np.abs((bias[truth.pairs[:, 1]] - bias[truth.pairs[:, 0]]).mean(1))
    decided = (p_values(d, error) < ALPHA) & (np.abs(mean) > tolerance)
    if covered is not None:
        ok = np.asarray(covered)
        decided &= ok[truth.pairs].all(1)
    right = (mean > 0) == (truth.difference > 0)
    tallies = {}
    for kind in KINDS:
        differ = truth.differs & (truth.near == (kind == "near"))
        equal = ~truth.differs & (truth.near == (kind == "near"))
        tallies[kind] = Tally(
            int(differ.sum()),
            int((differ & right).sum()),
            int((differ & decided).sum()),
            int((differ & decided & ~right).sum()),
            int(equal.sum()),
            int((equal & decided).sum()),
        )
    return tallies


def p_values(d: Floats, error: Floats | float = 0.0) -> Floats:
    """Two-sided p of a paired t test over the last axis; 1 where nothing differs.

    ``error``: what the mean may be off by besides, in either direction.
    """
    n = d.shape[-1]
    spread = d.std(-1, ddof=1) / np.sqrt(n)
    beyond = np.maximum(np.abs(d.mean(-1)) - error, 0)
    t = np.divide(beyond, spread, out=np.zeros_like(spread), where=spread > 0)
    return np.asarray(2 * stats.t.sf(t, n - 1))


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum."""
    return sum(tallies, Tally())


def over_tasks(tallies: Sequence[Tally], draws: int = 2000) -> list[tuple[float, float]]:
    """95 % intervals of the pooled rates by a bootstrap over tasks."""
    rng = np.random.default_rng(0)
    counts = np.array([tally.values() for tally in tallies])
    picks = rng.integers(len(counts), size=(draws, len(counts)))
    rates = np.array([Tally(*map(int, counts[pick].sum(0))).rates() for pick in picks])
    return [_interval(column) for column in rates.T]


def _interval(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _pairs(run: TaskRun) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    known = [i for i, f in enumerate(run.families) if f != "none"]
    pairs = np.array(list(itertools.combinations(known, 2)))
    near = np.array([run.families[i] == run.families[j] for i, j in pairs])
    return pairs, near


def _share(part: int, whole: int) -> float:
    return 100 * part / whole if whole else float("nan")
