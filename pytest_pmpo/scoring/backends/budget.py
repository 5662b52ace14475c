"""How many tokens go through the model at once: from measured free memory, halved whenever that was too optimistic."""

from __future__ import annotations

import gc
import re
import warnings
from typing import Any

import torch

CPU_TOKENS = 2048
"""Enough rows to keep matrix products busy; twice as many gained nothing measurable and would show progress late."""

CUDA_TOKENS = 16640
"""Where a 7B model stops gaining on an H200, for 2.5 GB of activations."""

SMALLEST = 64
_SHARE = 0.6  # of free memory; the rest is for keys, values, logits and fragmentation
# torch's CPU allocator says it only in words. Libraries below torch take memory beside its allocator: on a GPU that
# other processes have filled they report an execution that failed. If it failed for another reason, halving soon ends.
_IN_WORDS = re.compile(
    r"can't allocate memory|not enough memory|out of memory|mha_graph\.execute"
    r"|CU(BLAS|DNN)_STATUS_(ALLOC_FAILED|NOT_INITIALIZED|EXECUTION_FAILED|INTERNAL_ERROR)"
)


class TokenBudget:
    """Tokens per forward pass.

    Args:
        model: its configuration tells what a token costs.
        limit: an upper bound set by the user, tokens.
    """

    def __init__(self, model: Any, limit: int | None = None) -> None:
        device = torch.device(model.device)
        preferred = CPU_TOKENS if device.type == "cpu" else CUDA_TOKENS
        affordable = int(_SHARE * free_bytes(device) / bytes_per_token(model))
        self.tokens = max(SMALLEST, min(preferred if limit is None else limit, affordable))
        self._warned = False

    def halve(self) -> bool:
        """After out-of-memory: half the budget, or False where nothing is left to halve. Says so once."""
        if self.tokens <= SMALLEST:
            return False
        self.tokens = max(SMALLEST, self.tokens // 2)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"pmpo: out of memory; going on with {self.tokens} tokens at a time", RuntimeWarning, stacklevel=2
            )
        return True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, or is how libraries below torch report that."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _IN_WORDS.search(str(error)) is not None


def free_bytes(device: torch.device) -> int:
    """Memory that can be had on the device, bytes; within the share of it this process was given, where it was."""
    if device.type == "cuda":
        number = torch.cuda.current_device() if device.index is None else device.index
        free, total = torch.cuda.mem_get_info(number)
        reserved = torch.cuda.memory_reserved(number)
        share = getattr(torch.cuda, "get_per_process_memory_fraction", None)  # not in torch 2.6
        if share is not None:
            free = min(free, int(total * share(number)) - reserved)
        return max(0, free + reserved - torch.cuda.memory_allocated(number))
    return _available_memory()


def bytes_per_token(model: Any) -> int:
    """Activations alive at once where a layer is widest, bytes per token: three intermediates and some hidden rows."""
    config = model.config.get_text_config()
    hidden = int(config.hidden_size)
    wide = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    size = int(next(model.parameters()).element_size())
    return size * (3 * wide + 8 * hidden) + 4 * 2 * hidden  # fp32 rows of the normalisation


def key_value_bytes(model: Any) -> int:
    """Keys and values that generation holds, bytes per token of context."""
    config = model.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", None) or 1)  # none in a state-space model
    groups = int(getattr(config, "num_key_value_heads", None) or heads)
    head_size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return 2 * int(config.num_hidden_layers) * groups * head_size * int(next(model.parameters()).element_size())


def _available_memory() -> int:
    """``MemAvailable`` where the kernel tells it; elsewhere half a GiB, a safe guess for small chunks."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 512 << 20
