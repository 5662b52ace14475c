"""Writing token by token into a cache of fixed size, plugged into transformers through its attention interface.

transformers' own loop serves every model, and spends 25 ms of Python on a step, however small the model and however
fast the GPU. Here every step does the same work (the same rows, a cache as wide as it will ever be), so that on CUDA a
step is recorded once, as a graph, and replayed without Python. On a CPU the cache is written in place instead of being
copied to grow. On both, a context that is answered several times is read once, and rows that have ended are dropped
when they are half of the batch::

    row r        | context of r, read at once | answer so far | room              |
    a step       writes keys at positions[r], sees columns ≤ positions[r], adds 1 to positions

Models that the tree path serves can be written with, after a trial on random tokens (``TransformersBackend``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from pytest_pmpo.scoring.backends.attention import (
    AttentionOptions,
    UnsupportedAttentionError,
    attend,
    no_mask,
    repeat_heads,
)
from pytest_pmpo.scoring.backends.budget import is_out_of_memory
from pytest_pmpo.scoring.backends.head import TargetHead
from pytest_pmpo.scoring.backends.kernels import KeyValue

NAME = "pmpo_decode"
CHECK_EVERY = 8
"""Steps between looks at which rows have ended; each look waits for the device."""

Tokens = tuple[int, ...]
Choose = Callable[[Tensor], Tensor]
"""Next tokens, int64 [rows], from logits [rows, vocabulary]."""


class FixedCache:
    """Keys and values of rows being written, each row at its own length.

    Args:
        lengths: tokens of each row's context.
        source: which of the distinct contexts each row has.
        width: columns; the longest context with the longest answer.
    """

    def __init__(self, lengths: Sequence[int], source: Sequence[int], width: int, device: torch.device) -> None:
        self.width = width
        self.positions = torch.tensor(lengths, device=device)
        self._rows = torch.arange(len(lengths), device=device)
        self.source = torch.tensor(source, device=device)
        self._reading = True
        self._memory: dict[int, KeyValue] = {}
        self._masks: dict[tuple[int, int | None], Tensor] = {}
        self._visible = width

    def begin_step(self, visible: int) -> None:
        """From here on attention takes one token of every row; no row is longer than ``visible`` columns by then."""
        self._reading, self._visible = False, visible
        self._masks.clear()

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these, int64 [kept]."""
        self.positions = self.positions[rows]
        self._rows = self._rows[: len(rows)]
        self._memory = {name: (key[rows], value[rows]) for name, (key, value) in self._memory.items()}

    def attend(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """One layer's attention, of the contexts or of one step.

        Args:
            query: [contexts, heads, t, d] or [rows, heads, 1, d]; keys and values likewise, positions applied already.

        Returns:
            the same with heads behind tokens: [·, t, heads, d_value].
        """
        if not self._reading:
            return self._step(module, query, key, value, options)
        self._memory[id(module)] = self._widened(key), self._widened(value)
        groups, seen = query.shape[1] // key.shape[1], self._causal(query.shape[2], options.window)
        return attend(query, repeat_heads(key, groups), repeat_heads(value, groups), seen, options).transpose(1, 2)

    def _widened(self, tensor: Tensor) -> Tensor:
        """Each row's copy of its context's keys or values, with room for an answer."""
        room = tensor.new_zeros(len(self.source), tensor.shape[1], self.width, tensor.shape[3])
        room[:, :, : tensor.shape[2]] = tensor[self.source]
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
        name = (1, window)
        if name not in self._masks:
            columns = torch.arange(self._visible, device=self.positions.device)[None]
            newest = self.positions[:, None]
            seen = columns <= newest
            if window is not None:
                seen &= columns > newest - window
            self._masks[name] = seen[:, None, None]
        return self._masks[name]

    def _causal(self, length: int, window: int | None) -> Tensor | None:
        """Bool [length, length]; None where every token sees all before it."""
        if window is None or window >= length:
            return None
        name = (length, window)
        if name not in self._masks:
            places = torch.arange(length, device=self.positions.device)
            distance = places[:, None] - places
            self._masks[name] = (distance >= 0) & (distance < window)
        return self._masks[name]


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
        lengths = [len(context) for context in contexts]
        device = self._model.device
        cache = FixedCache(lengths, [distinct[c] for c in contexts], max(lengths) + most, device)
        answers: list[list[int]] = [[] for _ in contexts]
        with self._attention(cache):
            tokens = choose(self._read(list(distinct), cache))
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

    def _read(self, contexts: Sequence[Tokens], cache: FixedCache) -> Tensor:
        """Logits [rows, vocabulary] behind each row's context; every distinct context is read once."""
        longest = max(map(len, contexts))
        # padding is on the right: causal attention never sees it, and steps overwrite its keys
        ids = torch.tensor([[*c, *[0] * (longest - len(c))] for c in contexts], device=self._model.device)
        hidden = self._hidden(ids, torch.arange(longest, device=ids.device).expand_as(ids))
        return self._head.logits(hidden[cache.source, cache.positions - 1])

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
