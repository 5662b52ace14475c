"""Many runs at once: each process holds the model once and takes the next run when it is done with one.

A run is a chain of small steps (sampling is bound by latency, scoring fifty fixtures is short), so on a GPU a dozen
processes side by side finish many times as many runs in the same minutes. Seconds of single runs are then no measure.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from benchmarks.optimizers.runs import Outcome, Settings, optimize
from benchmarks.optimizers.tasks import load
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.scoring.models import resolve
from pytest_pmpo.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Engine:
    """The model and where it runs; what each process opens once."""

    model: str
    device: str
    dtype: str
    memory: float = 1.0
    """Share of the GPU's memory that this process may take; a neighbour that takes all makes the others fail."""

    @property
    def name(self) -> str:
        """The model's name."""
        return resolve(self.model, root=Path.cwd()).name

    def open(self) -> Scorer:
        """A scorer, which opens the model at its first use.

        It has no cache: a strategy that comes later must not find for nothing what an earlier one paid for.
        """
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.set_per_process_memory_fraction(self.memory)
        model = resolve(self.model, root=Path.cwd())
        return Scorer(model.fingerprint, lambda: model.open(self.device, self.dtype))


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a task, a strategy, a seed."""

    task: str
    strategy: str
    seed: int


_held: list[Scorer] = []
"""This process's scorer; filled by its first job."""


def run(jobs: Sequence[Job], engine: Engine, settings: Settings, processes: int, minutes: float) -> Iterator[Outcome]:
    """Outcomes as they come. A run that would begin after ``minutes`` is not begun; one that fails is printed."""
    deadline = time.time() + 60 * minutes
    if processes <= 1:
        for job in jobs:
            outcome = _work(job, engine, settings, deadline)
            if outcome is not None:
                yield outcome
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = {pool.submit(_work, job, engine, settings, deadline): job for job in jobs}
        for future in as_completed(futures):
            outcome = future.result()
            if outcome is not None:
                yield outcome


def _work(job: Job, engine: Engine, settings: Settings, deadline: float) -> Outcome | None:
    if time.time() > deadline:
        return None
    if not _held:
        _held.append(engine.open())
    task = load(job.task, settings.heldout, job.seed)
    try:
        outcome = optimize(task, job.strategy, _held[0], engine.name, job.seed, settings)
    except (PmpoError, RuntimeError) as error:
        print(f"{job} failed: {error}", flush=True)
        return None
    if outcome.ending == "failed":  # its budget is not spent: no row of a comparison, and the next call begins it anew
        print(f"{job} failed in the middle, with the model or its rewriter", flush=True)
        return None
    return outcome
