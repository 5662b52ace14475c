"""The floor: the matrix work of the distinct tokens at the rate a large product reaches on this machine right now."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from pytest_pmpo.scoring.records import EncodedSequence, distinct_tokens


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the device's queue emptied before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int, repeats: int = 10) -> float:
    """FLOP/s of a square product of random matrices: median of ``repeats`` after three warm-ups."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    return 2 * size**3 / statistics.median(timed(lambda: a @ b, device) for _ in range(repeats))


def matrix_flops(model: Any, sequences: Sequence[EncodedSequence]) -> float:
    """FLOPs of the linear layers for every distinct token and of the vocabulary for every target token.

    Attention's own products are left out, so the floor is a little lower than what can be reached.
    """
    head = model.get_output_embeddings()
    linear: int = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    targets = sum(s.target_length for s in sequences)
    return 2.0 * (linear * distinct_tokens(sequences) + int(head.weight.numel()) * targets)
