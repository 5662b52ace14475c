"""Triton kernels for CUDA: attention over a prefix forest, and log-sum-exp of logits in one pass.

Library kernels read a shared prefix once per sequence and the logits four times. These read keys where they lie, once
for all heads that share them, and the logits once; they compile in seconds, and Triton keeps the result on disk. The
plain forms they must equal are in ``tree_attention.py`` and below, and serve every other device and dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pytest_pmpo.scoring.plan import Range, Segment

_BLOCK = 8192
_TILE_ROWS = 128  # queries × heads of one tile: two warp groups of tensor-core rows
_TILE_KEYS = 64

KeyValue = tuple[Tensor, Tensor]
"""Keys and values [1, key heads, tokens, d]."""


def logsumexp(logits: Tensor) -> Tensor:
    """log Σ exp over the last dimension of [n, vocabulary] in fp32, whatever the dtype of the logits.

    Returns:
        fp32 [n].
    """
    kernel = _kernels() if logits.is_cuda else None
    if kernel is None:
        return torch.logsumexp(logits.float(), dim=-1)
    result = logits.new_empty(len(logits), dtype=torch.float32)
    kernel.logsumexp[(len(logits),)](logits, result, logits.stride(0), logits.shape[1], BLOCK=_BLOCK, num_warps=16)
    return result


class TreeBlocks:
    """Which keys every block of queries of a packed row sees; built once per chunk, used by every layer.

    Args:
        segments: of the chunk, their context as ranges of its memory: carried keys first, then its own.
        carried: how many carried keys there are.
        device: a CUDA device.
        groups: query heads per key head.
    """

    def __init__(self, segments: Sequence[Segment], carried: int, device: torch.device, groups: int) -> None:
        self.groups = groups
        self.rows = max(_TILE_ROWS, 1 << (groups - 1).bit_length())
        self.queries = self.rows // groups
        blocks: list[tuple[int, ...]] = []
        ranges: list[tuple[int, int, int, int]] = []
        known: dict[tuple[Range, ...], tuple[int, int, int]] = {}  # siblings share their context
        for segment in segments:
            if segment.context not in known:
                parts = _placed(segment.context, carried)
                known[segment.context] = len(ranges), len(ranges) + len(parts), sum(b - a for a, b in segment.context)
                ranges += parts
            low, high, depth = known[segment.context]
            for query in range(segment.start, segment.stop, self.queries):
                count = min(self.queries, segment.stop - query)
                position = depth + query - segment.start
                blocks.append((query, count, low, high, segment.start, query + count, position))
        # long blocks first, so that the last ones to run are short
        blocks.sort(key=lambda block: block[6], reverse=True)
        self.blocks = _int32(blocks, device)
        self.ranges = _int32([*ranges, (0, 0, 0, 0)], device)  # the kernel reads, and drops, one row more

    def attend(
        self,
        q: Tensor,
        own: KeyValue,
        carried: KeyValue | None,
        *,
        scale: float,
        softcap: float | None,
        window: int | None,
    ) -> Tensor:
        """Attention of every query over its context and, causally, over its own segment.

        Args:
            q: 16-bit [1, heads, n, d], the last dimension contiguous here and in keys and values.

        Returns:
            [1, n, heads, d]
        """
        one, heads, n, head = q.shape
        output = torch.empty((one, n, heads, head), dtype=q.dtype, device=q.device)
        size = max(16, 1 << (head - 1).bit_length())
        tensors = (*own, *(own if carried is None else carried))
        strides = [t.stride(i) for t in (q, *tensors) for i in (2, 1)] + [output.stride(1), output.stride(2)]
        _kernels().tree_attention[(len(self.blocks), own[0].shape[1])](
            q, *tensors, output, self.blocks, self.ranges, *strides, scale, softcap or 0.0, window or 0,
            GROUPS=self.groups, QUERIES=self.queries, ROWS=self.rows, KEYS=_TILE_KEYS,
            HEAD=head, SIZE=size, WINDOWED=window is not None, CAPPED=softcap is not None,
            num_warps=8, num_stages=3 if size <= 128 else 2,
        )  # fmt: skip
        return output


def _placed(context: Sequence[Range], carried: int) -> list[tuple[int, int, int, int]]:
    """Ranges of memory, cut where the carried keys end: first, last + 1, position of the first, whether its own."""
    placed: list[tuple[int, int, int, int]] = []
    position = 0
    for low, high in context:
        cut = min(max(low, carried), high)
        if low < cut:
            placed.append((low, cut, position, 0))
        if cut < high:
            placed.append((cut - carried, high - carried, position + cut - low, 1))
        position += high - low
    return placed


def current(device: torch.device) -> AbstractContextManager[None]:
    """While it lasts, a CUDA device is this thread's current one; nothing for other devices.

    Triton launches on the current device, wherever its tensors lie, and every thread begins with the first.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def available() -> bool:
    """Whether there is a Triton to compile for this machine's GPU."""
    return _kernels() is not None


def _int32(rows: Sequence[tuple[int, ...]], device: torch.device) -> Tensor:
    return to_device(torch.tensor(rows, dtype=torch.int32), device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device, without waiting for the work queued there (that takes pinned memory)."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@cache
def _kernels() -> Any:
    """The compiled kernels' module, or None where there is no Triton."""
    try:
        from pytest_pmpo.scoring.backends import triton_kernels
    except ImportError:
        return None
    return triton_kernels
