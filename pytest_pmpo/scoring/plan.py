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
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pytest_pmpo.scoring.records import EncodedSequence

Ints = npt.NDArray[np.int64]
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of tokens without a branch inside.

    Attributes:
        parent: index of the run before it, −1 at a root.
        depth: position of its first token in the sequences that pass through it.
        row: index of one such sequence (in sorted order); the run is ``row[depth : depth + length]``.
        length: tokens.
        offset: place of its first token in depth-first order.
    """

    parent: int
    depth: int
    row: int
    length: int
    offset: int


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
        self.sequences = sequences
        paths = sorted({sequence.tokens[:-1] for sequence in sequences})
        self._rows = [np.array(path, dtype=np.int64) for path in paths]
        self._last_run = np.full(len(paths), -1, dtype=np.int64)
        self.runs = self._grow()
        self.size = sum(run.length for run in self.runs)
        self._row_of = {path: i for i, path in enumerate(paths)}

    def chunks(self, budget: int) -> Iterator[Chunk]:
        """The forest in rows of at most ``budget`` tokens; one is built as it is asked for."""
        readings = self._readings()
        starts = range(0, self.size, budget)
        offsets = np.array([run.offset for run in self.runs], dtype=np.int64)
        carried: tuple[Range, ...] = ()
        for start in starts:
            stop = min(start + budget, self.size)
            yield self._chunk(start, stop, carried, readings, offsets)
            if stop < self.size:
                carried = self._path_before(stop, offsets)

    def _grow(self) -> list[Run]:
        """Runs in preorder, from the sorted rows: a block of rows shares what its first and last row share."""
        runs: list[Run] = []
        offset = 0
        blocks = [(0, len(self._rows), 0, -1)]
        while blocks:
            low, high, depth, parent = blocks.pop()
            end = _common(self._rows[low], self._rows[high - 1], depth)
            if end > depth:
                runs.append(Run(parent, depth, low, end - depth, offset))
                offset += end - depth
                parent = len(runs) - 1
            if len(self._rows[low]) == end:
                self._last_run[low] = parent
                low += 1
            blocks.extend(reversed([(i, j, end, parent) for i, j in self._branches(low, high, end)]))
        return runs

    def _branches(self, low: int, high: int, depth: int) -> list[Range]:
        """Blocks of rows that agree on the token at ``depth``."""
        heads = [int(self._rows[i][depth]) for i in range(low, high)]
        cuts = [0, *(i for i in range(1, len(heads)) if heads[i] != heads[i - 1]), len(heads)]
        return [(low + i, low + j) for i, j in pairwise(cuts) if j > i]

    def _readings(self) -> Ints:
        """All readings as rows (place in depth-first order, target id, sequence, offset), sorted by place."""
        table: list[tuple[int, int, int, int]] = []
        for number, sequence in enumerate(self.sequences):
            path = sequence.tokens[:-1]
            places = self._places(self._row_of[path], sequence.target_start - 1)
            targets = sequence.tokens[sequence.target_start :]
            table.extend((p, t, number, i) for i, (p, t) in enumerate(zip(places, targets, strict=True)))
        table.sort()
        return np.array(table, dtype=np.int64).reshape(-1, 4)

    def _places(self, row: int, first: int) -> list[int]:
        """Places in depth-first order of positions ``first`` … end of a row."""
        parts: list[range] = []
        index = int(self._last_run[row])
        end = len(self._rows[row])
        while index >= 0 and end > first:
            run = self.runs[index]
            begin = max(first, run.depth)
            parts.append(range(run.offset + begin - run.depth, run.offset + end - run.depth))
            end, index = run.depth, run.parent
        return [place for part in reversed(parts) for place in part]

    def _run_at(self, place: int, offsets: Ints) -> int:
        return int(np.searchsorted(offsets, place, side="right")) - 1

    def _path_before(self, place: int, offsets: Ints) -> tuple[Range, ...]:
        """Places (in depth-first order) of the tokens before ``place`` in its sequences, as ranges by depth."""
        index = self._run_at(place, offsets)
        run = self.runs[index]
        ranges = [(run.offset, place)] if place > run.offset else []
        while run.parent >= 0:
            run = self.runs[run.parent]
            ranges.append((run.offset, run.offset + run.length))
        return _merge(reversed(ranges))

    def _chunk(self, start: int, stop: int, carried: tuple[Range, ...], readings: Ints, offsets: Ints) -> Chunk:
        memory = _Memory(carried, start)
        tokens = np.empty(stop - start, dtype=np.int64)
        positions = np.empty(stop - start, dtype=np.int64)
        segments = []
        place = start
        for run in self.runs[self._run_at(start, offsets) :]:
            if run.offset >= stop:
                break
            end = min(run.offset + run.length, stop)
            depth = run.depth + place - run.offset
            mine = slice(place - start, end - start)
            tokens[mine] = self._rows[run.row][depth : depth + end - place]
            positions[mine] = np.arange(depth, depth + end - place)
            segments.append(Segment(place - start, end - start, memory.find(self._path_before(place, offsets))))
            place = end
        low, high = np.searchsorted(readings[:, 0], [start, stop])
        part = readings[low:high]
        keep = memory.find(self._path_before(stop, offsets)) if stop < self.size else ()
        return Chunk(
            tokens,
            positions,
            memory.carried,
            tuple(segments),
            keep,
            part[:, 0] - start,
            part[:, 1],
            part[:, 2],
            part[:, 3],
        )


class _Memory:
    """Where tokens, named by their place in depth-first order, lie in a chunk's memory."""

    def __init__(self, carried: tuple[Range, ...], start: int) -> None:
        self._ranges: list[tuple[int, int, int]] = []  # (first place, last place + 1, index in memory)
        index = 0
        for low, high in carried:
            self._ranges.append((low, high, index))
            index += high - low
        self.carried = index
        self._start = start

    def find(self, places: Sequence[Range]) -> tuple[Range, ...]:
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


def _common(a: Ints, b: Ints, start: int) -> int:
    """Length of the common prefix of two rows that agree up to ``start``."""
    n = min(len(a), len(b))
    differ = a[start:n] != b[start:n]
    return start + int(differ.argmax()) if differ.any() else n


def _merge(ranges: Sequence[Range] | Iterator[Range]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for low, high in ranges:
        if merged and merged[-1][1] == low:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)
