"""Candidates that lose what a prompt must keep are named by what they lost; copied fixture text is flagged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_pmpo.optimize.constraints import Constraints, copied, format_lines
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment

MakePrompt = Callable[..., Prompt]

BASE = "Sort the mail. Answer with one word only.\n\nMail: {{ mail }}\nName: {{ name }}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BASE, None),
        ("{{name}} wrote {{ mail }}. Answer with  one word ONLY!", None),
        ("Answer with one word only. {{ mail }}", "placeholder lost"),
        (BASE + " {{ secret }}", "placeholder invented"),
        (BASE + "{% if mail %}x{% endif %}", "template tag lost or invented"),
        ("Sort it. {{ mail }} {{ name }}", "output-format line lost"),
        (BASE + "x" * 5000, "too long"),
        (" \n", "empty"),
    ],
)
def test_the_first_broken_constraint_is_named(one_message: MakePrompt, text: str, reason: str | None) -> None:
    assert Constraints().broken(one_message(BASE), one_message(text)) == reason


@pytest.mark.parametrize("engine", ["literal", "handlebars", "mustache"])
def test_braces_of_other_engines_are_placeholders_too(one_message: MakePrompt, engine: Any) -> None:
    base, lost = one_message("Go {{x}}.", engine), one_message("Go.", engine)
    assert Constraints().broken(base, lost) == "placeholder lost"


def test_turns_must_keep_their_roles() -> None:
    system, user = Message("system", (Segment("a b"),)), Message("user", (Segment("c d"),))
    base = Prompt("p", "x", "none", (system, user), "d")
    assert (
        Constraints().broken(base, Prompt("p", "x", "none", (user,), "d"))
        == "a turn was added, lost or changed its role"
    )


def test_growth_is_limited_relative_to_the_incumbent(read: MakePrompt) -> None:
    base = read("word " * 1000)
    assert Constraints(max_growth=2).broken(base, read("word " * 2100)) == "too long"
    assert Constraints(max_growth=3).broken(base, read("word " * 2100)) is None


def test_format_lines_may_be_let_go_of(one_message: MakePrompt) -> None:
    loose = Constraints(keep_format_lines=False)
    assert loose.broken(one_message(BASE), one_message("Sort. {{ mail }} {{ name }}")) is None


@pytest.mark.parametrize(
    "line",
    [
        "Answer with one word only.",
        "Return valid JSON.",
        "Reply with just the letter",
        "Output format: a, b",
        "Use no other words.",
    ],
)
def test_lines_about_the_form_of_the_answer_are_found(line: str) -> None:
    assert format_lines(f"Be kind to people.\n{line}\nThink hard.") == (line,)


def test_ordinary_instructions_are_not_format_lines() -> None:
    assert format_lines("You are a judge. Read the text twice. Consider the tone.") == ()


LONG = "the quick brown fox jumps over the lazy dog near the river bank"


def test_eight_shared_words_are_flagged_as_copied(one_message: MakePrompt) -> None:
    fixture = Fixture("f1", {"input": f"I saw {LONG} today"}, Expected("yes"))
    found = copied(one_message("Judge."), one_message(f"Judge. As in: {LONG}!"), [fixture])
    assert [(c.fixture_id, c.text) for c in found] == [("f1", LONG)]


def test_shorter_runs_old_text_and_demos_are_not_flagged(one_message: MakePrompt) -> None:
    fixture = Fixture("f1", {"input": LONG}, Expected("yes"))
    assert copied(one_message("Judge."), one_message("Judge the quick brown fox."), [fixture]) == ()
    assert copied(one_message(LONG), one_message(LONG + " now"), [fixture]) == ()
    assert copied(one_message("Judge."), one_message(LONG), [fixture], demos=("f1",)) == ()
