"""The byte cache model is a probability model, and the same on every machine."""

from __future__ import annotations

import math

import pytest

from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.fake import VOCABULARY, FakeBackend
from pytest_pmpo.scoring.records import EncodedSequence

CONTEXT = tuple(b"abracadabra abra")


def test_the_probabilities_of_all_next_tokens_sum_to_one() -> None:
    rows = [EncodedSequence((*CONTEXT, token), len(CONTEXT)) for token in range(VOCABULARY)]
    assert math.fsum(math.exp(-loss) for (loss,) in FakeBackend().score(rows)) == pytest.approx(1.0)


def test_losses_of_a_sequence_do_not_depend_on_its_neighbours() -> None:
    one, two = EncodedSequence((*CONTEXT, 99, 97), len(CONTEXT)), EncodedSequence((1, 2, 3), 1)
    assert FakeBackend().score([two, one])[1] == FakeBackend().score([one])[0]


def test_what_was_said_before_is_likelier() -> None:
    said, unsaid = FakeBackend().score([EncodedSequence((*CONTEXT, t), len(CONTEXT)) for t in (ord("c"), ord("z"))])
    assert said < unsaid


def test_samples_repeat_with_their_seed_and_carry_their_log_probability() -> None:
    turns = [[Turn("user", "say hello hello hello")]]
    settings = SamplingSettings(max_new_tokens=12, seed=3)
    backend = FakeBackend()
    [(sample,)] = backend.generate(turns, settings)
    assert [(sample,)] == backend.generate(turns, settings)
    context = backend.tokenizer.encode(backend.tokenizer.render(turns[0], generation_prompt=True), special_tokens=False)
    [losses] = backend.score([EncodedSequence((*context, *sample.tokens), len(context))])
    assert sample.logprob == pytest.approx(-math.fsum(losses))
