"""Sampled answers: seeded, cut at the end of the turn, with the log-probability the scoring engine gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
transformers = pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.errors import ConfigError, ModelError  # noqa: E402
from pytest_pmpo.prompts.model import Turn  # noqa: E402
from pytest_pmpo.scoring.backends.base import SamplingSettings  # noqa: E402
from pytest_pmpo.scoring.backends.decoding import Decoder  # noqa: E402
from pytest_pmpo.scoring.backends.generation import Sampler  # noqa: E402
from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402
from pytest_pmpo.scoring.records import EncodedSequence  # noqa: E402

CONVERSATIONS = [[Turn("user", "w5 w6 w7 w8")], [Turn("user", "w9")]]


def make(model: Any) -> TransformersBackend:
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel

    words = Tokenizer(WordLevel({f"w{i}": i for i in range(97)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w2")
    return TransformersBackend(model, tokenizer)


@pytest.fixture
def backend(build: Callable[[str], Any]) -> TransformersBackend:
    return make(build("llama"))


def test_equal_seeds_give_equal_answers_and_leave_other_random_numbers_alone(backend: TransformersBackend) -> None:
    settings = SamplingSettings(max_new_tokens=8, seed=7)
    torch.manual_seed(1)
    first = backend.generate(CONVERSATIONS, settings, samples=3)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    assert backend.generate(CONVERSATIONS, settings, samples=3) == first
    assert backend.generate(CONVERSATIONS, SamplingSettings(max_new_tokens=8, seed=8), samples=3) != first


def test_the_log_probability_is_the_scored_one(backend: TransformersBackend) -> None:
    for row, context in zip(
        backend.generate(CONVERSATIONS, SamplingSettings(max_new_tokens=6), samples=2),
        [(5, 6, 7, 8), (9,)],
        strict=True,
    ):
        for answer in row:
            [losses] = backend.score([EncodedSequence(context + answer.tokens, len(context))])
            assert answer.logprob == pytest.approx(-math.fsum(losses), abs=1e-4)


def test_an_answer_is_finished_exactly_if_it_ends_its_turn(backend: TransformersBackend) -> None:
    rows = backend.generate(CONVERSATIONS, SamplingSettings(max_new_tokens=40, seed=3), samples=30)
    answers = [answer for row in rows for answer in row]
    assert {answer.finished for answer in answers} == {True, False}
    for answer in answers:
        assert answer.finished == (answer.tokens[-1] == 2)
        assert 2 not in answer.tokens[:-1]
        assert len(answer.tokens) == 40 or answer.finished


def test_samples_follow_the_models_own_distribution(backend: TransformersBackend) -> None:
    """First tokens of 4,000 draws against the probabilities scored: a sampler with a hidden top-k would differ."""
    [row] = backend.generate(CONVERSATIONS[1:], SamplingSettings(max_new_tokens=1), samples=4000)
    losses = backend.score([EncodedSequence((9, token), 1) for token in range(97)])
    expected = torch.tensor([math.exp(-loss) for (loss,) in losses])
    seen = torch.bincount(torch.tensor([answer.tokens[0] for answer in row]), minlength=97) / 4000
    assert float((seen - expected).abs().max()) < 5 * math.sqrt(0.25 / 4000)


def test_later_tokens_follow_the_models_own_distribution_too(backend: TransformersBackend) -> None:
    """Second tokens given the likeliest first one, at half the temperature: a step, not the reading of the prompt."""
    settings = SamplingSettings(max_new_tokens=2, temperature=0.5)
    [row] = backend.generate(CONVERSATIONS[1:], settings, samples=6000)
    firsts = [answer.tokens[0] for answer in row if len(answer.tokens) == 2]
    first = max(set(firsts), key=firsts.count)
    seconds = [answer.tokens[1] for answer in row if len(answer.tokens) == 2 and answer.tokens[0] == first]
    losses = backend.score([EncodedSequence((9, first, token), 2) for token in range(97)])
    expected = torch.softmax(torch.tensor([-loss for (loss,) in losses]) / 0.5, dim=0)
    seen = torch.bincount(torch.tensor(seconds), minlength=97) / len(seconds)
    assert len(seconds) > 300
    assert float((seen - expected).abs().max()) < 5 * math.sqrt(0.25 / len(seconds))


def test_greedy_takes_the_likeliest(backend: TransformersBackend) -> None:
    [(answer,)] = backend.generate(CONVERSATIONS[1:], SamplingSettings(temperature=0, max_new_tokens=1))
    losses = backend.score([EncodedSequence((9, token), 1) for token in range(97)])
    assert answer.tokens[0] == min(range(97), key=lambda token: losses[token][0])


@pytest.mark.parametrize("name", ["llama", "bloom"])
def test_settings_that_a_model_brings_do_not_bend_the_distribution(build: Callable[[str], Any], name: str) -> None:
    """A model that is written with here, and one that transformers' own loop serves."""
    model, settings = build(name), SamplingSettings(max_new_tokens=12)
    plain = make(model).generate(CONVERSATIONS, settings, samples=4)
    before = model.generation_config
    before.update(repetition_penalty=9.0, no_repeat_ngram_size=1, suppress_tokens=list(range(40)), top_k=2)
    assert make(model).generate(CONVERSATIONS, settings, samples=4) == plain
    assert model.generation_config is before


