"""Losses of real weights: against lm-evaluation-harness, and against one sequence at a time in float64.

The default model is fetched when it is missing. Others are looked for as GGUF files in the folder that
``PMPO_TEST_MODELS`` names, one folder each (``gemma/model.gguf``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.errors import ModelNotFoundError  # noqa: E402
from pytest_pmpo.prompts.model import Turn  # noqa: E402
from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402
from pytest_pmpo.scoring.encode import encode_context, encode_target  # noqa: E402
from pytest_pmpo.scoring.models import resolve  # noqa: E402
from pytest_pmpo.scoring.records import Continuation, EncodedSequence  # noqa: E402

INPUTS = ("The app crashes on start.", "How do I get a refund?", "Ünïcödé 🚀 — and\nlines", "Thanks, all good now!")
ANSWERS = ("bug", "question", '{"label": "praise"}')
PROMPTS = ("You sort support mail into bug, question or praise.", "Answer with one word.")


@cache
def opened(spec: str) -> Any:
    try:
        model = resolve(spec, root=Path.cwd())
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    return model.open("cpu", "float32", threads=1)


def sequences(backend: TransformersBackend, prompts: Sequence[str] = PROMPTS) -> list[EncodedSequence]:
    rows = []
    for prompt in prompts:
        for text in INPUTS:
            context = encode_context(backend.tokenizer, [Turn("user", f"{prompt}\n\n{text}")])
            for answer in ANSWERS:
                for end in (False, backend.tokenizer.end_of_turn is not None):
                    continuation = Continuation(answer, end)
                    rows.append(encode_target(backend.tokenizer, context, continuation, label=f"{text!r} {answer}"))
    return rows


def one_at_a_time(model: Any, rows: Sequence[EncodedSequence]) -> list[Any]:
    losses = []
    with torch.inference_mode():
        for row in rows:
            logits = model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0].double()
            picked = logits.log_softmax(-1)[
                range(row.target_start - 1, len(row.tokens) - 1), row.tokens[row.target_start :]
            ]
            losses.append(-picked.numpy())
    return losses


def test_the_default_model_scores_as_lm_evaluation_harness_does() -> None:
    harness = pytest.importorskip("lm_eval.models.huggingface", reason="lm-evaluation-harness is not installed")
    backend = opened("smollm2-135m")
    rows = sequences(backend)
    judge = harness.HFLM(
        pretrained=backend.model, tokenizer=backend.tokenizer._tokenizer, backend="causal", batch_size=4
    )
    requests = [(("", ""), list(r.tokens[: r.target_start]), list(r.tokens[r.target_start :])) for r in rows]
    expected = [-logprob for logprob, _ in judge._loglikelihood_tokens(requests, disable_tqdm=True)]
    ours = [sum(losses) for losses in backend.score(rows)]
    assert np.abs(np.array(ours) - np.array(expected)).max() < 1e-4


def models() -> list[str]:
    folder = os.environ.get("PMPO_TEST_MODELS")
    return ["smollm2-135m", *(sorted(str(p) for p in Path(folder).glob("*/model.gguf")) if folder else [])]


@pytest.mark.parametrize("spec", models())
def test_real_weights_score_as_one_sequence_at_a_time(spec: str) -> None:
    backend = opened(spec)
    rows = sequences(backend, PROMPTS[: 1 if "qwen" in spec or "tinyllama" in spec else 2])
    reference = one_at_a_time(backend.model, rows)
    assert "tree path" in backend.description
    worst = max(float(np.abs(np.array(a) - b).max()) for a, b in zip(backend.score(rows), reference, strict=True))
    assert worst < 1e-5 * max(1.0, max(float(b.max()) for b in reference))
