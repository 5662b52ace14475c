"""What a rewriter answers is taken apart without trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.optimize.answers import loops, parse


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("<prompt>New text.</prompt>", "New text."),
        ("I will put it in <prompt>tags</prompt>.\n<prompt>\nNew text.\n</prompt> Done", "New text."),
        ("<think><prompt>draft one</prompt></think><PROMPT>New text.</PROMPT>", "New text."),
        ("<prompt>\n```text\nNew text.\n```\n</prompt>", "New text."),
        ("<prompt>Here is a mail:\n\nSort it.</prompt>", "Here is a mail:\n\nSort it."),
    ],
)
def test_the_text_between_the_last_tags_is_the_prompt(answer: str, text: str) -> None:
    assert parse(answer, longest=1000).text == text


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", "no <prompt> tag in the answer"),
        ("I cannot help with that.", "no <prompt> tag in the answer"),
        ("<prompt></prompt>", "empty answer"),
        ("<prompt> \n </prompt>", "empty answer"),
        ("<prompt>begun and never", "answer cut before </prompt>"),
        ("<prompt>" + "word " * 300 + "</prompt>", "too long"),
        ("<prompt>. , ; !!</prompt>", "answer holds no words"),
        ("<prompt>Sort the mail.</_prompt> Done.</prompt>", "broken <prompt> tags in the answer"),
        ("<prompt>Certainly! Please provide the prompts.</prompt>", "answer speaks to us instead"),
        ("<prompt>\nI'm sorry, but I need more details.</prompt>", "answer speaks to us instead"),
        ("<prompt>text \x1b[2J more</prompt>", "control characters in the answer"),
        ("<prompt>text \u202e more</prompt>", "control characters in the answer"),
        ("<prompt>text \ufffd more</prompt>", "answer is not valid text"),
        ("<prompt>" + "Think step by step now. " * 30 + "</prompt>", "answer repeats itself"),
    ],
)
def test_what_cannot_be_used_says_why(answer: str, problem: str) -> None:
    result = parse(answer, longest=1000)
    assert (result.text, result.problem) == (None, problem)


def test_a_small_model_may_leave_the_tags_out() -> None:
    answer = "Sure, here is the new prompt:\n\nSort the mail."
    assert parse(answer, longest=1000, tags_required=False).text == "Sort the mail."
    assert parse(answer, longest=1000, tags_required=False, finished=False).text is None
    closed_only = parse("<_prompt>\nSort the mail.\n</prompt>", longest=1000, tags_required=False)
    assert closed_only.problem == "broken <prompt> tags in the answer"


def test_prose_is_no_loop_and_a_repeated_line_is() -> None:
    prose = " ".join(
        f"Rule {i}: consider the {word}." for i, word in enumerate(["tone", "date", "name", "sum", "place"])
    )
    assert not loops(prose)
    assert loops("\n".join(["Always answer in one word."] * 5))


@given(st.text(max_size=300))
def test_no_answer_makes_it_fail(answer: str) -> None:
    result = parse(answer, longest=100, tags_required=False)
    assert (result.text is None) != (result.problem is None)
