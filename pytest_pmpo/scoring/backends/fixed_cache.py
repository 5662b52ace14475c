"""Keys and values of rows being written: contexts read as a prefix forest, then room for an answer in every row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pytest_pmpo.scoring.backends.attention import AttentionOptions, attend
from pytest_pmpo.scoring.backends.kernels import KeyValue, to_device
from pytest_pmpo.scoring.backends.tree_attention import TreeState
from pytest_pmpo.scoring.plan import Forest, Ints
from pytest_pmpo.scoring.records import EncodedSequence

Tokens = tuple[int, ...]


class Contexts:
    """Distinct contexts as the prefix forest of one packed row.

    Attributes:
        chunk: the row.
        lengths: tokens of each context, int64 [contexts].
        places: tokens of the row that make up each context, int64 [contexts, longest]; 0 behind its end.
    """

    def __init__(self, contexts: Sequence[Tokens]) -> None:
        forest = Forest([EncodedSequence((*context, 0), len(context), "a context") for context in contexts])
        (self.chunk,) = forest.chunks(forest.size)
        self.lengths = np.array([len(context) for context in contexts], dtype=np.int64)
        self.places = np.zeros((len(contexts), int(self.lengths.max())), dtype=np.int64)
        starts = [segment.start for segment in self.chunk.segments]
        for context, last in zip(self.chunk.sequences.tolist(), self.chunk.rows.tolist(), strict=True):
            segment = self.chunk.segments[bisect_right(starts, last) - 1]
            path = [*segment.context, (segment.start, last + 1)]
            self.places[context, : self.lengths[context]] = np.concatenate([np.arange(*part) for part in path])

    @property
    def last(self) -> Ints:
        """Place of each context's last token, int64 [contexts]."""
        found: Ints = self.places[np.arange(len(self.lengths)), self.lengths - 1]
        return found


class FixedCache:
    """Keys and values of rows being written, each row at its own length.

    Args:
        contexts: what is read before the first step.
        source: which of them each row has, int64 [rows].
        most: longest answer, in tokens.
    """

    def __init__(self, contexts: Contexts, source: Ints, most: int, device: torch.device) -> None:
        self.width = contexts.places.shape[1] + most
        self.positions = to_device(torch.from_numpy(contexts.lengths[source]), device)
        self._rows = torch.arange(len(source), device=device)
        self._places = to_device(torch.from_numpy(contexts.places[source]), device)
        self._tree: TreeState | None = TreeState()
        self._tree.begin(contexts.chunk, device)
        self._memory: dict[int, KeyValue] = {}
        self._masks: dict[int | None, Tensor] = {}
        self._visible = self.width

    def begin_step(self, visible: int) -> None:
        """From here on attention takes one token of every row; no row is longer than ``visible`` columns by then."""
        self._tree, self._visible = None, visible
        self._masks.clear()

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these, int64 [kept]."""
        self.positions = self.positions[rows]
        self._rows = self._rows[: len(rows)]
        for name in list(self._memory):  # layer by layer: two caches at once might not fit
            key, value = self._memory.pop(name)
            self._memory[name] = key[rows], value[rows]

    def attend(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """One layer's attention, of the contexts' row or of one step.

        Args:
            query: [1, heads, n, d] or [rows, heads, 1, d]; keys and values likewise, positions applied already.

        Returns:
            the same with heads behind tokens: [1, n, heads, d_value] or [rows, 1, heads, d_value].
        """
        if self._tree is None:
            return self._step(module, query, key, value, options)
        self._memory[id(module)] = self._laid_out(key), self._laid_out(value)
        return self._tree.attend(module, query, key, value, options)

    def _laid_out(self, tensor: Tensor) -> Tensor:
        """Keys or values of the forest [1, key heads, n, d] → rows with room for answers [rows, key heads, w, d]."""
        room = tensor.new_zeros(len(self._places), tensor.shape[1], self.width, tensor.shape[3])
        # behind a context's end stands what a step overwrites before it is seen
        room[:, :, : self._places.shape[1]] = tensor[0][:, self._places].transpose(0, 1)
        return room

    def _step(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        keys, values = self._memory[id(module)]
        keys[self._rows, :, self.positions] = key[:, :, 0]
        values[self._rows, :, self.positions] = value[:, :, 0]
        rows, heads, _, size = query.shape
        # heads that share keys become rows of one query: no key is copied for them
        packed = query.reshape(rows, keys.shape[1], -1, size)
        visible = slice(self._visible)
        mixed = attend(packed, keys[:, :, visible], values[:, :, visible], self._past(options.window), options)
        return mixed.reshape(rows, heads, 1, -1).transpose(1, 2)

    def _past(self, window: int | None) -> Tensor:
        """Bool [rows, 1, 1, visible], True = seen by the row's newest token."""
        if window not in self._masks:
            columns = torch.arange(self._visible, device=self.positions.device)[None]
            newest = self.positions[:, None]
            seen = columns <= newest
            if window is not None:
                seen &= columns > newest - window
            self._masks[window] = seen[:, None, None]
        return self._masks[window]
