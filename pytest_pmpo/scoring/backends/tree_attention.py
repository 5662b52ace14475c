"""Attention over a packed row of a prefix forest, plugged into transformers through its public attention interface.

A chunk of the forest (see ``plan.py``) is one row of tokens whose neighbours need not follow one another in any
sequence. Everything in a decoder but attention works token by token, so only attention has to know: a segment's queries
see the memory ranges before it (carried keys of earlier chunks, other segments of this chunk) and itself, causally::

    memory   = [ carried keys | keys of this chunk ]
    segment  = queries a…b of the chunk, keys = memory[context ranges] ++ chunk[a…b]
    query i of the segment sees key j  ⇔  j − len(context) ≤ i       (aligned at the lower right)

After every layer the keys and values the next chunk will need are kept. No model code is copied or patched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from pytest_pmpo.scoring.backends.kernels import TreeBlocks, available
from pytest_pmpo.scoring.plan import Chunk, Range, Segment

NAME = "pmpo_tree"

KeyValue = tuple[Tensor, Tensor]


class UnsupportedAttentionError(Exception):
    """The model asks attention for something this path does not do; another path is taken."""


class TreeState:
    """The chunk being computed and the keys and values carried between chunks, by attention module."""

    def __init__(self) -> None:
        self._carried: dict[int, KeyValue] = {}
        self._next: dict[int, KeyValue] = {}
        self._chunk: Chunk | None = None
        self._layout: _Layout | None = None

    def begin(self, chunk: Chunk, device: torch.device) -> None:
        """Start a chunk; what the last one kept becomes its carried memory."""
        self._carried, self._next = self._next, {}
        self._chunk = chunk
        self._layout = _Layout(chunk, device)

    def attend(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, options: _Options) -> Tensor:
        """One layer's attention.

        Args:
            query: [1, heads, n, d]; ``key`` and ``value``: [1, key heads, n, d], positions applied already.

        Returns:
            [1, n, heads, d_value]
        """
        if self._chunk is None or self._layout is None or query.shape[0] != 1:
            raise UnsupportedAttentionError("attention was called outside of a chunk")
        if self._chunk.carried:
            old_key, old_value = self._carried[id(module)]
            key, value = torch.cat([old_key, key], dim=2), torch.cat([old_value, value], dim=2)
        if self._chunk.keep:
            self._next[id(module)] = (_take(key, self._chunk.keep), _take(value, self._chunk.keep))
        if self._layout.tiles(query):
            return self._layout.attend_tiled(query, key, value, options)
        return self._layout.attend_by_segment(query, key, value, options)


class _Options:
    """What a model passes to its attention besides tensors."""

    def __init__(self, scaling: float | None, sliding_window: int | None, softcap: float | None) -> None:
        self.scaling = scaling
        self.window = sliding_window
        self.softcap = softcap


class _Layout:
    """Index tensors and masks of one chunk, shared by all layers."""

    def __init__(self, chunk: Chunk, device: torch.device) -> None:
        self._chunk = chunk
        self._device = device
        self._masks: dict[tuple[int, int, int | None], Tensor | None] = {}
        self._blocks: TreeBlocks | None = None

    def tiles(self, query: Tensor) -> bool:
        """Whether the Triton kernel serves these queries."""
        half = query.dtype in (torch.float16, torch.bfloat16)
        return query.is_cuda and half and query.shape[-1] <= 256 and available()

    def attend_tiled(self, query: Tensor, key: Tensor, value: Tensor, options: _Options) -> Tensor:
        """All segments and heads in one kernel that reads keys where they lie."""
        groups = query.shape[1] // key.shape[1]
        if self._blocks is None or self._blocks.groups != groups:
            segments = [(s.start, s.stop, s.context, self._own(s)[0]) for s in self._chunk.segments]
            self._blocks = TreeBlocks(segments, self._device, groups)
        q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
        scale = q.shape[-1] ** -0.5 if options.scaling is None else options.scaling
        return self._blocks.attend(q, k, v, scale=scale, softcap=options.softcap, window=options.window)[None]

    def _own(self, segment: Segment) -> Range:
        return self._chunk.carried + segment.start, self._chunk.carried + segment.stop

    def _key_ranges(self) -> Iterator[tuple[tuple[Range, ...], int, int]]:
        for segment in self._chunk.segments:
            yield (*segment.context, self._own(segment)), segment.start, segment.stop

    def attend_by_segment(self, query: Tensor, key: Tensor, value: Tensor, options: _Options) -> Tensor:
        """One call per segment: exact in every dtype and on every device."""
        groups = query.shape[1] // key.shape[1]
        output = query.new_empty(1, query.shape[2], query.shape[1], value.shape[-1])
        for ranges, start, stop in self._key_ranges():
            q = query[:, :, start:stop]
            k, v = _repeat(_take(key, ranges), groups), _repeat(_take(value, ranges), groups)
            mask = self._mask(stop - start, k.shape[2], options.window)
            out = _attention(q, k, v, mask, options)
            output[:, start:stop] = out.transpose(1, 2)
        return output

    def _mask(self, queries: int, keys: int, window: int | None) -> Tensor | None:
        """Bool [queries, keys], True = seen; None for a plain causal square."""
        if window is not None and window >= keys:
            window = None
        name = (queries, keys, window)
        if name not in self._masks:
            if queries == keys and window is None:
                self._masks[name] = None
            else:
                distance = torch.arange(keys - queries, keys, device=self._device)[:, None] - torch.arange(
                    keys, device=self._device
                )
                seen = distance >= 0
                self._masks[name] = seen if window is None else seen & (distance < window)
        return self._masks[name]


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: _Options) -> Tensor:
    if options.softcap is None:
        return nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=options.scaling
        )
    scale = q.shape[-1] ** -0.5 if options.scaling is None else options.scaling
    scores = torch.tanh(q @ k.transpose(2, 3) * scale / options.softcap) * options.softcap
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype) @ v


def _take(memory: Tensor, ranges: tuple[Range, ...]) -> Tensor:
    """Tokens of [1, heads, tokens, d] in the ranges; a view where there is but one."""
    parts = [memory[:, :, low:high] for low, high in ranges]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _repeat(memory: Tensor, groups: int) -> Tensor:
    """[1, key heads, t, d] → [1, heads, t, d]; a view that copies nothing until a kernel needs it."""
    if groups == 1:
        return memory
    one, heads, tokens, size = memory.shape
    return memory[:, :, None].expand(one, heads, groups, tokens, size).reshape(one, heads * groups, tokens, size)


_STATE: ContextVar[TreeState | None] = ContextVar("pmpo_tree_state", default=None)


@contextmanager
def tree_state() -> Iterator[TreeState]:
    """Attention of models switched to ``NAME`` works on the state's chunk inside this block."""
    state = TreeState()
    token = _STATE.set(state)
    try:
        yield state
    finally:
        _STATE.reset(token)


def tree_attention(
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
    refused = [name for name in ("s_aux", "position_bias", "head_mask") if options.get(name) is not None]
    state = _STATE.get()
    if refused or state is None:
        raise UnsupportedAttentionError(", ".join(refused) or "attention was called outside of a chunk")
    return state.attend(module, query, key, value, _Options(scaling, sliding_window, softcap)), None


def no_mask(*args: Any, **kwargs: Any) -> None:
    """The forest is its own mask; see transformers' ``AttentionMaskInterface``."""


def register() -> None:
    """Make ``NAME`` known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, no_mask)
