"""Triton kernels for CUDA: attention over a prefix forest, and log-sum-exp of logits in one pass.

Library kernels read a shared prefix once per sequence and the logits four times. These read keys where they lie, once
for all heads that share them, and the logits once; they compile in seconds, and Triton keeps the result on disk. The
plain forms they must equal are in ``tree_attention.py`` and below, and serve every other device and dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pytest_pmpo.scoring.plan import Range

_BLOCK = 8192
_TILE_ROWS = 128  # queries × heads of one tile: two warp groups of tensor-core rows


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
        segments: (first query, last query + 1, context ranges in memory, first own key in memory), in order.
        device: a CUDA device.
        groups: query heads per key head.
    """

    def __init__(
        self, segments: Sequence[tuple[int, int, tuple[Range, ...], int]], device: torch.device, groups: int
    ) -> None:
        self.groups = groups
        self.padded = 1 << (groups - 1).bit_length()
        self.queries = max(1, _TILE_ROWS // self.padded)
        blocks: list[tuple[int, ...]] = []
        ranges: list[tuple[int, int, int]] = []
        for start, stop, context, own in segments:
            low, position = len(ranges), 0
            for first, last in context:
                ranges.append((first, last, position))
                position += last - first
            for query in range(start, stop, self.queries):
                count = min(self.queries, stop - query)
                past = query - start
                blocks.append((query, count, low, len(ranges), own, own + past + count, position, position + past))
        # long blocks first, so that the last ones to run are short
        blocks.sort(key=lambda block: block[6] + block[5] - block[4], reverse=True)
        self.blocks = _int32(blocks, device)
        self.ranges = _int32(ranges or [(0, 0, 0)], device)

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, *, scale: float, softcap: float | None, window: int | None
    ) -> Tensor:
        """Attention of every query over its context and, causally, over its own segment.

        Args:
            q: 16-bit [n, heads, d]; ``k`` and ``v``: [memory, key heads, d], the last dimension contiguous.

        Returns:
            [n, heads, d]
        """
        output = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        size = max(16, 1 << (q.shape[-1] - 1).bit_length())
        _kernels().tree_attention[(len(self.blocks), k.shape[1])](
            q, k, v, output, self.blocks, self.ranges,
            q.stride(0), q.stride(1), k.stride(0), k.stride(1), v.stride(0), v.stride(1),
            output.stride(0), output.stride(1), scale, softcap or 0.0, window or 0,
            GROUPS=self.groups, PADDED_GROUPS=self.padded, QUERIES=self.queries, KEYS=64,
            HEAD=q.shape[-1], SIZE=size, WINDOWED=window is not None, CAPPED=softcap is not None,
            num_warps=8, num_stages=3 if size <= 128 else 2,
        )  # fmt: skip
        return output


def available() -> bool:
    """Whether there is a Triton to compile for this machine's GPU."""
    return _kernels() is not None


def _int32(rows: Sequence[tuple[int, ...]], device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.int32).to(device, non_blocking=True)


@cache
def _kernels() -> Any:
    """The compiled kernels' module, or None where there is no Triton."""
    try:
        from pytest_pmpo.scoring.backends import triton_kernels
    except ImportError:
        return None
    return triton_kernels
