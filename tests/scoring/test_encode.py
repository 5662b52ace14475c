"""Where the context ends and the target begins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_pmpo.errors import EncodingError, Location
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.fake import END_OF_TURN, FakeTokenizer
from pytest_pmpo.scoring.encode import encode_context, encode_target
from pytest_pmpo.scoring.records import Continuation, EncodedSequence

HERE = Location("p.fixtures.yaml", 7)
TURNS = (Turn("system", "Answer."), Turn("user", "2 + 2?"))


class PairTokenizer(FakeTokenizer):
    """Two characters a token, so that a boundary may fall inside one; adds a BOS, and an EOS if asked to."""

    has_chat_template = False

    def __init__(self, *, appends_end: bool = False) -> None:
        self.appends_end = appends_end

    def encode(self, text: str, *, special_tokens: bool) -> tuple[int, ...]:
        ids = tuple(hash(text[i : i + 2]) for i in range(0, len(text), 2))
        return (1, *ids, *([END_OF_TURN] if self.appends_end else [])) if special_tokens else ids


def encode(tokenizer: FakeTokenizer, text: str, turns: Sequence[Turn] = TURNS, **options: object) -> EncodedSequence:
    end = bool(options.pop("end_of_turn", False))
    context = encode_context(tokenizer, turns, location=HERE)
    continuation = Continuation(text, end)
    return encode_target(tokenizer, context, continuation, label="fixture 'a'", location=HERE, **options)  # type: ignore[arg-type]


def test_the_context_is_the_rendered_turns_with_the_generation_prompt() -> None:
    row = encode(FakeTokenizer(), "4")
    assert bytes(row.tokens[: row.target_start]) == b"<system>\nAnswer.\n<user>\n2 + 2?\n<assistant>\n"
    assert bytes(row.tokens[row.target_start :]) == b"4"


def test_the_end_of_turn_is_scored_only_when_asked() -> None:
    assert encode(FakeTokenizer(), "4", end_of_turn=True).tokens[-1] == END_OF_TURN
    assert END_OF_TURN not in encode(FakeTokenizer(), "4").tokens


def test_without_a_chat_template_turns_are_joined_by_blank_lines_and_the_bos_comes_once() -> None:
    row = encode(PairTokenizer(), "4!", turns=[Turn("user", "ab")])
    assert row.tokens == (1, hash("ab"), hash("\n\n"), hash("4!"))
    assert row.target_start == 3


def test_an_end_the_tokenizer_appends_by_itself_is_no_part_of_the_target() -> None:
    row = encode(PairTokenizer(appends_end=True), "4!", turns=[Turn("user", "ab")])
    assert row.tokens[row.target_start :] == (hash("4!"),)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, "the target is empty"),
        ("x" * 50, {"context_length": 60}, "but the model takes 60; nothing is truncated"),
    ],
)
def test_what_cannot_be_scored_names_the_fixture_and_its_line(text: str, options: dict[str, int], words: str) -> None:
    with pytest.raises(EncodingError, match=words) as caught:
        encode(FakeTokenizer(), text, **options)
    assert str(caught.value).startswith("p.fixtures.yaml:7: fixture 'a'")


def test_a_target_that_merges_with_the_last_context_token_is_refused() -> None:
    with pytest.raises(EncodingError, match="merges with the last token"):
        encode(PairTokenizer(), "4!", turns=[Turn("user", "abc")])


def test_an_end_of_turn_that_does_not_exist_is_refused() -> None:
    tokenizer = FakeTokenizer()
    tokenizer.end_of_turn = None
    with pytest.raises(EncodingError, match="no end-of-turn token"):
        encode(tokenizer, "4", end_of_turn=True)
