"""Part two of the benchmark: tables from what ``generate`` kept. No model, no GPU.

    python -m benchmarks.validity.analyse RUN_DIR [--old DIR] [--out FILE.md]

``RUN_DIR`` holds TASK.json.gz files; ``--old`` adds the tables of ``research/validity`` (bank.json, bank8.json).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.validity import costs, tables
from benchmarks.validity.records import TaskRun, read_old, read_run

ALL = ("direct0", "steps0", "json0", "rules0", "none")
OLD = {"bank.json": (("A0", "B0"), 3), "bank8.json": (("A0", "B0", "E0"), 8)}


def report(runs: Sequence[TaskRun]) -> Iterator[str]:
    """Every table of a run."""
    proposals = tuple(p for p in ALL if p in set(runs[0].proposal))
    k = most(runs[0], proposals)
    names = ", ".join(run.name for run in runs)
    yield f"{len(runs)} tasks ({names}), {runs[0].n} items, {len(runs[0].prompts)} prompts."
    yield f"Bank: {k} responses per item from each of {', '.join(proposals)}."
    yield "Cells: right direction / decided / wrong of the decided / alarms on equal pairs, %; 95 % over tasks below."
    truths = ("sampled", "greedy") if runs[0].sampled is not None else ("greedy",)
    for truth in truths:
        yield tables.metrics(runs, proposals, k, truth)
        yield tables.candidates(runs, proposals, k, truth)
        yield tables.coverage_bounds(runs, proposals, k, truth)
        yield tables.growth(runs, [proposals[:i] for i in range(1, len(proposals) + 1)], k, truth)
        if all(run.extra for run in runs):
            yield tables.topped_up(runs, proposals, k, truth)
    if "sampled" in truths:
        yield tables.chosen_across_tasks(runs, proposals, k)
        yield tables.calibration(runs, proposals, k)
        yield tables.alarms(runs, proposals, k)
        yield tables.fresh_samples(runs, proposals, k)
        yield costs.table(runs)


def old_report(directory: Path) -> Iterator[str]:
    """The tables of the two older files: greedy truth only."""
    for name, (proposals, k) in OLD.items():
        runs = read_old(directory / name)
        yield f"## {name}: {len(runs)} tasks, {runs[0].n} items, {len(runs[0].prompts)} prompts"
        yield tables.metrics(runs, proposals, k, "greedy")
        yield tables.candidates(runs, proposals, k, "greedy")
        yield tables.coverage_bounds(runs, proposals, k, "greedy")
        yield tables.growth(runs, [proposals[:i] for i in range(1, len(proposals) + 1)], k, "greedy")


def most(run: TaskRun, proposals: Sequence[str]) -> int:
    """Responses per proposal and item, as drawn."""
    return max(int(np.bincount(run.item[np.array(run.proposal) == p]).max()) for p in proposals)


def main() -> None:
    """Print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    parts: list[str] = []
    if options.run is not None:
        parts += report([read_run(path) for path in sorted(options.run.glob("*.json.gz"))])
    if options.old is not None:
        parts += old_report(options.old)
    text = "\n\n".join(parts) + "\n"
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
