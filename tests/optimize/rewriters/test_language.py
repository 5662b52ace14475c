"""What a rewriter says of us or to us does not become part of a user's prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_pmpo.optimize.pages import Page, page
from pytest_pmpo.optimize.rewriters.base import Proposal, Rejection, Reply
from pytest_pmpo.optimize.rewriters.language import MOVES, LanguageRewriter
from pytest_pmpo.prompts.model import Prompt

MakePrompt = Callable[..., Prompt]
NOBODY: Any = None
REWRITER = LanguageRewriter(NOBODY, "rewrite_small", tags_required=False, moves=MOVES)

# answers of Qwen2.5-Coder-1.5B-Instruct, as the benchmark of optimizers kept them
ECHOES = (
    "Now, to avoid the mistake shown in the case, you need to state the answer, and to work for every question of this"
    " kind.",
    'Identify the letter. Each part of the instruction is worth:\n- "You are careful.": harms\n{{ x }}\nThe result must'
    " differ from the old instruction.",
    "Keep these lines exactly, word for word: Give the letter. {{ x }}",
    "Sort it. Add one sentence that says how to find the right answer. {{ x }}",
)


def _sheet(prompt: Prompt) -> Page:
    sheet = page(prompt, "whole")
    assert sheet is not None
    return sheet


@pytest.mark.parametrize("answer", ECHOES)
def test_an_answer_that_holds_our_request_is_dropped(answer: str, one_message: MakePrompt) -> None:
    read = REWRITER.read(_sheet(one_message("Sort the mail. {{ x }}")), Reply(answer, 9), "test")
    assert read == Rejection("answer repeats our request")


def test_words_that_stood_in_the_prompt_before_are_no_echo(one_message: MakePrompt) -> None:
    old = "It must work for every question of this kind. {{ x }}"
    read = REWRITER.read(_sheet(one_message(old)), Reply("Be brief. " + old, 9), "test")
    assert isinstance(read, Proposal)


def test_an_ordinary_rewrite_shares_no_seven_words_with_any_request(one_message: MakePrompt) -> None:
    answer = (
        "Read the question and find the right answer step by step. Keep the meaning of each part of the instruction, "
        "give a reason for every rule, and answer with one word between <b> and </b>. {{ x }}"
    )
    assert isinstance(REWRITER.read(_sheet(one_message("Sort. {{ x }}")), Reply(answer, 9), "test"), Proposal)


def test_what_a_template_of_the_users_own_asks_for_word_for_word_is_no_echo(
    tmp_path: Path, one_message: MakePrompt
) -> None:
    (tmp_path / "rewrite_small.j2").write_text(
        "Write: never tell the customer an internal ticket number.\n{{ prompt }}"
    )
    (tmp_path / "opro.j2").write_bytes(b"\xff\xfe{% if %}")  # never asked, and no reason to stop
    own, sheet = replace(REWRITER, overrides=tmp_path), _sheet(one_message("Sort the mail. {{ x }}"))
    obeyed = "Sort it. Never tell the customer an internal ticket number. {{ x }}"
    assert isinstance(own.read(sheet, Reply(obeyed, 9), "test"), Proposal)
    assert isinstance(own.read(sheet, Reply(ECHOES[0], 9), "test"), Rejection)


@pytest.mark.parametrize("old", ["<prompt>{{ x }}</prompt> Is it safe?", "Sorry to bother you: sort {{ x }}"])
def test_what_the_prompt_did_before_is_no_fault_of_the_answer(old: str, one_message: MakePrompt) -> None:
    answer = old.replace("<prompt>", "<prompt >") + " Be brief."
    assert isinstance(REWRITER.read(_sheet(one_message(old)), Reply(answer, 9), "test"), Proposal)
