"""Outcomes → tables: held-out loss and accuracy before and after, with 95 % intervals over fixtures and over tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.optimizers.runs import Outcome

RESAMPLES = 4_000


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval; nan where there is nothing."""
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        return float("nan"), float("nan"), float("nan")
    rng = np.random.default_rng(0)
    means = data[rng.integers(0, data.size, (RESAMPLES, data.size))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(data.mean()), float(low), float(high)


def shown(values: Sequence[float], digits: int = 3) -> str:
    """``-0.412 [-0.500, -0.331]``, or a dash."""
    if len(values) == 0:
        return "–"
    mean, low, high = interval(values)
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def by_task(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """One row per task, strategy and rewriters: seeds pooled by fixture. Accuracy is that of greedy answers, then,
    where some were drawn, of answers sampled at temperature 1."""
    kinds = _kinds(outcomes)
    yield (
        "| task | strategy | rewriters | seeds (patches) | held-out loss | after | change [95 %] | "
        + "".join(f"{title} | after | change | " for title in kinds.values()).rstrip()
    )
    yield "|---|---|---|---:|---:|---:|---|" + "---:|---:|---|" * len(kinds)
    for (task, strategy, rewriters), group in _groups(outcomes).items():
        before, after = _pooled(group, "loss_before"), _pooled(group, "loss_after")
        yield (
            f"| {task} | {strategy} | {', '.join(rewriters)} | {_seeds(group)} | {np.mean(before):.3f} | "
            f"{np.mean(after):.3f} | {shown(after - before)} | " + " | ".join(_accuracy(group, kind) for kind in kinds)
        ) + " |"


def by_strategy(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """One row per strategy: means over tasks, the loss as a share of the task's loss before, since units differ."""
    yield "| strategy | rewriters | tasks | change of held-out loss, % [95 % over tasks] | lower on | significantly | "
    yield "|---|---|---:|---|---:|---:|"
    rows: dict[tuple[str, tuple[str, ...]], list[tuple[float, bool]]] = {}
    gains: dict[tuple[str, tuple[str, ...], str], list[float]] = {}
    kinds = _kinds(outcomes)
    for (_, strategy, rewriters), group in _groups(outcomes).items():
        before, after = _pooled(group, "loss_before"), _pooled(group, "loss_after")
        _, _, high = interval(after - before)
        change = 100 * float(np.mean(after) / np.mean(before) - 1)
        rows.setdefault((strategy, rewriters), []).append((change, high < 0))
        for kind in kinds:
            gain = _pooled(group, f"{kind}_after") - _pooled(group, f"{kind}_before")
            gains.setdefault((strategy, rewriters, kind), []).extend([100 * float(gain.mean())] if gain.size else [])
    for (strategy, rewriters), found in sorted(rows.items(), key=lambda row: np.mean([c for c, _ in row[1]])):
        changes = [change for change, _ in found]
        yield (
            f"| {strategy} | {', '.join(rewriters)} | {len(found)} | {shown(changes, 1)} | "
            f"{sum(change < 0 for change in changes)} | {sum(sure for _, sure in found)} |"
        )
    yield ""
    titles = "".join(f"change of {title}, points [95 % over tasks] | " for title in kinds.values())
    yield f"| strategy | tasks graded | {titles}forward tokens | generated |"
    yield "|---|---:|" + "---|" * len(kinds) + "---:|---:|"
    for strategy, rewriters in rows:
        graded = [gains[strategy, rewriters, kind] for kind in kinds]
        same = [o for o in outcomes if (o.strategy, o.rewriters) == (strategy, rewriters)]
        forward = np.mean([o.forward_tokens for o in same])
        generated = np.mean([o.generated_tokens for o in same])
        yield (
            f"| {strategy} | {len(graded[0])} | {' | '.join(shown(points, 1) for points in graded)} | "
            f"{forward:,.0f} | {generated:,.0f} |"
        )


def shared(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The runs on tasks and seeds that every strategy ended: a mean over more of them would compare tasks."""
    strategies = {(o.strategy, o.rewriters) for o in outcomes}
    ended: dict[tuple[str, int], set[tuple[str, tuple[str, ...]]]] = {}
    for o in outcomes:
        ended.setdefault((o.task, o.seed), set()).add((o.strategy, o.rewriters))
    return [o for o in outcomes if ended[o.task, o.seed] == strategies]


def handed_over(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What users would have after the runs: where the gate did not confirm the winner there is no patch."""
    return [outcome if outcome.won else _unchanged(outcome) for outcome in outcomes]


def _unchanged(outcome: Outcome) -> Outcome:
    before = {name: getattr(outcome, f"{name}_before") for name in ("loss", "right", "sampled")}
    return replace(outcome, **{f"{name}_after": values for name, values in before.items()})


def _seeds(group: Sequence[Outcome]) -> str:
    return f"{len(group)} ({sum(outcome.won for outcome in group)})"


def _kinds(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """How answers were drawn → what tables call their accuracy."""
    kinds = {"right": "accuracy"}
    return kinds | {"sampled": "sampled accuracy"} if any(outcome.sampled_after for outcome in outcomes) else kinds


def _accuracy(group: Sequence[Outcome], kind: str) -> str:
    """Three cells: before, after, change with its interval; dashes without grades."""
    before, after = _pooled(group, f"{kind}_before"), _pooled(group, f"{kind}_after")
    if not len(before):
        return "– | – | –"
    return f"{np.mean(before):.2f} | {np.mean(after):.2f} | {shown(after - before, 2)}"


def _groups(outcomes: Sequence[Outcome]) -> dict[tuple[str, str, tuple[str, ...]], list[Outcome]]:
    groups: dict[tuple[str, str, tuple[str, ...]], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.task, outcome.strategy, outcome.rewriters), []).append(outcome)
    return groups


def _pooled(group: Sequence[Outcome], name: str) -> np.ndarray:
    return np.concatenate([np.asarray(getattr(outcome, name), dtype=float) for outcome in group])
