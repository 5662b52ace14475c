"""Every execution path gives the losses of the simplest one, on every architecture we name."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402
from pytest_pmpo.scoring.backends.tree_attention import _Layout  # noqa: E402
from pytest_pmpo.scoring.records import EncodedSequence  # noqa: E402

ARCHITECTURES = (
    *("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "mistral", "gpt2", "opt", "bloom", "falcon"),
    *("mixtral", "qwen2_moe", "mamba"),
)
EXPECTED_PATH = {"bloom": "prefix", "falcon": "prefix", "mamba": "plain"}
TOLERANCE = 1e-5

Build = Callable[[str], Any]
Tree = Callable[[int], list[EncodedSequence]]


class Tokenizer:
    """Sequences are ids already."""

    chat_template = None
    eos_token_id = 2


def one_at_a_time(model: Any, rows: Sequence[EncodedSequence]) -> list[Any]:
    """Eager attention, full logits, a float64 log-softmax: nothing that could go wrong the same way."""
    model.set_attn_implementation("eager")
    losses = []
    with torch.inference_mode():
        for row in rows:
            logits = model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0].double()
            picked = logits.log_softmax(-1)[
                range(row.target_start - 1, len(row.tokens) - 1), row.tokens[row.target_start :]
            ]
            losses.append(-picked.numpy())
    model.set_attn_implementation("sdpa" if getattr(model, "_supports_sdpa", False) else "eager")
    return losses


def worst(scores: Sequence[Sequence[float]], reference: Sequence[Any]) -> float:
    return max(float(np.abs(np.array(a) - b).max()) for a, b in zip(scores, reference, strict=True))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_path_chosen_equals_scoring_one_sequence_at_a_time(name: str, build: Build, tree: Tree) -> None:
    model, rows = build(name), tree(1)
    reference = one_at_a_time(model, rows)
    backend = TransformersBackend(model, Tokenizer())
    assert f"{EXPECTED_PATH.get(name, 'tree')} path" in backend.description
    assert worst(backend.score(rows), reference) < TOLERANCE


@pytest.mark.parametrize("path", ["tree", "prefix", "plain"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma3_text", "mistral", "gpt2"])
def test_paths_agree_whatever_the_budget(name: str, path: str, build: Build, tree: Tree) -> None:
    model, rows = build(name), tree(2)
    reference = one_at_a_time(model, rows)
    backend = TransformersBackend(model, Tokenizer(), path=path)
    for budget in (1, 3, 17, 64, 4096):
        backend._budget.tokens = budget
        assert worst(backend.score(rows), reference) < TOLERANCE, budget


@pytest.mark.parametrize("path", ["prefix", "plain"])
@pytest.mark.parametrize("name", ["bloom", "falcon", "mixtral", "qwen2_moe"])
def test_models_without_our_attention_agree_on_the_other_paths(name: str, path: str, build: Build, tree: Tree) -> None:
    model, rows = build(name), tree(3)
    reference = one_at_a_time(model, rows)
    assert worst(TransformersBackend(model, Tokenizer(), path=path).score(rows), reference) < TOLERANCE


def test_a_sequence_scores_the_same_in_two_hundred_packings(build: Build, tree: Tree) -> None:
    """No verdict can flip on packing: the spread stays at fp32 rounding, far below any tolerance."""
    backend, rows = TransformersBackend(build("llama"), Tokenizer()), tree(4)
    rng = random.Random(0)
    reference = backend.score(rows)
    spread = 0.0
    for _ in range(200):
        some = rng.sample(range(len(rows)), rng.randint(1, len(rows)))
        backend._budget.tokens = rng.choice([5, 16, 50, 1000])
        scores = backend.score([rows[i] for i in some])
        spread = max(spread, worst(scores, [np.array(reference[i]) for i in some]))
    assert spread < TOLERANCE


def test_progress_ends_at_the_total(build: Build, tree: Tree) -> None:
    backend, seen = TransformersBackend(build("llama"), Tokenizer(), max_batch_tokens=64), []
    backend._budget.tokens = 16
    backend.score(tree(5), progress=lambda done, total: seen.append((done, total)))
    assert len(seen) > 1
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_path_that_loses_what_it_carries_between_chunks_is_not_taken(
    dtype: str, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("llama").to(getattr(torch, dtype))
    kept = _Layout.kept
    monkeypatch.setattr(_Layout, "kept", lambda *given: tuple(map(torch.zeros_like, kept(*given))))
    assert "tree path" not in TransformersBackend(model, Tokenizer()).description
