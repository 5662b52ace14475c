"""Many runs at once: processes with a model each, or threads that share one; each takes the next run when it is done.

A run is a chain of small steps (sampling is bound by latency, scoring fifty fixtures is short), so on a GPU a dozen
side by side finish many times as many runs in the same minutes. Seconds of single runs are then no measure. Threads
write in one batch (``shared.py``), processes take turns.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from benchmarks.optimizers.runs import Outcome, Settings, optimize
from benchmarks.optimizers.shared import Model, SharedModel
from benchmarks.optimizers.tasks import load
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.scoring.backends.base import Backend
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

    def scorer(self, open_backend: Callable[[], Backend] | None = None) -> Scorer:
        """A scorer, which opens the model at its first use, or takes one that is open.

        It has no cache: a strategy that comes later must not find for nothing what an earlier one paid for.
        """
        return Scorer(resolve(self.model, root=Path.cwd()).fingerprint, open_backend or self.open)

    def open(self) -> Backend:
        """The model, with its share of the memory."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.set_per_process_memory_fraction(self.memory)
        return resolve(self.model, root=Path.cwd()).open(self.device, self.dtype)


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a task, a strategy, a seed."""

    task: str
    strategy: str
    seed: int


@dataclass(frozen=True, slots=True)
class SideBySide:
    """How many runs at once. Threads beyond one share a model, in this process; processes beyond one have one each."""

    processes: int = 1
    threads: int = 1


_held: list[Scorer] = []
"""This process's scorer; filled by its first job."""


def run(
    jobs: Sequence[Job], engine: Engine, settings: Settings, side_by_side: SideBySide, minutes: float
) -> Iterator[Outcome]:
    """Outcomes as they come. A run that would begin after ``minutes`` is not begun; one that fails is printed."""
    deadline = time.time() + 60 * minutes
    if side_by_side.threads > 1:
        shared = SharedModel(cast(Model, engine.open()))
        work: Callable[..., Outcome | None] = partial(_work_shared, shared)
        pool: Executor = ThreadPoolExecutor(side_by_side.threads)
    elif side_by_side.processes > 1:
        work = _work
        pool = ProcessPoolExecutor(side_by_side.processes, mp_context=multiprocessing.get_context("spawn"))
    else:
        yield from filter(None, (_work(job, engine, settings, deadline) for job in jobs))
        return
    try:
        futures = [pool.submit(work, job, engine, settings, deadline) for job in jobs]
        yield from filter(None, (future.result() for future in as_completed(futures)))
    finally:  # after Ctrl-C none is begun that had not begun
        pool.shutdown(cancel_futures=True)


def _work(job: Job, engine: Engine, settings: Settings, deadline: float) -> Outcome | None:
    if time.time() > deadline:
        return None
    if not _held:
        _held.append(engine.scorer())
    return _one(job, _held[0], engine, settings)


def _work_shared(shared: SharedModel, job: Job, engine: Engine, settings: Settings, deadline: float) -> Outcome | None:
    if time.time() > deadline:
        return None
    with shared.run() as view:
        return _one(job, engine.scorer(lambda: view), engine, settings)


def _one(job: Job, scorer: Scorer, engine: Engine, settings: Settings) -> Outcome | None:
    task = load(job.task, settings.heldout, job.seed)
    try:
        outcome = optimize(task, job.strategy, scorer, engine.name, job.seed, settings)
    except (PmpoError, RuntimeError) as error:
        print(f"{job} failed: {error}", flush=True)
        return None
    if outcome.ending == "failed":  # its budget is not spent: no row of a comparison, and the next call begins it anew
        print(f"{job} failed in the middle, with the model or its rewriter", flush=True)
        return None
    return outcome
