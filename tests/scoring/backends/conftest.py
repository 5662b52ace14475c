"""Tiny models of many architectures with random weights, and sequences that share prefixes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from pytest_pmpo.scoring.records import EncodedSequence

VOCABULARY = 97
_SHARED: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_OLD: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 32, "bos_token_id": 1, "eos_token_id": 2}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": _SHARED,
    "qwen2": _SHARED,
    "qwen3": {**_SHARED, "head_dim": 8},
    # windows shorter than the sequences, soft caps low enough to bite
    "gemma2": {
        **_SHARED,
        "head_dim": 8,
        "sliding_window": 8,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 3.0,
        "query_pre_attn_scalar": 8,
    },
    "gemma3_text": {
        **_SHARED,
        "head_dim": 8,
        "sliding_window": 8,
        "query_pre_attn_scalar": 8,
        "num_hidden_layers": 7,
    },
    "phi3": _SHARED,
    "mistral": {**_SHARED, "sliding_window": 8},
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256, "eos_token_id": 2},
    "opt": {
        **_OLD,
        "ffn_dim": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "word_embed_proj_dim": 32,
    },
    "bloom": {**_OLD, "n_layer": 3, "n_head": 4},
    "falcon": {**_OLD, "num_hidden_layers": 3, "num_attention_heads": 4, "alibi": True},
    "mixtral": {**_SHARED, "num_local_experts": 4},
    "qwen2_moe": {
        **_SHARED,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "phi3-longrope": {
        **_SHARED,
        "original_max_position_embeddings": 32,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
            "original_max_position_embeddings": 32,
            "factor": 8.0,
        },
    },
    "qwen2_moe-window": {
        **_SHARED,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
        "use_sliding_window": True,
        "sliding_window": 24,
        "max_window_layers": 3,
    },
    "mamba": {**_OLD, "num_hidden_layers": 3, "state_size": 8},
}


@pytest.fixture
def build() -> Callable[[str], Any]:
    """A causal language model of an architecture; wide-spread weights, so that attention is far from uniform."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.set_verbosity_error()

    def make(name: str) -> Any:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(name.split("-")[0], **ARCHITECTURES[name])  # NAME-VARIANT
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.15)
        return model

    return make


@pytest.fixture
def tree() -> Callable[[int], list[EncodedSequence]]:
    """2 prompts × 3 inputs × 2 answers with a system turn in common, and one sequence that shares nothing."""

    def make(seed: int) -> list[EncodedSequence]:
        rng = random.Random(seed)

        def draw(low: int, high: int) -> tuple[int, ...]:
            return tuple(rng.randrange(3, VOCABULARY) for _ in range(rng.randint(low, high)))

        system, rows = draw(12, 12), []
        for _ in range(2):
            prefix = system + draw(8, 8)
            for _ in range(3):
                context = prefix + draw(2, 7)
                rows += [EncodedSequence(context + draw(1, 6), len(context), "row") for _ in range(2)]
        rows.append(EncodedSequence(draw(4, 4), 1, "alone"))
        rng.shuffle(rows)
        return rows

    return make
