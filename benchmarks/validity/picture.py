"""A picture of what two metrics say of pairs of prompts, as SVG: no plotting library needed.

    python -m benchmarks.validity.picture docs/validity.svg (RUN_DIR | --old DIR)

One point per pair of near edits: across, the change the metric sees in its own standard errors; up, the change of
graded accuracy. Points in the shaded quarters point the wrong way.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.validity.analyse import ALL, OLD, most
from benchmarks.validity.estimators import gold, self_normalised
from benchmarks.validity.judging import Truth, greedy_truth, sampled_truth
from benchmarks.validity.records import Floats, TaskRun, read_old, read_run, subset

SIZE, GAP, LEFT, TOP = 300, 70, 62, 46
LIMIT = 12.0


def draw(panels: Sequence[tuple[str, Floats, Floats, np.ndarray]], truth: str) -> str:
    """Panels side by side: title, across, up, whether the pair differs."""
    height = TOP + SIZE + 62
    width = LEFT + len(panels) * (SIZE + GAP)
    top = max(0.05, *(float(np.abs(up).max()) for _, _, up, _ in panels)) * 1.05
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (title, across, up, differs) in enumerate(panels):
        parts += _panel(LEFT + number * (SIZE + GAP), title, across, up, differs, top, truth)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(x0: int, title: str, across: Floats, up: Floats, differs: np.ndarray, top: float, truth: str) -> list[str]:
    middle_x, middle_y, bottom = x0 + SIZE / 2, TOP + SIZE / 2, TOP + SIZE
    half = SIZE / 2
    parts = [
        f'<text x="{x0}" y="{TOP - 26}" font-weight="bold" font-size="13">{title}</text>',
        f'<text x="{x0}" y="{TOP - 9}" fill="#555555">{_caption(across, up, differs)}</text>',
        f'<rect x="{x0}" y="{TOP}" width="{half}" height="{half}" fill="#f6dcd6"/>',
        f'<rect x="{middle_x}" y="{middle_y}" width="{half}" height="{half}" fill="#f6dcd6"/>',
        f'<rect x="{x0}" y="{TOP}" width="{SIZE}" height="{SIZE}" fill="none" stroke="#999999"/>',
        f'<path d="M{x0} {middle_y}H{x0 + SIZE}M{middle_x} {TOP}V{bottom}" stroke="#999999"/>',
        f'<text x="{middle_x}" y="{bottom + 34}" text-anchor="middle">change of the metric, standard errors</text>',
        f'<text transform="translate({x0 - 42} {middle_y}) rotate(-90)" text-anchor="middle">'
        f"change of graded {truth} accuracy</text>",
    ]
    for errors in (-10, -5, 5, 10):
        x = middle_x + errors / LIMIT * half
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#555555">{errors:+d}</text>')
    for value in (-0.3, -0.2, -0.1, 0.1, 0.2, 0.3):
        if abs(value) < top:
            y = middle_y - value / top * half
            parts.append(f'<text x="{x0 - 5}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">{value:+.1f}</text>')
    for x, y, real in sorted(zip(across, up, differs, strict=True), key=lambda point: bool(point[2])):
        px = middle_x + float(np.clip(x, -LIMIT, LIMIT)) / LIMIT * half
        py = middle_y - y / top * half
        colour = "#1f5fa8" if real else "#b5b5b5"
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.6" fill="{colour}" fill-opacity="0.7"/>')
    return parts


def _caption(across: Floats, up: Floats, differs: np.ndarray) -> str:
    right = (across > 0) == (up > 0)
    return f"{100 * right[differs].mean():.0f} % of {differs.sum()} pairs that differ (blue) point the right way"


def points(run: TaskRun, truth: Truth, values: Floats) -> tuple[Floats, Floats, np.ndarray]:
    """Across, up, differs of the near pairs."""
    pairs = truth.pairs[truth.near]
    d = values[pairs[:, 1]] - values[pairs[:, 0]]
    error = d.std(1, ddof=1) / np.sqrt(run.n)
    across = np.divide(d.mean(1), error, out=np.zeros(len(d)), where=error > 0)
    return across, truth.difference[truth.near], truth.differs[truth.near]


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--old", type=Path)
    options = parser.parse_args()
    if options.old is not None:
        runs, (proposals, k) = read_old(options.old / "bank.json"), OLD["bank.json"]
    else:
        runs = [read_run(path) for path in sorted(options.run.glob("*.json.gz"))]
        proposals = tuple(p for p in ALL if p in set(runs[0].proposal))
        k = most(runs[0], proposals)
    truths = [sampled_truth(run) or greedy_truth(run) for run in runs]
    panels = []
    for title, of in (("Cross-entropy of the label", gold), ("Response bank", None)):
        found = []
        for run, truth in zip(runs, truths, strict=True):
            values = of(run) if of is not None else self_normalised(subset(run, proposals, k))
            found.append(points(run, truth, values))
        across, up, differs = (np.concatenate(column) for column in zip(*found, strict=True))
        panels.append((title, across, up, differs))
    options.out.write_text(draw(panels, "greedy" if runs[0].sampled is None else "sampled"), encoding="utf-8")


if __name__ == "__main__":
    main()
