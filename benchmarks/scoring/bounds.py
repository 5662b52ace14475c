"""How far a path's losses may lie from scoring one sequence at a time: ``python -m benchmarks.scoring.bounds``.

In fp32 the answer is rounding. With 16-bit weights every sum rounds to 8 or 11 bits, in an order that depends on what
else is in the row; mixture-of-experts models add routing, where a tie could fall the other way. Both are measured
here: small random models of several families, and any model directories or GGUF files that are named.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.scoring import job as jobs
from benchmarks.scoring.ways import NoTokenizer
from pytest_pmpo.scoring.backends.fused import fuse
from pytest_pmpo.scoring.backends.transformers import TransformersBackend
from pytest_pmpo.scoring.models import resolve
from pytest_pmpo.scoring.records import EncodedSequence

_SHAPE: dict[str, Any] = {
    "vocab_size": 1024,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _SHAPE,
    "qwen2": _SHAPE,
    "gemma3_text": {**_SHAPE, "head_dim": 32, "sliding_window": 64, "num_hidden_layers": 7},
    "mixtral": {**_SHAPE, **_EXPERTS, "num_local_experts": 8},
    "qwen2_moe": {
        **_SHAPE,
        **_EXPERTS,
        "num_experts": 8,
        "moe_intermediate_size": 64,
        "shared_expert_intermediate_size": 128,
    },
}
JOB = jobs.Job(prompts=2, fixtures=16, prefix=200, input=40, target=20)


def random_model(family: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A small model of a family; weights so wide that attention, experts and losses are far from uniform."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **FAMILIES[family])
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.08)
    return model.to(dtype).to(device)


@torch.inference_mode()
def one_at_a_time(model: Any, sequences: Sequence[EncodedSequence]) -> list[list[float]]:
    """Loss of every target token from full logits of a sequence that runs alone, fp32 log-softmax."""
    losses = []
    for s in sequences:
        logits = model(input_ids=torch.tensor([s.tokens], device=model.device), use_cache=False).logits[0].float()
        targets = torch.tensor(s.tokens[s.target_start :], device=model.device)
        rows = logits[s.target_start - 1 : -1].log_softmax(-1)
        losses.append((-rows.gather(1, targets[:, None])[:, 0]).tolist())
    return losses


def differences(model: Any, sequences: Sequence[EncodedSequence]) -> tuple[str, float, float, float]:
    """The path taken, then absolute differences in nats/token: largest of a token, mean over tokens, and that of the
    mean over all tokens."""
    reference = np.concatenate(one_at_a_time(model, sequences))
    fuse(model)
    backend = TransformersBackend(model, NoTokenizer())
    scores = np.concatenate(backend.score(sequences))
    difference = scores - reference
    name = backend.description.rpartition(", ")[2]
    return name, float(np.abs(difference).max()), float(np.abs(difference).mean()), float(abs(difference.mean()))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16", "float16"])
    parser.add_argument("--models", nargs="*", default=[], help="names, directories or GGUF files")
    parser.add_argument("--fixtures", type=int, default=JOB.fixtures)
    arguments = parser.parse_args()
    job = JOB.with_fixtures(arguments.fixtures)
    print("| model                    | dtype    | path        | largest | mean    | of the mean |")
    print("|--------------------------|----------|-------------|--------:|--------:|------------:|")
    for name, dtype, model in _models(arguments):
        sequences = job.sequences(model.config.get_text_config().vocab_size)
        path, largest, mean, of_mean = differences(model, sequences)
        print(f"| {name:<24} | {dtype:<8} | {path:<11} | {largest:7.1e} | {mean:7.1e} | {of_mean:11.1e} |", flush=True)
    return 0


def _models(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Any]]:
    device = torch.device(arguments.device)
    for family, dtype in itertools.product(FAMILIES, arguments.dtypes):
        yield f"random {family}", dtype, random_model(family, device, getattr(torch, dtype))
    for name, dtype in itertools.product(arguments.models, arguments.dtypes):
        found = resolve(name, root=Path.cwd())
        backend: Any = found.open(arguments.device, dtype)
        yield found.name, dtype, backend.model


if __name__ == "__main__":
    sys.exit(main())
