"""Geometry of the chart of paired differences: one bar per fixture, worst first, and the mean with its interval.

Plain numbers for an SVG template; nothing here is text from a prompt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_pmpo.gate.records import Verdict
from pytest_pmpo.report.text import interval, toward_head

WIDTH, HEIGHT = 720.0, 180.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 8.0, 10.0, 10.0
_MOST_BARS = 300


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle from the zero line to a difference."""

    x: float
    y: float
    width: float
    height: float
    worse: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the chart with its value."""

    y: float
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the template draws, in user units of a ``WIDTH`` × ``HEIGHT`` view box.

    ``band_top`` and ``band_height`` are the 95 % interval of the mean, cut at the chart's edges; ``limit`` is where the
    tolerance lies, or None outside the chart. ``shown`` of ``total`` fixtures have a bar.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    zero: float
    mean: float
    band_top: float
    band_height: float
    limit: float | None
    shown: int
    total: int
    left: float = _LEFT
    right: float = WIDTH - _RIGHT


def chart(verdict: Verdict) -> Chart | None:
    """The chart of a verdict's differences (head minus base, as printed); None without a comparison."""
    c = verdict.comparison
    if c is None or not verdict.fixtures:
        return None
    rows = sorted(verdict.fixtures, key=lambda f: -f.delta)
    step = math.ceil(len(rows) / _MOST_BARS)
    shown = rows[::step]
    values = [toward_head(verdict, f.delta) for f in shown]
    low, high = interval(verdict)
    finite = [x for x in (*values, low, high, 0.0) if math.isfinite(x)]
    scale = _Scale(min(finite), max(finite))
    bars = tuple(_bar(scale, i, len(shown), v, shown[i].delta > 0) for i, v in enumerate(values))
    top, bottom = scale.y(min(high, scale.top)), scale.y(max(low, scale.bottom))
    tolerance = toward_head(verdict, verdict.tolerance) if verdict.tolerance is not None else math.inf
    return Chart(
        bars=bars,
        ticks=tuple(Tick(scale.y(v), v) for v in scale.ticks()),
        zero=scale.y(0.0),
        mean=scale.y(toward_head(verdict, c.delta)),
        band_top=top,
        band_height=bottom - top,
        limit=scale.y(tolerance) if scale.bottom <= tolerance <= scale.top else None,
        shown=len(shown),
        total=len(rows),
    )


class _Scale:
    """Differences to heights, with a little room at both ends."""

    def __init__(self, low: float, high: float) -> None:
        span = (high - low) or 1.0
        self.bottom, self.top = low - 0.04 * span, high + 0.04 * span

    def y(self, value: float) -> float:
        share = (self.top - value) / (self.top - self.bottom)
        return round(_TOP + share * (HEIGHT - _TOP - _BOTTOM), 2)

    def ticks(self) -> list[float]:
        """Three to six round values."""
        raw = (self.top - self.bottom) / 4
        power = 10 ** math.floor(math.log10(raw))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
        first = math.ceil(self.bottom / step)
        return [round(i * step, 10) for i in range(first, math.floor(self.top / step) + 1)]


def _bar(scale: _Scale, index: int, count: int, value: float, worse: bool) -> Bar:
    slot = (WIDTH - _LEFT - _RIGHT) / count
    gap = 0.18 * slot if slot > 3 else 0.0
    zero, end = scale.y(0.0), scale.y(value)
    height = max(abs(end - zero), 0.5)  # a difference of nothing still shows that the fixture is there
    return Bar(
        x=round(_LEFT + index * slot + gap / 2, 2),
        y=min(zero, end),
        width=round(min(slot - gap, 48.0), 2),
        height=round(height, 2),
        worse=worse,
    )
