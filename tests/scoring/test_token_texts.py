"""What tokens say: together the text, each by itself readable, remembered beside the losses."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment
from pytest_pmpo.scoring.backends.fake import FakeBackend, FakeTokenizer
from pytest_pmpo.scoring.cache import LossCache
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.scorer import END_OF_TURN, Scorer
from pytest_pmpo.scoring.token_texts import token_texts

PROMPT = Prompt("a.md", "text", "jinja2", (Message("user", (Segment("Say {{ x }}"),)),), "digest")
FIXTURES = (Fixture("one", {"x": "a"}, Expected("yé 漢")), Fixture("two", {"x": "b"}, Expected("no\n")))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_together_they_are_the_text(text: str) -> None:
    tokenizer = FakeTokenizer()
    tokens = tokenizer.encode(text, special_tokens=False)
    texts = token_texts(tokenizer, tokens)
    assert len(texts) == len(tokens)
    assert "".join(texts) == text


def test_a_character_of_several_tokens_is_said_by_its_last() -> None:
    tokenizer = FakeTokenizer()
    assert token_texts(tokenizer, tokenizer.encode("é!", special_tokens=False)) == ("", "é", "!")


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    assert token_texts(FakeTokenizer(), "é".encode()[:1]) == ("\ufffd",)


def test_the_answers_of_a_scored_prompt_are_told_by_fixture_and_nothing_before_the_model_is_open() -> None:
    scorer = Scorer("f", FakeBackend)
    assert scorer.answer_texts(PROMPT, FIXTURES, CrossEntropy()) == {}
    assert not scorer.opened
    scorer.score([PROMPT], FIXTURES, CrossEntropy())
    told = scorer.answer_texts(PROMPT, FIXTURES, CrossEntropy())
    assert told == {"one": ("y", "", "é", " ", "", "", "漢"), "two": ("n", "o", "\n")}


def test_the_token_that_ends_the_turn_has_a_name() -> None:
    scorer = Scorer("f", FakeBackend)
    [score] = scorer.score([PROMPT], FIXTURES, CrossEntropy(end_of_turn=True))
    told = scorer.answer_texts(PROMPT, FIXTURES, CrossEntropy(end_of_turn=True))
    assert told["two"] == ("n", "o", "\n", END_OF_TURN)
    assert [len(told[fixture.fixture_id]) for fixture in score.fixtures] == [
        len(fixture.scores[0].nll) for fixture in score.fixtures
    ]


def test_what_was_told_once_is_known_without_a_model(tmp_path: Path) -> None:
    first = Scorer("f", FakeBackend, cache=LossCache(tmp_path))
    first.score([PROMPT], FIXTURES, CrossEntropy())
    told = first.answer_texts(PROMPT, FIXTURES[:1], CrossEntropy())

    def opened() -> FakeBackend:
        raise AssertionError("the model was opened")

    second = Scorer("f", opened, cache=LossCache(tmp_path))
    assert second.answer_texts(PROMPT, FIXTURES, CrossEntropy()) == told
    assert list(told) == ["one"]


@pytest.mark.parametrize("spoiled", [b"", b"[]", b"x" * 40])
def test_a_spoiled_entry_is_not_told(tmp_path: Path, spoiled: bytes) -> None:
    cache = LossCache(tmp_path)
    cache.put_texts({b"k" * 32: ("a", "b")})
    cache.close()
    with sqlite3.connect(cache.path) as connection:
        connection.execute("UPDATE texts SET value = ?", (spoiled,))
    assert cache.get_texts([b"k" * 32]) == {}
