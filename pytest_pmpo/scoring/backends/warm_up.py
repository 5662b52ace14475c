"""On CUDA, kernels are compiled while the weights are read: the first pass would otherwise wait for each in turn.

What will be launched is not listed a second time. A twin of the model, with a layer of every kind, real widths and
weights of zero, runs the checks that the model itself will run; Triton keeps what that compiles. The two slowest
kernels of this package start ahead of it, through the functions that launch them later. All of it is only time: where
something fails, the model compiles its kernels when it needs them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch

from pytest_pmpo.scoring.backends import kernels
from pytest_pmpo.scoring.backends.budget import free_bytes
from pytest_pmpo.scoring.backends.fused import fuse
from pytest_pmpo.scoring.backends.transformers import TransformersBackend
from pytest_pmpo.scoring.plan import Segment

_ALIGNED = 16  # Triton compiles anew for numbers that 16 divides, and for 1; no other property of a size matters
_ROWS = 16
_THREADS = 4
_ROOM = 1.5  # times the weights' size must be free, so that the twin is never why a model does not fit


@contextmanager
def warming_up(config: Any, device: str, dtype: torch.dtype, weights: int) -> Iterator[None]:
    """Compile beside the block what a model of this configuration will launch; wait for it at the block's end.

    Nothing happens unless the device is CUDA, the dtype has 16 bit and there is Triton. No exception of the work beside
    gets out: a future that nobody asks keeps it.

    Args:
        config: of the model; left as it is.
        weights: size of the model's weights, bytes.
    """
    if not applies(device, dtype):
        yield
        return
    with ThreadPoolExecutor(_THREADS) as pool:

        def submit(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return pool.submit(_on, torch.device(device), work, *arguments)

        driver = submit(_make_driver)
        submit(_after, driver, attend_once, config, device, dtype)
        submit(_after, driver, _read_once, config, device, dtype)
        twin = submit(_fused_twin, config, device, dtype, weights)
        # Liger puts its own into transformers' modules for a moment; no model may be built meanwhile
        wait([twin])
        submit(_after, driver, _try_paths, twin)
        yield


def applies(device: str, dtype: torch.dtype) -> bool:
    """Whether kernels will be compiled for this device and dtype."""
    on_gpu = device.partition(":")[0] == "cuda" and dtype.itemsize == 2 and torch.cuda.is_available()
    return on_gpu and kernels.available()  # asked last: it imports Triton


def twin_config(config: Any) -> Any:
    """The configuration of a model of the same kernels, but one layer of every kind and a short vocabulary."""
    small = copy.deepcopy(config)
    kinds = sorted(set(getattr(small, "layer_types", None) or ()))
    if kinds:
        small.layer_types = kinds
    small.num_hidden_layers = len(kinds) or 1
    small.vocab_size = min(small.vocab_size, 256 + small.vocab_size % _ALIGNED)
    small.pad_token_id = None  # may lie beyond it
    return small


def build_twin(config: Any, device: str, dtype: torch.dtype, weights: int) -> Any:
    """The model of ``twin_config``, all weights zero.

    Args:
        weights: size of the weights that must fit beside it, bytes.

    Raises:
        ValueError: the configuration's text model is but a part, or transformers has no class for it.
        torch.OutOfMemoryError: the device has no memory to spare.
    """
    from transformers import AutoModelForCausalLM

    if config.get_text_config() is not config:
        raise ValueError("a model of several modalities")
    with torch.device("meta"):
        twin = AutoModelForCausalLM.from_config(twin_config(config), dtype=dtype, trust_remote_code=False)
    if free_bytes(torch.device(device)) < _ROOM * weights:
        raise torch.OutOfMemoryError("the twin might be why the model does not fit")
    twin = twin.eval().requires_grad_(False).to_empty(device=device)
    for tensor in (*twin.parameters(), *twin.buffers()):
        tensor.zero_()
    return twin


def attend_once(config: Any, device: str, dtype: torch.dtype) -> None:
    """Launch attention over a packed row as every kind of layer will: once with each window."""
    text = config.get_text_config()
    heads = text.num_attention_heads
    key_heads = getattr(text, "num_key_value_heads", None) or heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    softcap = getattr(text, "attn_logit_softcapping", None)
    # as projections leave them: [1, tokens, heads, d], seen as [1, heads, tokens, d]
    query, key, value = (
        torch.zeros(1, _ROWS, n, size, dtype=dtype, device=device).transpose(1, 2)
        for n in (heads, key_heads, key_heads)
    )
    blocks = kernels.TreeBlocks([Segment(0, _ROWS, ())], 0, query.device, heads // key_heads)
    for window in _windows(text):
        blocks.attend(query, (key, value), None, scale=size**-0.5, softcap=softcap, window=window)


def _windows(config: Any) -> list[int | None]:
    """Sliding windows of the layers, tokens; None, first, for full attention."""
    window: int | None = getattr(config, "sliding_window", None)
    kinds = sorted(set(getattr(config, "layer_types", None) or ()))
    return [None if kind == "full_attention" else window for kind in kinds] or [window]


def _read_once(config: Any, device: str, dtype: torch.dtype) -> None:
    # of 16 bit, as most classes leave their logits; with the others the twin meets fp32
    kernels.logsumexp(torch.zeros(1, config.get_text_config().vocab_size, dtype=dtype, device=device))


def _make_driver() -> None:
    """Triton makes its driver when first asked, once per process unless several threads ask at once."""
    from triton.runtime import driver

    driver.active.get_current_target()


def _on(device: torch.device, work: Callable[..., Any], *arguments: Any) -> Any:
    with kernels.current(device):
        return work(*arguments)


def _after(first: Future[None], work: Callable[..., None], *arguments: Any) -> None:
    wait([first])
    work(*arguments)


def _fused_twin(config: Any, device: str, dtype: torch.dtype, weights: int) -> Any:
    twin = build_twin(config, device, dtype, weights)
    fuse(twin)
    return twin


def _try_paths(made: Future[Any]) -> None:
    twin = made.result()
    try:
        TransformersBackend(twin, tokenizer=None)
    finally:
        twin.to_empty(device="meta")  # Liger's methods make it a cycle, which would hold its memory for a while
