"""Ways to score the same sequences, from the simplest to ours; each returns the token-mean loss of every sequence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from pytest_pmpo.scoring.backends.fused import fuse
from pytest_pmpo.scoring.backends.transformers import TransformersBackend
from pytest_pmpo.scoring.records import EncodedSequence

Means = list[float]
"""Token-mean loss of every sequence, nats."""


@torch.inference_mode()
def one_at_a_time(model: Any, sequences: Sequence[EncodedSequence]) -> Means:
    """Full logits of every sequence, no batch: what everybody writes first."""
    means: Means = []
    for sequence in sequences:
        ids = torch.tensor([sequence.tokens], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0]
        means.append(_mean(logits.float().log_softmax(-1), sequence))
    return means


@torch.inference_mode()
def padded_full_logits(model: Any, sequences: Sequence[EncodedSequence], batch_size: int) -> Means:
    """Padded batches and a full fp32 log-softmax, longest first, as lm-evaluation-harness does."""
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i].tokens))
    means: dict[int, float] = {}
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        width = max(len(sequences[i].tokens) for i in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        for line, i in enumerate(batch):
            ids[line, : len(sequences[i].tokens)] = torch.tensor(sequences[i].tokens)
        logits = model(input_ids=ids.to(model.device), use_cache=False).logits.float().log_softmax(-1)
        for line, i in enumerate(batch):
            means[i] = _mean(logits[line], sequences[i])
    return [means[i] for i in range(len(sequences))]


def lm_evaluation_harness(model: Any, tokenizer: Any, sequences: Sequence[EncodedSequence], batch_size: int) -> Means:
    """The published harness on the same token ids; it tells the sum of a target, so the mean is made from that."""
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size)
    requests = [
        ((f"{i}", ""), list(s.tokens[: s.target_start]), list(s.tokens[s.target_start :]))
        for i, s in enumerate(sequences)
    ]
    answers = harness._loglikelihood_tokens(requests, disable_tqdm=True)
    return [-float(logprob) / s.target_length for (logprob, _), s in zip(answers, sequences, strict=True)]


class Ours:
    """This package's backend with its execution path given; fuses the model as loading does, so it comes last."""

    def __init__(self, model: Any, path: str, max_batch_tokens: int | None = None) -> None:
        self._model, self._path, self._tokens = model, path, max_batch_tokens

    @cached_property
    def _backend(self) -> TransformersBackend:
        fuse(self._model)
        return TransformersBackend(self._model, NoTokenizer(), path=self._path, max_batch_tokens=self._tokens)

    def __call__(self, sequences: Sequence[EncodedSequence]) -> Means:
        """Means of the sequences."""
        return [sum(row) / len(row) for row in self._backend.score(sequences)]


class NoTokenizer:
    """Stands where a model of random weights has no tokenizer; sequences are ids already."""

    chat_template = None
    eos_token_id = 0


def _mean(logprobs: torch.Tensor, sequence: EncodedSequence) -> float:
    start = sequence.target_start
    targets = torch.tensor(sequence.tokens[start:], device=logprobs.device)
    rows = logprobs[start - 1 : len(sequence.tokens) - 1]
    return float(-rows.gather(1, targets[:, None]).mean())
