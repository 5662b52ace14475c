"""A directory of safetensors → a model on its device, ready to score."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pytest_pmpo.errors import ModelError
from pytest_pmpo.scoring.backends.sklearn_on_demand import sklearn_on_demand

with sklearn_on_demand():
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

from pytest_pmpo.scoring.backends.fused import fuse
from pytest_pmpo.scoring.backends.transformers import TransformersBackend
from pytest_pmpo.scoring.backends.warm_up import warming_up

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_HEADLESS = "an embedding or encoder model has no language-model head; use a causal language model"


def open_directory(
    directory: Path,
    *,
    device: str,
    dtype: str,
    threads: int | None = None,
    max_batch_tokens: int | None = None,
    path: str | None = None,
    trust_remote_code: bool = False,
) -> TransformersBackend:
    """Load a model from a local directory; nothing is fetched.

    Weights are mapped, not copied, where dtype and device allow it; a GPU's kernels are compiled meanwhile.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:0``, ``mps``.
        dtype: of the weights as they are run: ``float32``, ``bfloat16``, ``float16``.
        threads: of this process's CPU work; default torch's own choice.
        max_batch_tokens: upper bound of tokens per forward pass.
        path: execution path to force; see ``TransformersBackend``.

    Raises:
        ModelError: the directory holds no causal language model this version can run.
    """
    if dtype not in DTYPES:
        raise ModelError(f"unknown dtype {dtype!r}", hint=f"one of {', '.join(DTYPES)}")
    if threads is not None:
        torch.set_num_threads(threads)
    with _quiet():
        with _refusing(directory):
            config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=trust_remote_code)
        _refuse_other_kinds(directory, config)
        weights = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
        with warming_up(config, device, DTYPES[dtype], weights):
            model = _load(directory, config, device, DTYPES[dtype], trust_remote_code)
            tokenizer = AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=trust_remote_code
            )
            fuse(model)
        return TransformersBackend(model, tokenizer, max_batch_tokens=max_batch_tokens, path=path)


@contextmanager
def _refusing(directory: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"cannot load {directory.name} as a causal language model: {first}") from error


def _load(directory: Path, config: Any, device: str, dtype: torch.dtype, trust_remote_code: bool) -> Any:
    with _refusing(directory):
        model, report = AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
        )
    missing = sorted(report["missing_keys"])
    if missing:
        named = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise ModelError(
            f"{directory.name} does not hold all weights of a {type(model).__name__}: {named} would be random",
            hint=_HEADLESS,
        )
    try:
        return model.eval().requires_grad_(False).to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"cannot put {directory.name} on {device}: {str(error).splitlines()[0]}") from error


def _refuse_other_kinds(directory: Path, config: Any) -> None:
    if config.is_encoder_decoder:
        raise ModelError(f"{directory.name} is an encoder-decoder model; a causal language model is needed")
    # where embeddings are tied, a bare body (``MistralModel``) has all weights of a language model; it is none
    names = list(config.architectures or ())
    if names and all(name.endswith("Model") and not name.endswith(("HeadModel", "HeadsModel")) for name in names):
        raise ModelError(f"{directory.name} is a {names[0]}, which has no language-model head", hint=_HEADLESS)


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers' advice and bars are about training and serving; they do not belong in a test run."""
    level, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bar:
            transformers_logging.enable_progress_bar()
