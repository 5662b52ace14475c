"""Sequences → a forest of shared prefixes → chunks under a token budget. Pure: no framework, no model.

The sequences of a run share most of their tokens: base and head a system turn, the fixtures of a prompt its prefix,
choices everything but the answer. Sorted, they form a forest of runs (a radix tree) in which every distinct token
occurs once. Its tokens in depth-first order are cut into chunks; a chunk is one packed row for the model::

    sequences           forest (preorder)            memory of the second chunk, budget 6
    S a b | x           S a b ─┬─ x                  carried: S a b   (path of the chunk's first token, by depth)
    S a b | y z                └─ y z                chunk:   y z T c
    T c   | w           T c ──── w                   segments: [y z] sees carried 0–3; [T c …] sees nothing

Depth-first order makes the carry small: all that later chunks need of what is computed is the path that leads to their
first token. So no token is ever computed twice, and memory holds one path besides the chunk.

The last token of a sequence is only ever predicted, so it has no place in the forest.

The model waits for the plan, so work per token is left to numpy and work per sequence kept small.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_pmpo.scoring.records import EncodedSequence

Ints = npt.NDArray[np.int64]
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Run:
    """What a sequence adds to those sorted before it.

    Attributes:
        offset: place of its first token in depth-first order.
        tokens: int64, at least one.
        depth: position of its first token in its sequence.
        before: places of the tokens in front of it in its sequence, as ranges by depth.
    """

    offset: int
    tokens: Ints
    depth: int
    before: tuple[Range, ...]

    @property
    def end(self) -> int:
        """The place after its last token."""
        return self.offset + len(self.tokens)

    def path(self, place: int) -> tuple[Range, ...]:
        """Places of the tokens in front of ``place``, one of the run's own."""
        return _merge([*self.before, (self.offset, place)]) if place > self.offset else self.before


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive tokens of a chunk that follow one another in the sequences too.

    Attributes:
        start, stop: the tokens, counted within the chunk.
        context: ranges of the chunk's memory (carried tokens first, then the chunk's own) that come before the segment
            in its sequences, in order. A token of the segment sees all of them and the segment up to itself.
    """

    start: int
    stop: int
    context: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One packed row.

    Attributes:
        tokens, positions: ids and positions within their sequences, int64 [n].
        carried: tokens of memory in front of the chunk's own: positions 0 … carried−1 of the path to its first token.
        segments: in order, covering the chunk.
        keep: memory ranges that become the carried tokens of the next chunk.
        rows: tokens of the chunk whose logits are read, int64 [m], one entry per reading.
        targets: id whose loss is read there, int64 [m].
        sequences, offsets: which sequence's which target token the reading belongs to, int64 [m].
    """

    tokens: Ints
    positions: Ints
    carried: int
    segments: tuple[Segment, ...]
    keep: tuple[Range, ...]
    rows: Ints
    targets: Ints
    sequences: Ints
    offsets: Ints


class Forest:
    """The distinct tokens of some sequences.

    Args:
        sequences: at least one; equal ones share everything.
    """

    def __init__(self, sequences: Sequence[EncodedSequence]) -> None:
        self.runs: list[Run] = []
        self.size = 0
        self._readings = _Readings()
        rows = [np.frombuffer(array("q", sequence.tokens), dtype=np.int64) for sequence in sequences]
        keys = [_sort_key(row[:-1]) for row in rows]
        path = _Path()
        previous, previous_key = rows[0][:0], b""
        for number in sorted(range(len(rows)), key=keys.__getitem__):
            row, key = rows[number], keys[number]
            if key != previous_key or not self.runs:
                self._grow(row[:-1], _common(previous, row[:-1]), path)
                previous, previous_key = row[:-1], key
            first = sequences[number].target_start
            self._readings.add(number, path.places(first - 1, len(row) - 1), row[first:])
        self._starts = [run.offset for run in self.runs]

    def chunks(self, budget: int) -> Iterator[Chunk]:
        """The forest in rows of at most ``budget`` tokens; one is built as it is asked for."""
        readings = self._readings.table()
        carried: tuple[Range, ...] = ()
        for start in range(0, self.size, budget):
            stop = min(start + budget, self.size)
            following = self._run_at(stop).path(stop) if stop < self.size else ()
            yield self._chunk(start, stop, carried, following, readings)
            carried = following

    def _grow(self, row: Ints, shared: int, path: _Path) -> None:
        """Add what ``row`` does not share with the one before it."""
        path.cut(shared)
        self.runs.append(Run(self.size, row[shared:], shared, path.places(0, shared)))
        path.extend(shared, self.size)
        self.size += len(row) - shared

    def _run_at(self, place: int) -> Run:
        return self.runs[bisect_right(self._starts, place) - 1]

    def _chunk(
        self, start: int, stop: int, carried: tuple[Range, ...], following: tuple[Range, ...], readings: Ints
    ) -> Chunk:
        memory = _Memory(carried, start)
        tokens, positions, segments = [], [], []
        first, last = bisect_right(self._starts, start) - 1, bisect_right(self._starts, stop - 1)
        for run in self.runs[first:last]:
            low, high = max(start, run.offset), min(stop, run.end)
            part = slice(low - run.offset, high - run.offset)
            tokens.append(run.tokens[part])
            positions.append(np.arange(run.depth + part.start, run.depth + part.stop))
            segments.append(Segment(low - start, high - start, memory.find(run.path(low))))
        part = slice(*np.searchsorted(readings[:, 0], [start, stop]))
        places, targets, sequences, offsets = readings[part].T
        return Chunk(
            np.concatenate(tokens),
            np.concatenate(positions),
            memory.carried,
            tuple(segments),
            memory.find(following),
            places - start,
            targets,
            sequences,
            offsets,
        )


