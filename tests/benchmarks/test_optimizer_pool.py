"""A run that broke is no row of a comparison, and takes no other run with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.optimizers import pool
from benchmarks.optimizers.pool import Engine, Job, SideBySide
from benchmarks.optimizers.runs import Outcome, Settings

DONE = Outcome(
    "task", "pmpo", ("structural",), 0, "fake", "nats", "budget", True, (1.0,), (0.5,), (), (), 10, 0, 1.0, {}, "Say."
)
SETTINGS = Settings(("structural",), 1, 10, None, None, 1, 0, 1, 1, Path("journals"))


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "load", lambda *arguments: None)
    monkeypatch.setattr(pool, "_held", [object()])


def test_runs_that_raise_or_end_failed_are_said_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def optimize(task: object, strategy: str, *rest: object) -> Outcome:
        if strategy == "raises":
            raise RuntimeError("CUDA error: the launch timed out")
        return replace(DONE, strategy=strategy, ending="failed" if strategy == "breaks" else "budget")

    monkeypatch.setattr(pool, "optimize", optimize)
    jobs = [Job("task", strategy, 0) for strategy in ("raises", "breaks", "ends")]
    found = list(pool.run(jobs, Engine("fake", "cpu", "float32"), SETTINGS, SideBySide(), 1.0))
    assert [outcome.strategy for outcome in found] == ["ends"]
    said = capsys.readouterr().out
    assert "strategy='raises', seed=0) failed: CUDA error: the launch timed out" in said
    assert "strategy='breaks', seed=0) failed in the middle" in said
