"""Where rounding is coarse, the tree path stays as near to one sequence at a time as the documentation says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402
from pytest_pmpo.scoring.records import EncodedSequence  # noqa: E402

Build = Callable[[str], Any]
Tree = Callable[[int], list[EncodedSequence]]


class Tokenizer:
    """Sequences are ids already."""

    chat_template = None
    eos_token_id = 2


def one_at_a_time(model: Any, rows: list[EncodedSequence]) -> Any:
    losses = []
    with torch.inference_mode():
        for row in rows:
            logits = model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0].float().log_softmax(-1)
            losses.append(-logits[range(row.target_start - 1, len(row.tokens) - 1), row.tokens[row.target_start :]])
    return torch.cat(losses).numpy()


def differences(model: Any, rows: list[EncodedSequence]) -> Any:
    backend = TransformersBackend(model, Tokenizer())
    assert "tree path" in backend.description
    return np.abs(np.concatenate(backend.score(rows)) - one_at_a_time(model, rows))


@pytest.mark.parametrize(("dtype", "largest", "mean"), [("bfloat16", 0.1, 0.02), ("float16", 0.02, 0.004)])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma3_text"])
def test_sixteen_bit_losses_stay_within_the_stated_bound(
    name: str, dtype: str, largest: float, mean: float, build: Build, tree: Tree
) -> None:
    found = differences(build(name).to(getattr(torch, dtype)), tree(1))
    assert found.max() < largest
    assert found.mean() < mean


@pytest.mark.parametrize(("dtype", "mean"), [("bfloat16", 0.05), ("float16", 0.02)])
@pytest.mark.parametrize("name", ["mixtral", "qwen2_moe"])
def test_experts_in_sixteen_bit_stay_within_the_stated_mean(
    name: str, dtype: str, mean: float, build: Build, tree: Tree
) -> None:
    """A token near a tie may take another expert, so a single loss has no small bound there; their mean has."""
    assert differences(build(name).to(getattr(torch, dtype)), tree(1)).mean() < mean


def test_the_bound_is_tight_enough_to_notice_a_lost_token_of_context(build: Build, tree: Tree) -> None:
    model, rows = build("llama").to(torch.bfloat16), tree(1)
    cut = [EncodedSequence(row.tokens[1:], row.target_start - 1) for row in rows if row.target_start > 1]
    whole = [row for row in rows if row.target_start > 1]
    assert np.abs(one_at_a_time(model, cut) - one_at_a_time(model, whole)).mean() > 0.1
