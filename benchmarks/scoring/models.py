"""Models to time: random weights of a real model's shape, or a directory of real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-7b": {
        "model_type": "qwen2",
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
    },
    "qwen2.5-1.5b": {
        "model_type": "qwen2",
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
    },
    "smollm2-135m": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
}


def load(name: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A shape by name with seeded random weights, else the causal language model in a directory."""
    if name not in SHAPES:
        options = {"local_files_only": True, "dtype": dtype}
        return AutoModelForCausalLM.from_pretrained(Path(name), **options).to(device).eval().requires_grad_(False)
    values = dict(SHAPES[name])
    torch.manual_seed(0)
    with device:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(values.pop("model_type"), **values), dtype=dtype)
    return model.eval().requires_grad_(False)


def tokenizer(name: str) -> Any:
    """The tokenizer in a directory; for a shape one that only has to exist, since sequences are ids already."""
    if name not in SHAPES:
        return AutoTokenizer.from_pretrained(Path(name), local_files_only=True)
    words = Tokenizer(WordLevel({"word": 0, "end": 1}, unk_token="word"))
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="end", bos_token="end", pad_token="end")


def directory(name: str, model: Any, folder: Path) -> Path:
    """Where the model's weights lie for another engine to read: written to ``folder`` once if they are random."""
    if name not in SHAPES:
        return Path(name)
    if not (folder / "config.json").exists():
        model.save_pretrained(folder)
        tokenizer(name).save_pretrained(folder)
    return folder
