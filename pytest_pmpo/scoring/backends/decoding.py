"""Writing token by token into a cache of fixed size, plugged into transformers through its attention interface.

transformers' own loop serves every model, and spends 25 ms of Python on a step, however small the model and however
fast the GPU. Here every step does the same work (the same rows, a cache as wide as it will ever be), so that on CUDA a
step is recorded once, as a graph, and replayed without Python. On both kinds of device contexts are read as a prefix
forest (``plan.py``), so that what they share is read once, and rows that have ended are dropped when they are half of
the batch::

    row r        | context of r, out of the forest | answer so far | room              |
    a step       writes keys at positions[r], sees columns ≤ positions[r], adds 1 to positions

Models that the tree path serves can be written with, after a trial on random tokens (``TransformersBackend``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_pmpo.scoring.backends.attention import (
    AttentionOptions,
    UnsupportedAttentionError,
    attend,
    no_mask,
)
from pytest_pmpo.scoring.backends.budget import is_out_of_memory
from pytest_pmpo.scoring.backends.head import TargetHead
from pytest_pmpo.scoring.backends.kernels import KeyValue, to_device
from pytest_pmpo.scoring.backends.tree_attention import TreeState
from pytest_pmpo.scoring.plan import Forest, Ints
from pytest_pmpo.scoring.records import EncodedSequence

NAME = "pmpo_decode"
CHECK_EVERY = 8
"""Steps between looks at which rows have ended; each look waits for the device."""

Tokens = tuple[int, ...]
Choose = Callable[[Tensor], Tensor]
"""Next tokens, int64 [rows], from logits [rows, vocabulary]."""


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
        self._memory = {name: (key[rows], value[rows]) for name, (key, value) in self._memory.items()}

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


class Decoder:
    """Writes with a model whose attention goes through transformers' interface.

    Raises:
        UnsupportedAttentionError: from ``write``, if attention is asked for something that is not done here.
    """

    def __init__(self, model: Any, head: TargetHead) -> None:
        _register()
        self._model, self._head = model, head
        self._records = model.device.type == "cuda"

    def write(self, contexts: Sequence[Tokens], choose: Choose, end: int | None, most: int) -> list[Tokens]:
        """An answer to each context, its end included where the model came to one, of at most ``most`` tokens."""
        distinct = {context: number for number, context in enumerate(dict.fromkeys(contexts))}
        source = np.array([distinct[context] for context in contexts], dtype=np.int64)
        known, device = Contexts(list(distinct)), self._model.device
        cache = FixedCache(known, source, most, device)
        answers: list[list[int]] = [[] for _ in contexts]
        with self._attention(cache):
            tokens = choose(self._read(known, source))
            rows = list(range(len(contexts)))
            step, pending = self._stepper(cache, tokens), [tokens]
            for written in range(1, most + 1):
                if written % CHECK_EVERY == 0 or written == most:
                    ended = _extend(answers, rows, torch.stack(pending, 1).tolist(), end)
                    pending = []
                    left = [place for place, done in enumerate(ended) if not done]
                    if not left or written == most:
                        break
                    if 2 * len(left) <= len(rows):
                        kept = torch.tensor(left, device=device)
                        cache.keep(kept)
                        rows, tokens = [rows[place] for place in left], tokens[kept]
                        step = self._stepper(cache, tokens)
                tokens = choose(step(tokens))
                pending.append(tokens)
        return [tuple(answer) for answer in answers]

    def losses(self, contexts: Sequence[Tokens], targets: Sequence[Tokens]) -> Tensor:
        """Negative log-likelihoods [rows, n], nats, that steps give to targets of n tokens each."""
        wanted, found = torch.tensor(targets, device=self._model.device), list[Tensor]()

        def follow(logits: Tensor) -> Tensor:
            tokens = wanted[:, len(found)]
            found.append(-logits.float().log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0])
            return tokens

        self.write(contexts, follow, None, wanted.shape[1])
        return torch.stack(found, dim=1)

    def _read(self, contexts: Contexts, source: Ints) -> Tensor:
        """Logits [rows, vocabulary] behind each row's context."""
        chunk, device = contexts.chunk, self._model.device
        ids, positions, last, rows = (
            to_device(torch.from_numpy(numbers), device)
            for numbers in (chunk.tokens, chunk.positions, contexts.last, source)
        )
        hidden = self._hidden(ids[None], positions[None])[0]
        return self._head.logits(hidden[last])[rows]

    def _stepper(self, cache: FixedCache, tokens: Tensor) -> Callable[[Tensor], Tensor]:
        """What takes every row one token further: a recorded graph where that is possible."""
        if self._records:
            try:
                return _Recorded(self._step, cache, tokens)
            except RuntimeError as error:  # a model that looks at its numbers on the way cannot be recorded
                if is_out_of_memory(error):
                    raise
                self._records = False
        return _Eager(self._step, cache)

    def _step(self, cache: FixedCache, tokens: Tensor, visible: int) -> Tensor:
        cache.begin_step(visible)
        return self._head.logits(self._hidden(tokens[:, None], cache.positions[:, None])[:, 0])

    def _hidden(self, ids: Tensor, positions: Tensor) -> Tensor:
        found: Tensor = self._model.base_model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        return found

    @contextmanager
    def _attention(self, cache: FixedCache) -> Iterator[None]:
        before = self._model.config._attn_implementation
        token = _CACHE.set(cache)
        self._model.set_attn_implementation(NAME)
        try:
            yield
        finally:
            self._model.set_attn_implementation(before)
            _CACHE.reset(token)


_Step = Callable[[FixedCache, Tensor, int], Tensor]


class _Eager:
    """A step as it is written, over the columns that are in use."""

    def __init__(self, step: _Step, cache: FixedCache) -> None:
        self._step, self._cache = step, cache
        self._longest = int(cache.positions.max())

    def __call__(self, tokens: Tensor) -> Tensor:
        self._longest += 1
        logits = self._step(self._cache, tokens, self._longest)
        self._cache.positions += 1
        return logits


class _Recorded:
    """A step recorded as a CUDA graph. It sees the cache's whole width, so that it is always the same work."""

    def __init__(self, step: _Step, cache: FixedCache, tokens: Tensor) -> None:
        self._cache, self._tokens = cache, tokens.clone()
        aside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries allocate their workspaces at the first call, which is not recorded
            step(cache, self._tokens, cache.width)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = step(cache, self._tokens, cache.width)

    def __call__(self, tokens: Tensor) -> Tensor:
        self._tokens.copy_(tokens)
        self._graph.replay()
        self._cache.positions += 1
        return self._logits


def _extend(
    answers: list[list[int]], rows: Sequence[int], block: Sequence[Sequence[int]], end: int | None
) -> list[bool]:
    """Add each row's new tokens, up to its end; whether each row has ended."""
    ended = []
    for row, tokens in zip(rows, block, strict=True):
        answer = answers[row]
        if not (answer and answer[-1] == end):
            stop = tokens.index(end) + 1 if end in tokens else len(tokens)
            answer += tokens[:stop]
        ended.append(bool(answer) and answer[-1] == end)
    return ended


_CACHE: ContextVar[FixedCache | None] = ContextVar("pmpo_fixed_cache", default=None)


def decode_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The function transformers calls; see its ``AttentionInterface``."""
    wanted, cache = AttentionOptions.of(scaling, sliding_window, softcap, options), _CACHE.get()
    if cache is None:
        raise UnsupportedAttentionError("attention was called while nothing is written")
    return cache.attend(module, query, key, value, wanted), None


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, decode_attention)
    AttentionMaskInterface.register(NAME, no_mask)
