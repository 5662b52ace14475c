"""The benchmark's decoder against transformers, on small models with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from benchmarks.validity.decoder import Decoder  # noqa: E402 - after the skips
from benchmarks.validity.sampling import Request, Sampler, log_probabilities  # noqa: E402

END = 7
CONTEXTS = [[1, 5, 9, 30], [2, 4], [8, 8, 8, 8, 8, 8, 8], [11, 12, 13]]


@pytest.fixture(params=["llama", "qwen2"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Decoder]:
    """The same random weights in both implementations."""
    torch.manual_seed(0)
    shape = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 64}
    shape |= {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 128}
    if request.param == "llama":
        config = transformers.LlamaConfig(**shape, tie_word_embeddings=False, rope_theta=5000.0)
        model = transformers.LlamaForCausalLM(config)
    else:
        config = transformers.Qwen2Config(**shape, tie_word_embeddings=True)
        model = transformers.Qwen2ForCausalLM(config)
    for parameter in model.parameters():
        # larger than usual, so that predictions are far from uniform and biases matter
        torch.nn.init.normal_(parameter, std=0.2)
    model.eval().save_pretrained(tmp_path)
    return model, Decoder(tmp_path, "cpu", torch.float32)


def reference(model: Any, context: list[int], text: list[int]) -> float:
    with torch.inference_mode():
        logits = model(torch.tensor([context + text])).logits[0, len(context) - 1 : -1].log_softmax(-1)
    return float(logits.gather(1, torch.tensor(text)[:, None]).sum())


@pytest.mark.parametrize("budget", [4, 4096])
def test_log_probabilities_are_those_of_transformers(models: tuple[Any, Decoder], budget: int) -> None:
    model, decoder = models
    texts = [(0, [3]), (2, [4, 5, 6, 7, 8]), (1, [9, 10]), (3, [1]), (0, [60, 61, 62])]
    found = log_probabilities(decoder, CONTEXTS, texts, budget)
    wanted = [reference(model, CONTEXTS[context], text) for context, text in texts]
    assert found == pytest.approx(wanted, abs=1e-4)


def test_log_probabilities_on_a_gpu_that_others_have_filled_are_the_same(
    models: tuple[Any, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, decoder = models
    texts = [(0, [3]), (2, [4, 5, 6, 7, 8]), (1, [9, 10]), (3, [1]), (0, [60, 61, 62])]
    expected = log_probabilities(decoder, CONTEXTS, texts, 4096)
    whole, rows = Decoder.score, []

    def scarce(self: Decoder, tokens: Any, *rest: Any) -> Any:
        rows.append(len(tokens))
        if len(tokens) > 1:
            raise RuntimeError("Expected mha_graph.execute(handle, variant_pack).is_good() to be true, but got false.")
        return whole(self, tokens, *rest)

    monkeypatch.setattr(Decoder, "score", scarce)
    assert log_probabilities(decoder, CONTEXTS, texts, 4096) == pytest.approx(expected, abs=1e-5)
    assert rows[0] == 5
    assert rows[-1] == 1


def test_greedy_answers_are_those_of_transformers_with_fewer_slots_than_answers(models: tuple[Any, Decoder]) -> None:
    model, decoder = models
    sampler = Sampler(decoder, END, slots=3, length=64, limit=20, seed=0)
    requests = [Request(("p", i), context, 1, greedy=True) for i, context in enumerate(CONTEXTS)]
    answers = list(sampler.run(requests))
    assert sorted((a.key[1], a.greedy) for a in answers) == [(i, g) for i in range(4) for g in (False, True)]
    for answer in (a for a in answers if a.greedy):
        tokens = list(CONTEXTS[answer.key[1]])
        for _ in range(20):
            with torch.inference_mode():
                tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
            if tokens[-1] == END:
                break
        made = tokens[len(CONTEXTS[answer.key[1]]) :]
        assert answer.finished == (made[-1] == END)
        assert answer.tokens == (made[:-1] if answer.finished else made)


def test_samples_follow_the_models_distribution(models: tuple[Any, Decoder]) -> None:
    model, decoder = models
    sampler = Sampler(decoder, END, slots=500, length=24, limit=1, seed=1)
    counts = torch.zeros(64)
    for answer in sampler.run([Request(("p", 0), CONTEXTS[0], 500) for _ in range(8)]):
        counts[answer.tokens[0] if answer.tokens else END] += 1
    with torch.inference_mode():
        wanted = model(torch.tensor([CONTEXTS[0]])).logits[0, -1].softmax(-1)
    distance = float((counts / counts.sum() - wanted).abs().sum() / 2)
    # total variation of 4000 draws over 64 outcomes is about 0.04 when they follow the distribution
    assert distance < 0.08