def test_a_nucleus_leaves_out_the_tail(backend: TransformersBackend) -> None:
    [row] = backend.generate(CONVERSATIONS[1:], SamplingSettings(max_new_tokens=1, top_p=0.3), samples=500)
    losses = [loss for (loss,) in backend.score([EncodedSequence((9, token), 1) for token in range(97)])]
    kept, mass = set(), 0.0
    for token in sorted(range(97), key=losses.__getitem__):
        if mass >= 0.3:
            break
        kept.add(token)
        mass += math.exp(-losses[token])
    assert {answer.tokens[0] for answer in row} == kept


def test_out_of_memory_halves_the_batch_and_loses_no_answer(
    backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Sampler._batch
    sizes = []

    def scarce(self: Sampler, contexts: Any, settings: SamplingSettings, decoder: Any) -> Any:
        sizes.append(len(contexts))
        if len(contexts) > 2:
            raise torch.OutOfMemoryError("no memory left")
        return whole(self, contexts, settings, decoder)

    settings = SamplingSettings(temperature=0, max_new_tokens=4)
    expected = backend.generate(CONVERSATIONS, settings, samples=4)
    monkeypatch.setattr(Sampler, "_batch", scarce)
    assert backend.generate(CONVERSATIONS, settings, samples=4) == expected
    assert sizes[:3] == [8, 4, 2]


def test_out_of_memory_in_the_middle_of_an_answer_leaves_the_model_as_it_was(
    backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SamplingSettings(temperature=0, max_new_tokens=12)
    expected = backend.generate(CONVERSATIONS, settings, samples=2)
    step, calls, before = Decoder._step, [0], backend.model.config._attn_implementation

    def scarce(self: Decoder, cache: Any, tokens: Any, visible: int) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            assert backend.model.config._attn_implementation != before
            raise torch.OutOfMemoryError("no memory left")
        return step(self, cache, tokens, visible)

    monkeypatch.setattr(Decoder, "_step", scarce)
    assert backend.generate(CONVERSATIONS, settings, samples=2) == expected
    assert backend.model.config._attn_implementation == before


def test_an_answer_ends_where_the_models_positions_do(build: Callable[[str], Any]) -> None:
    """GPT-2 has learned 256 of them, and fails beyond; its neighbour's answer is as long as was asked for."""
    backend = make(build("gpt2"))
    long, short = [Turn("user", " ".join(["w5"] * 246))], [Turn("user", "w9")]
    backend.model.config.eos_token_id = None
    (cut,), (whole,) = backend.generate([long, short], SamplingSettings(temperature=0, max_new_tokens=30))
    assert len(cut.tokens) == 10 or cut.finished
    assert len(whole.tokens) == 30 or whole.finished
    with pytest.raises(ModelError, match="a prompt of 256 tokens leaves no room for an answer: the model takes 256"):
        backend.generate([[Turn("user", " ".join(["w5"] * 256))]], SamplingSettings())


def test_an_answer_has_at_least_one_token() -> None:
    with pytest.raises(ConfigError, match="answers of 0 tokens"):
        SamplingSettings(max_new_tokens=0)


def test_a_longrope_row_is_written_as_if_it_were_alone(build: Callable[[str], Any]) -> None:
    backend, settings = make(build("phi3-longrope")), SamplingSettings(temperature=0, max_new_tokens=8)
    rows = [[Turn("user", " ".join(f"w{5 + i % 7}" for i in range(n)))] for n in (10, 40, 20)]
    alone = [backend.generate([row], settings)[0][0].tokens for row in rows]
    assert [answer.tokens for (answer,) in backend.generate(rows, settings)] == alone
