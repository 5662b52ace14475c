"""The default model as it comes out of its published package: the file's own weights, tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the model libraries are not installed")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from pytest_pmpo.errors import ModelNotFoundError
from pytest_pmpo.scoring.backends.locate import SMOLLM2_SHA256, smollm2_gguf
from pytest_pmpo.scoring.fingerprint import hash_file
from pytest_pmpo.scoring.models import DEFAULT, Model, resolve

TURNS = [{"role": "user", "content": "Which is larger, 9 or  12?"}]


@pytest.fixture(scope="module")
def embedded() -> Model:
    """Fetched and converted if it is missing."""
    try:
        return resolve(DEFAULT, root=Path.cwd())
    except ModelNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def tokenizer(embedded: Model) -> Any:
    return AutoTokenizer.from_pretrained(embedded.directory)


def test_the_published_file_and_its_conversion_give_the_same_logits(
    embedded: Model, tokenizer: Any, tmp_path: Path
) -> None:
    try:
        gguf = smollm2_gguf(tmp_path, print)
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    assert hash_file(gguf) == SMOLLM2_SHA256
    direct = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    again = AutoModelForCausalLM.from_pretrained(embedded.directory, dtype=torch.float32)
    ids = torch.tensor([tokenizer(tokenizer.apply_chat_template(TURNS, tokenize=False)).input_ids])
    with torch.inference_mode():
        assert torch.equal(direct(ids).logits, again(ids).logits)


def test_its_chat_template_opens_with_its_own_system_turn(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nWhich is larger, 9 or  12?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_its_marks_of_turns_are_one_token_each(tokenizer: Any) -> None:
    ids = tokenizer(tokenizer.apply_chat_template(TURNS, tokenize=False), add_special_tokens=False).input_ids
    assert (ids.count(1), ids.count(2)) == (2, 2)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")


def test_its_tokenizer_splits_every_digit_as_in_training(tokenizer: Any) -> None:
    assert tokenizer.tokenize("or  12?") == ["or", "ĠĠ", "1", "2", "?"]


def test_it_is_ready_to_score(embedded: Model) -> None:
    backend = embedded.open("cpu", "float32", threads=1)
    assert backend.tokenizer.has_chat_template
    assert backend.tokenizer.end_of_turn == 2
    assert backend.context_length == 8192
    assert "float32" in backend.description
