"""A rewriter is given the prose and not the input, and its text goes back to the same place."""

from __future__ import annotations

from collections.abc import Callable

from pytest_pmpo.optimize.pages import page
from pytest_pmpo.prompts.model import Message, Prompt, Segment

MakePrompt = Callable[..., Prompt]

CHAT = Prompt(
    "p",
    "x",
    "jinja2",
    (Message("system", (Segment("Be brief and kind.\n"),)), Message("user", (Segment("Say: {{ x }}"),))),
    "d",
)


def test_instructions_are_the_longest_run_without_a_placeholder(one_message: MakePrompt) -> None:
    prompt = one_message("Short. {{ a }}\n\nThis is the long part. It has rules.\n\nInput: {{ x }}")
    sheet = page(prompt, "instructions")
    assert sheet is not None
    assert sheet.text == "This is the long part. It has rules."
    changed = sheet.put("Other rules.")
    assert changed is not None
    assert changed.messages[0].text == "Short. {{ a }}\n\nOther rules.\n\nInput: {{ x }}"


def test_a_format_line_that_a_rewriter_lost_is_put_back(one_message: MakePrompt) -> None:
    """Small models lose it in every other answer, and the candidate would be dropped for it."""
    sheet = page(one_message("Sort the mail. Answer with one word.\n\n{{ mail }}"), "instructions")
    assert sheet is not None
    changed, kept = sheet.put("Be quick."), sheet.put("Be quick. Answer with one word.")
    assert changed is not None
    assert kept is not None
    assert changed.messages[0].text == "Be quick.\nAnswer with one word.\n\n{{ mail }}"
    assert kept.messages[0].text == "Be quick. Answer with one word.\n\n{{ mail }}"


def test_a_prompt_of_one_turn_is_given_whole_and_keeps_its_outer_white_space(one_message: MakePrompt) -> None:
    sheet = page(one_message("\nDo {{ x }}.\n\n"), "whole")
    assert sheet is not None
    assert sheet.text == "Do {{ x }}."
    changed = sheet.put(" Now do {{ x }}. ")
    assert changed is not None
    assert changed.messages[0].text == "\nNow do {{ x }}.\n\n"


def test_several_turns_come_with_headings_and_go_back_by_them() -> None:
    sheet = page(CHAT, "whole")
    assert sheet is not None
    assert sheet.text.startswith("=== turn 1 (system) ===\nBe brief")
    changed = sheet.put("=== turn 1 (system) ===\nBe short.\n\n=== turn 2 (user) ===\nPlease say {{ x }}")
    assert changed is not None
    assert [m.text for m in changed.messages] == ["Be short.\n", "Please say {{ x }}"]


def test_a_lost_or_swapped_heading_loses_the_answer() -> None:
    sheet = page(CHAT, "whole")
    assert sheet is not None
    assert sheet.put("Be short. {{ x }}") is None
    assert sheet.put("=== turn 2 (user) ===\n{{ x }}\n=== turn 1 (system) ===\nBe short.") is None
    assert sheet.put("=== turn 1 (system) ===\n\n=== turn 2 (user) ===\n{{ x }}") is None
