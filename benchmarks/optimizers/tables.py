"""Outcomes → tables: held-out loss and accuracy before and after, with 95 % intervals over fixtures and over tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    """One row per task, strategy and rewriters: seeds pooled by fixture."""
    yield "| task | strategy | rewriters | seeds | held-out loss | after | change [95 %] | accuracy | after | change |"
    yield "|---|---|---|---:|---:|---:|---|---:|---:|---|"
    for (task, strategy, rewriters), group in _groups(outcomes).items():
        before, after = _pooled(group, "loss_before"), _pooled(group, "loss_after")
        right, right_after = _pooled(group, "right_before"), _pooled(group, "right_after")
        accuracy = [f"{np.mean(right):.2f}", f"{np.mean(right_after):.2f}"] if len(right) else ["–", "–"]
        yield (
            f"| {task} | {strategy} | {', '.join(rewriters)} | {len(group)} | {np.mean(before):.3f} | "
            f"{np.mean(after):.3f} | {shown(after - before)} | {accuracy[0]} | {accuracy[1]} | "
            f"{shown(right_after - right, 2)} |"
        )


def by_strategy(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """One row per strategy: means over tasks, the loss as a share of the task's loss before, since units differ."""
    yield "| strategy | rewriters | tasks | change of held-out loss, % [95 % over tasks] | lower on | significantly | "
    yield "|---|---|---:|---|---:|---:|"
    rows: dict[tuple[str, tuple[str, ...]], list[tuple[float, bool, float]]] = {}
    for (_, strategy, rewriters), group in _groups(outcomes).items():
        before, after = _pooled(group, "loss_before"), _pooled(group, "loss_after")
        _, _, high = interval(after - before)
        gain = _pooled(group, "right_after") - _pooled(group, "right_before")
        change = 100 * float(np.mean(after) / np.mean(before) - 1)
        rows.setdefault((strategy, rewriters), []).append(
            (change, high < 0, float(gain.mean()) if gain.size else np.nan)
        )
    for (strategy, rewriters), found in sorted(rows.items(), key=lambda row: np.mean([c for c, *_ in row[1]])):
        changes = [change for change, *_ in found]
        yield (
            f"| {strategy} | {', '.join(rewriters)} | {len(found)} | {shown(changes, 1)} | "
            f"{sum(change < 0 for change in changes)} | {sum(sure for _, sure, _ in found)} |"
        )
    yield ""
    yield "| strategy | tasks graded | change of accuracy, points [95 % over tasks] | forward tokens | generated |"
    yield "|---|---:|---|---:|---:|"
    for (strategy, rewriters), found in rows.items():
        gains = [100 * gain for *_, gain in found if not np.isnan(gain)]
        same = [o for o in outcomes if (o.strategy, o.rewriters) == (strategy, rewriters)]
        forward = np.mean([o.forward_tokens for o in same])
        generated = np.mean([o.generated_tokens for o in same])
        yield f"| {strategy} | {len(gains)} | {shown(gains, 1)} | {forward:,.0f} | {generated:,.0f} |"


def _groups(outcomes: Sequence[Outcome]) -> dict[tuple[str, str, tuple[str, ...]], list[Outcome]]:
    groups: dict[tuple[str, str, tuple[str, ...]], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.task, outcome.strategy, outcome.rewriters), []).append(outcome)
    return groups


def _pooled(group: Sequence[Outcome], name: str) -> np.ndarray:
    return np.concatenate([np.asarray(getattr(outcome, name), dtype=float) for outcome in group])
