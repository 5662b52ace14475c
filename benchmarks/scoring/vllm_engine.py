"""vLLM on the weights of the model at hand: its ``prompt_logprobs``, and its prefill alone, which gives no loss."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.scoring.ways import Means
from pytest_pmpo.scoring.records import EncodedSequence

KEY_VALUE_BYTES = 24 << 30
"""Room for all keys and values of the largest job without any sharing."""

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    # on Hopper vLLM imports FlashInfer for its sampler, installed or not, and to warm up DeepGEMM, whose bundled
    # copy looks for CUDA's toolkit; it stops where either fails. Neither would do any work here: sampling is greedy,
    # and DeepGEMM multiplies matrices of 8 bit
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_USE_DEEP_GEMM": "0",
}


def reason_to_skip(device: torch.device) -> str | None:
    """Why vLLM cannot run here, or None."""
    if device.type != "cuda":
        return "vLLM is run on CUDA only"
    if importlib.util.find_spec("vllm") is None:
        return "vLLM is not installed"
    return None


class VLLM:
    """vLLM's engine in this process, opened at first use.

    Args:
        directory: tells where the weights lie; called once.
        longest: tokens of the longest sequence.
    """

    def __init__(self, directory: Callable[[], Path], longest: int) -> None:
        self._directory, self._longest = directory, longest

    @cached_property
    def _engine(self) -> Any:
        os.environ.update(ENVIRONMENT)
        from vllm import LLM

        return LLM(
            model=str(self._directory()),
            dtype="bfloat16",
            skip_tokenizer_init=True,
            enforce_eager=True,  # prefill of thousands of tokens gains nothing from graphs of small batches
            enable_prefix_caching=True,
            max_model_len=self._longest + 1,
            gpu_memory_utilization=0.4,  # must be free when it starts, beside the model at hand; sizes nothing
            kv_cache_memory_bytes=KEY_VALUE_BYTES,
        )

    def prompt_logprobs(self, sequences: Sequence[EncodedSequence]) -> Means:
        """Means from the log-probabilities vLLM gives for every token of a prompt; it reads no prefix cache then."""
        outputs = self._run(sequences, prompt_logprobs=0)
        return [
            -sum(output.prompt_logprobs[i][s.tokens[i]].logprob for i in range(s.target_start, len(s.tokens)))
            / s.target_length
            for output, s in zip(outputs, sequences, strict=True)
        ]

    def prefill(self, sequences: Sequence[EncodedSequence]) -> None:
        """All sequences through the model with prefixes cached and a token sampled after each: no loss comes out."""
        self._run(sequences)

    def _run(self, sequences: Sequence[EncodedSequence], **options: Any) -> list[Any]:
        from vllm import SamplingParams

        self._engine.reset_prefix_cache()
        settings = SamplingParams(max_tokens=1, temperature=0, detokenize=False, **options)
        prompts = [{"prompt_token_ids": list(s.tokens)} for s in sequences]
        outputs: list[Any] = self._engine.generate(prompts, settings, use_tqdm=False)
        return outputs