class _Path:
    """Where the tokens of the sequence at hand lie, in pieces by depth."""

    def __init__(self) -> None:
        self._depths: list[int] = []
        self._places: list[int] = []

    def cut(self, depth: int) -> None:
        """Forget what lies at ``depth`` and deeper; the last piece left may reach beyond, until the next begins."""
        while self._depths and self._depths[-1] >= depth:
            self._depths.pop()
            self._places.pop()

    def extend(self, depth: int, place: int) -> None:
        """A piece that begins at ``depth`` lies at ``place``."""
        self._depths.append(depth)
        self._places.append(place)

    def places(self, first: int, last: int) -> tuple[Range, ...]:
        """Where depths ``first`` … ``last`` − 1 lie, as ranges by depth."""
        found: list[Range] = []
        end = last
        for depth, place in zip(reversed(self._depths), reversed(self._places), strict=True):
            begin = max(depth, first)
            if begin < end:
                found.append((place + begin - depth, place + end - depth))
                end = begin
            if end <= first:
                break
        return _merge(reversed(found))


class _Readings:
    """Which target is read where, collected sequence by sequence."""

    def __init__(self) -> None:
        self._places: list[Ints] = []
        self._targets: list[Ints] = []
        self._numbers: list[int] = []

    def add(self, number: int, places: Sequence[Range], targets: Ints) -> None:
        """Sequence ``number`` reads its targets, in order, at the places."""
        parts = [np.arange(low, high) for low, high in places]
        self._places.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        self._targets.append(targets)
        self._numbers.append(number)

    def table(self) -> Ints:
        """Rows of (place, target id, sequence, offset within its target), sorted by place."""
        lengths = [len(targets) for targets in self._targets]
        numbers = np.repeat(self._numbers, lengths)
        offsets = np.concatenate([np.arange(length) for length in lengths])
        places = np.concatenate(self._places)
        order = np.argsort(places, kind="stable")
        return np.stack([places, np.concatenate(self._targets), numbers, offsets], axis=1)[order]


class _Memory:
    """Where tokens, named by their place in depth-first order, lie in a chunk's memory."""

    def __init__(self, carried: tuple[Range, ...], start: int) -> None:
        self._ranges: list[tuple[int, int, int]] = []  # (first place, last place + 1, index in memory)
        self._known: dict[tuple[Range, ...], tuple[Range, ...]] = {}  # siblings ask for the same places
        index = 0
        for low, high in carried:
            self._ranges.append((low, high, index))
            index += high - low
        self.carried = index
        self._start = start

    def find(self, places: tuple[Range, ...]) -> tuple[Range, ...]:
        """Ranges of memory that hold the places, in their order."""
        if places not in self._known:
            self._known[places] = self._find(places)
        return self._known[places]

    def _find(self, places: tuple[Range, ...]) -> tuple[Range, ...]:
        found: list[Range] = []
        for low, high in places:
            for first, last, index in self._ranges:
                a, b = max(low, first), min(high, last)
                if a < b:
                    found.append((index + a - first, index + b - first))
            if high > self._start:
                a = max(low, self._start)
                found.append((self.carried + a - self._start, self.carried + high - self._start))
        return _merge(found)


def _sort_key(row: Ints) -> bytes:
    """Bytes that sort as the ids do: big-endian, since ids are never negative."""
    return (row if sys.byteorder == "big" else row.byteswap()).tobytes()


def _common(a: Ints, b: Ints) -> int:
    """Length of the common prefix."""
    n = min(len(a), len(b))
    differ = a[:n] != b[:n]
    first = int(differ.argmax()) if n else 0
    return first if n and differ[first] else n


def _merge(ranges: Sequence[Range] | Iterator[Range]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for low, high in ranges:
        if merged and merged[-1][1] == low:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)
