"""Units as a model marks them are used only where the marked text is the prompt's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_pmpo.optimize import tagging
from pytest_pmpo.prompts.model import Prompt

MakePrompt = Callable[..., Prompt]

TEXT = "Read it well.\nThink of the tone. Input: {{ x }}"


def test_marked_parts_become_units(one_message: MakePrompt) -> None:
    answer = "<prompt><mask>Read it  well.</mask>\n<mask>Think of the tone.</mask> Input: {{ x }}</prompt>"
    units = tagging.read(one_message(TEXT), answer, 5)
    assert [u.text for u in units] == ["Read it well.", "Think of the tone."]
    assert all(TEXT[u.start : u.end] == u.text for u in units)


def test_a_marked_placeholder_is_protected(one_message: MakePrompt) -> None:
    (unit,) = tagging.read(one_message(TEXT), "<prompt><mask>Input: {{ x }}</mask></prompt>", 5)
    assert unit.protected


@pytest.mark.parametrize(
    "answer",
    [
        "no tags",
        "<prompt>Read it well.</prompt>",
        "<prompt><mask>Read it poorly.</mask></prompt>",
        "<prompt><mask>Read <mask>it</mask> well.</mask></prompt>",
        "<prompt></mask>Read it well.<mask></prompt>",
        "<prompt><mask></mask></prompt>",
        "<prompt><mask>Think of the tone.</mask><mask>Read it well.</mask></prompt>",
        "<prompt><mask>Input: {{</mask></prompt>",
    ],
)
def test_anything_else_gives_no_units(one_message: MakePrompt, answer: str) -> None:
    assert tagging.read(one_message(TEXT), answer, 5) == ()


def test_no_more_units_than_asked_for(one_message: MakePrompt) -> None:
    answer = "<prompt><mask>Read</mask> it <mask>well.</mask></prompt>"
    assert len(tagging.read(one_message(TEXT), answer, 1)) == 1
