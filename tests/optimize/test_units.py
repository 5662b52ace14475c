"""Prompts are cut into units by their structure, and edits of units leave no holes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.optimize.units import delete_unit, fields, replace_unit, segment
from pytest_pmpo.prompts.model import Message, Prompt, Segment

MakePrompt = Callable[..., Prompt]


def texts(prompt: Prompt, limit: int = 99) -> list[str]:
    return [unit.text for unit in segment(prompt, limit)]


def test_paragraphs_bullets_and_sentences_are_units(prompt: Prompt) -> None:
    assert texts(prompt) == [
        "You are a helpful assistant.",
        "You love cheese and long walks.",
        "Read the sentence carefully.",
        "- Decide whether it is praise or blame.",
        "- Never mention the weather.",
        "Answer with one word only.",
        "Sentence: {{ input }}\nLabel:",
    ]


def test_the_input_and_its_labels_are_one_protected_unit(prompt: Prompt) -> None:
    assert [unit.text for unit in segment(prompt, 99) if unit.protected] == ["Sentence: {{ input }}\nLabel:"]


def test_an_abbreviation_or_a_number_ends_no_sentence(one_message: MakePrompt) -> None:
    assert texts(one_message("Use e.g. Arial. See 2. Then stop.")) == ["Use e.g. Arial.", "See 2. Then stop."]


def test_a_template_block_is_never_cut(one_message: MakePrompt) -> None:
    text = "Be kind.\n\n{% if a %}First. Second.\n\nThird.{% endif %}\n\nEnd here."
    units = segment(one_message(text), 99)
    assert [u.text for u in units] == ["Be kind.", "{% if a %}First. Second.\n\nThird.{% endif %}", "End here."]
    assert [u.protected for u in units] == [False, True, False]


def test_a_code_fence_is_one_unit(one_message: MakePrompt) -> None:
    assert texts(one_message("Reply as:\n\n```json\n{\n\n  'a': 1\n}\n```\n\nDone now.")) == [
        "Reply as:",
        "```json\n{\n\n  'a': 1\n}\n```",
        "Done now.",
    ]


def test_a_worked_example_is_one_unit_and_is_not_joined(one_message: MakePrompt) -> None:
    units = segment(one_message("Say it. Do it.\n\nExample:\nText: one. Two.\nLabel: a\n\nGo on."), 2)
    assert "Example:\nText: one. Two.\nLabel: a" in [u.text for u in units]


def test_smallest_neighbours_are_joined_down_to_the_limit(prompt: Prompt) -> None:
    units = segment(prompt, 3)
    assert sum(not u.protected for u in units) == 3
    assert "".join(u.text for u in units).count("cheese") == 1


def test_assistant_turns_and_fixed_segments_are_left_alone() -> None:
    fixed = Segment("fixed", editable=False)
    messages = (Message("system", (Segment("Edit me."), fixed)), Message("assistant", (Segment("Said."),)))
    assert [f.text for f in fields(Prompt("p", "x", "none", messages, "d"))] == ["Edit me."]


def test_deleting_leaves_the_rest_as_it_was(prompt: Prompt) -> None:
    unit = segment(prompt, 99)[4]
    after = delete_unit(prompt, unit).messages[0].text
    assert after == prompt.messages[0].text.replace("\n- Never mention the weather.", "")


@pytest.mark.parametrize("number", [0, -1])
def test_deleting_at_an_end_leaves_no_blank_lines(read: MakePrompt, number: int) -> None:
    base = read("One rule.\n\nTwo rules.\n\nSee {{ input }} and think.\n\nThree rules.\n")
    unit = [u for u in segment(base, 99) if not u.protected][number]
    after = delete_unit(base, unit).messages[0].text
    assert after == after.strip()
    assert "\n\n\n" not in after


prose = st.text(alphabet=st.sampled_from("ab.!? \n-*1{}%#`:A"), max_size=120)


@given(prose, st.integers(1, 6))
def test_units_lie_in_order_and_apart_and_hold_what_they_say(one_message: MakePrompt, text: str, limit: int) -> None:
    prompt = one_message(text)
    units = segment(prompt, limit)
    assert sum(not u.protected for u in units) <= limit
    last = 0
    for unit in units:
        assert last <= unit.start < unit.end
        assert text[unit.start : unit.end] == unit.text == unit.text.strip()
        last = unit.end


@given(prose)
def test_replacing_a_unit_by_itself_changes_nothing(one_message: MakePrompt, text: str) -> None:
    prompt = one_message(text)
    for unit in segment(prompt, 99):
        assert replace_unit(prompt, unit, unit.text) == prompt


@given(prose)
def test_without_a_limit_units_cover_all_prose(one_message: MakePrompt, text: str) -> None:
    covered = "".join("".join(unit.text.split()) for unit in segment(one_message(text), 999))
    assert covered == "".join(text.split())
