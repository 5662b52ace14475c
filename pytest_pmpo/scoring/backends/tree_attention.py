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

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pytest_pmpo.scoring.backends import shared_context
from pytest_pmpo.scoring.backends.attention import (
    AttentionOptions,
    OwnAttention,
    UnsupportedAttentionError,
    attend,
    repeat_heads,
)
from pytest_pmpo.scoring.backends.kernels import KeyValue, TreeBlocks, available
from pytest_pmpo.scoring.plan import Chunk, Range, Segment

TREE = OwnAttention("pmpo_tree")
"""On a ``TreeState``."""


class TreeState:
    """The chunk being computed and the keys and values carried between chunks, by attention module.

    Attributes:
        windows: that attention was asked for, None for a layer without one.
    """

    def __init__(self) -> None:
        self.windows: set[int | None] = set()
        self._carried: dict[int, KeyValue] = {}
        self._next: dict[int, KeyValue] = {}
        self._chunk: Chunk | None = None
        self._layout: _Layout | None = None

    def begin(self, chunk: Chunk, device: torch.device) -> None:
        """Start a chunk; what the last one kept becomes its carried memory."""
        self._carried, self._next = self._next, {}
        self._chunk = chunk
        self._layout = _Layout(chunk, device)

    def attend(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """One layer's attention.

        Args:
            query: [1, heads, n, d]; ``key`` and ``value``: [1, key heads, n, d], positions applied already.

        Returns:
            [1, n, heads, d_value]
        """
        if self._chunk is None or self._layout is None or query.shape[0] != 1:
            raise UnsupportedAttentionError("attention was called outside of a chunk")
        self.windows.add(options.window)
        own = key, value
        carried = self._carried[id(module)] if self._chunk.carried else None
        if self._chunk.keep:
            self._next[id(module)] = self._layout.kept(own, carried)
        if self._layout.tiles(query, own):
            return self._layout.attend_tiled(query, own, carried, options)
        return self._layout.attend_by_segment(query, own, carried, options)


class _Layout:
    """Index tensors and masks of one chunk, shared by all layers."""

    def __init__(self, chunk: Chunk, device: torch.device) -> None:
        self._chunk = chunk
        self._device = device
        self._masks: dict[tuple[int, int, int | None], Tensor | None] = {}
        self._blocks: TreeBlocks | None = None
        self._siblings = shared_context.siblings(chunk.segments)

    def tiles(self, query: Tensor, own: KeyValue) -> bool:
        """Whether the Triton kernel serves these tensors."""
        head = query.shape[-1]
        half = query.dtype in (torch.float16, torch.bfloat16)
        plain = all(t.shape[-1] == head and t.stride(-1) == 1 for t in (query, *own))
        return query.is_cuda and half and plain and head <= 256 and available()

    def kept(self, own: KeyValue, carried: KeyValue | None) -> KeyValue:
        """What the next chunk will need, copied: a view would keep all of this chunk's memory alive."""
        key, value = (torch.cat(parts, dim=2) for parts in self._parts(own, carried, self._chunk.keep))
        return key, value

    def _parts(
        self, own: KeyValue, carried: KeyValue | None, ranges: Sequence[Range]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Keys and values in ranges of memory, range by range."""
        old, end = self._chunk.carried, self._chunk.carried + own[0].shape[2]
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        for memory, begin, stop in ((carried, 0, old), (own, old, end)):
            for low, high in ranges:
                first, last = max(low, begin), min(high, stop)
                if memory is not None and first < last:
                    for parts, tensor in zip(found, memory, strict=True):
                        parts.append(tensor[:, :, first - begin : last - begin])
        return found

    def attend_tiled(self, query: Tensor, own: KeyValue, carried: KeyValue | None, options: AttentionOptions) -> Tensor:
        """All segments and heads in one kernel that reads keys where they lie."""
        groups = query.shape[1] // own[0].shape[1]
        if self._blocks is None or self._blocks.groups != groups:
            self._blocks = TreeBlocks(self._chunk.segments, self._chunk.carried, self._device, groups)
        scale = query.shape[-1] ** -0.5 if options.scaling is None else options.scaling
        return self._blocks.attend(query, own, carried, scale=scale, softcap=options.softcap, window=options.window)

    def attend_by_segment(
        self, query: Tensor, own: KeyValue, carried: KeyValue | None, options: AttentionOptions
    ) -> Tensor:
        """One call per segment, exact in every dtype and on every device; on a CPU one over what siblings share."""
        output = query.new_empty(1, query.shape[2], query.shape[1], own[1].shape[-1])
        memory = self._chunk.carried + query.shape[2]
        plain = options.softcap is None and (options.window is None or options.window >= memory)
        shares = plain and shared_context.applies(query, own)
        for segments in self._siblings:
            if shares and len(segments) > 1 and segments[0].context:
                found = self._attend_together(segments, query, own, carried, options.scaling)
            else:
                found = [self._attend_alone(segment, query, own, carried, options) for segment in segments]
            for segment, out in zip(segments, found, strict=True):
                output[:, segment.start : segment.stop] = out.transpose(1, 2)
        return output

    def _attend_alone(
        self, segment: Segment, query: Tensor, own: KeyValue, carried: KeyValue | None, options: AttentionOptions
    ) -> Tensor:
        start, stop = segment.start, segment.stop
        ranges = (*segment.context, (self._chunk.carried + start, self._chunk.carried + stop))
        groups = query.shape[1] // own[0].shape[1]
        k, v = (repeat_heads(_joined(parts), groups) for parts in self._parts(own, carried, ranges))
        return attend(query[:, :, start:stop], k, v, self._mask(stop - start, k.shape[2], options.window), options)

    def _attend_together(
        self, segments: Sequence[Segment], query: Tensor, own: KeyValue, carried: KeyValue | None, scale: float | None
    ) -> list[Tensor]:
        key, value = (_joined(parts) for parts in self._parts(own, carried, segments[0].context))
        places = [slice(segment.start, segment.stop) for segment in segments]
        mine = [(own[0][:, :, place], own[1][:, :, place]) for place in places]
        return shared_context.attend([query[:, :, place] for place in places], (key, value), mine, scale)

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


def _joined(parts: list[Tensor]) -> Tensor:
    """Parts [1, heads, tokens, d] in one; a view where there is but one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
