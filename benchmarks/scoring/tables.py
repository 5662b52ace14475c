"""The tables: ways against each other, cost against number of fixtures, variants together against each alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.scoring.floor import timed
from benchmarks.scoring.job import Job, Variants, in_full
from benchmarks.scoring.ways import Means, Ours
from pytest_pmpo.scoring.records import EncodedSequence, distinct_tokens

PATIENCE = 15.0  # seconds; a run longer than this is not repeated
_WARM_UP = 40  # sequences


@dataclass(frozen=True)
class Way:
    """One row of the table. ``call`` gives token-mean losses, or None where the way has none.

    Attributes:
        memory: whether torch's peak of memory beyond the weights is the way's own.
    """

    name: str
    call: Callable[[Sequence[EncodedSequence]], Means | None]
    memory: bool = True


@dataclass(frozen=True)
class Measured:
    """Fastest run of a way: seconds, peak bytes beyond what was allocated before, losses."""

    seconds: float
    peak: int | None
    means: Means | None


def measure(way: Way, sequences: Sequence[EncodedSequence], device: torch.device, repeats: int) -> Measured:
    """The fastest of at most ``repeats`` runs, after some sequences to load kernels where there is a GPU."""
    held: list[Means | None] = []
    before = 0
    if device.type == "cuda":
        way.call(sequences[:_WARM_UP])
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    times: list[float] = []
    while len(times) < repeats and not (times and times[-1] > PATIENCE):
        times.append(timed(lambda: held.append(way.call(sequences)), device))
    peak = torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" and way.memory else None
    return Measured(min(times), peak, held[-1])


def ways_table(
    ways: Sequence[Way],
    sequences: Sequence[EncodedSequence],
    flops: float,
    rate: Callable[[], float],
    device: torch.device,
    repeats: int,
) -> None:
    """Seconds, × floor, memory and the largest difference from the first way that gives losses.

    The machine's rate is asked for before every way and after the last, and the fastest counts for all: a neighbour
    that takes the cores for a moment must not make the floor seem higher.

    Args:
        flops: the floor's work.
        rate: measures FLOP/s.
    """
    rates, measured = [rate()], list[Measured]()
    for way in ways:
        measured.append(measure(way, sequences, device, repeats))
        rates.append(rate())
        print(f"{way.name}: {measured[-1].seconds:.2f} s", file=sys.stderr, flush=True)
    floor = flops / max(rates)
    fastest, slowest = (f"{extreme(rates) / 1e12:.3g}" for extreme in (max, min))
    print(f"floor {floor:.2f} s at {fastest} TFLOP/s (the fastest of {len(rates)} measurements; slowest {slowest})\n")
    print(f"| {'way':<44} | seconds | × floor | peak GB beyond weights | largest difference, nats/token |")
    print(f"|{'-' * 46}|--------:|--------:|-----------------------:|-------------------------------:|")
    reference = next((result.means for result in measured if result.means is not None), None)
    for way, result in zip(ways, measured, strict=True):
        peak = "–" if result.peak is None else f"{result.peak / 1e9:.2f}"
        difference = "no loss"
        if result.means is not None and reference is not None:
            difference = f"{np.abs(np.array(result.means) - reference).max():.1e}"
        numbers = f"{result.seconds:7.2f} | {result.seconds / floor:7.2f}"
        print(f"| {way.name:<44} | {numbers} | {peak:>22} | {difference:>30} |", flush=True)


def growth_table(job: Job, model: Any, device: torch.device, repeats: int, doublings: int = 3) -> None:
    """Cost of twice, four and eight times the fixtures of one long prompt."""
    print("| fixtures | tokens in full | distinct | seconds | × the row above |")
    print("|---------:|---------------:|---------:|--------:|----------------:|")
    ours, last = Way("tree", Ours(model, "tree")), None
    for fixtures in (job.fixtures * 2**i for i in range(doublings + 1)):
        sequences = job.with_fixtures(fixtures).sequences(model.config.vocab_size)
        seconds = measure(ours, sequences, device, repeats).seconds
        ratio = "–" if last is None else f"{seconds / last:.2f}"
        counts = f"{in_full(sequences):14,} | {distinct_tokens(sequences):8,}"
        print(f"| {fixtures:8} | {counts} | {seconds:7.2f} | {ratio:>15} |", flush=True)
        last = seconds


def variants_table(work: Variants, model: Any, device: torch.device, repeats: int) -> None:
    """An optimizer's variants in one call, one call each, and as whole sequences."""
    variants = work.sequences(model.config.vocab_size)
    together = [sequence for rows in variants for sequence in rows]
    tree, plain = Ours(model, "tree"), Ours(model, "plain")

    def each(path: Ours) -> Callable[[Sequence[EncodedSequence]], Means]:
        return lambda _: [mean for rows in variants for mean in path(rows)]

    rows = (
        ("all in one call", Way("", tree), distinct_tokens(together)),
        ("one call each", Way("", each(tree)), sum(distinct_tokens(rows) for rows in variants)),
        ("one call each, nothing shared", Way("", each(plain)), in_full(together) - len(together)),
    )
    print(f"{work.parts} masked and {work.rewritten} rewritten variants of one prompt, {work.job.fixtures} fixtures\n")
    print("| way                           | tokens computed | seconds | largest difference, nats/token |")
    print("|-------------------------------|----------------:|--------:|-------------------------------:|")
    reference: Means | None = None
    for name, way, tokens in rows:
        result = measure(way, together, device, repeats)
        reference = reference or result.means
        difference = np.abs(np.array(result.means) - np.array(reference)).max()
        print(f"| {name:<29} | {tokens:15,} | {result.seconds:7.2f} | {difference:30.1e} |", flush=True)
