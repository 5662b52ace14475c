"""Geometry of the chart of losses by round: one line each for train, selection and held-out. Plain numbers for SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.optimize.records import Round

WIDTH, HEIGHT = 720.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 90.0, 12.0, 28.0


@dataclass(frozen=True, slots=True)
class Line:
    """One part's losses: ``points`` as SVG wants them, and where its name stands."""

    name: str
    points: str
    dots: tuple[tuple[float, float], ...]
    label_y: float


@dataclass(frozen=True, slots=True)
class LossChart:
    """Everything the template draws, in user units of a ``WIDTH`` × ``HEIGHT`` view box."""

    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    rounds: tuple[tuple[float, int], ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    bottom: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


def loss_chart(rounds: Sequence[Round]) -> LossChart | None:
    """The chart; None with fewer than two rounds or a loss that is not finite."""
    series = {
        "train": [row.train for row in rounds],
        "selection": [row.selection for row in rounds],
        "held-out": [math.nan if row.heldout is None else row.heldout for row in rounds],
    }
    values = [value for row in series.values() for value in row]
    if len(rounds) < 2 or not all(map(math.isfinite, values)):
        return None
    low, high = min(values), max(values)
    span = (high - low) or max(abs(high), 1.0) * 0.1
    low, high = low - 0.06 * span, high + 0.06 * span

    def y(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)

    def x(index: int) -> float:
        return round(_LEFT + index / (len(rounds) - 1) * (WIDTH - _LEFT - _RIGHT), 1)

    heights = _apart([y(row[-1]) for row in series.values()])
    lines = []
    for (name, row), label in zip(series.items(), heights, strict=True):
        dots = tuple((x(i), y(value)) for i, value in enumerate(row))
        lines.append(Line(name, " ".join(f"{a},{b}" for a, b in dots), dots, label))
    step = max(1, math.ceil(len(rounds) / 12))
    return LossChart(
        lines=tuple(lines),
        ticks=tuple((y(low + share * (high - low)), f"{low + share * (high - low):.3f}") for share in (0.1, 0.5, 0.9)),
        rounds=tuple((x(i), rounds[i].number) for i in range(0, len(rounds), step)),
    )


def _apart(heights: list[float], gap: float = 14.0) -> list[float]:
    """Label heights pushed down until none covers another, order kept."""
    placed = list(heights)
    last = -math.inf
    for i in sorted(range(len(heights)), key=heights.__getitem__):
        placed[i] = last = max(heights[i], last + gap)
    return placed
