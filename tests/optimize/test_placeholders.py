"""Placeholders and tags are found in every engine, and text can be escaped past it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.optimize import placeholders
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment
from pytest_pmpo.prompts.render import render


@pytest.mark.parametrize(
    ("engine", "text", "expected"),
    [
        ("jinja2", "a {{ x }} b {{- y|upper -}} {# no #} {% if z %}1{% endif %}", {"{{x}}", "{{y|upper}}"}),
        ("literal", "a {{x}} b {{ x }}", {"{{x}}"}),
        ("fstring", "a {x} b {{literal}} {y:>3}", {"{x}", "{y:>3}"}),
        ("handlebars", "{{x}} {{{y}}} {{#if a}}1{{/if}} {{! c }}", {"{{x}}", "{{{y}}}"}),
        ("none", "a {{ x }}", set()),
    ],
)
def test_values_are_the_tags_that_print(engine: Any, text: str, expected: set[str]) -> None:
    assert set(placeholders.values(text, engine)) == expected


def test_white_space_and_trim_marks_do_not_make_another_placeholder() -> None:
    assert placeholders.values("{{-  x  -}}", "jinja2") == placeholders.values("{{ x }}", "jinja2")


def test_a_block_with_all_it_holds_is_uncuttable() -> None:
    text = "a {% for r in rows %}one. two. {% endfor %} b"
    start, end = text.index("{% for"), text.index(" b")
    assert (start, end) in placeholders.uncuttable(text, "jinja2")


def test_an_open_block_and_an_open_fence_reach_to_the_end() -> None:
    assert (2, 14) in placeholders.uncuttable("a {% if x %} b", "jinja2")
    assert placeholders.uncuttable("a\n```\nb", "none") == [(2, 7)]


def test_a_condition_is_a_control_and_a_comment_is_neither() -> None:
    controls = placeholders.controls("{% if a %}x{% endif %}{# c #}", "jinja2")
    assert set(controls) == {"{%if a%}", "{%endif%}"}


@given(st.text(max_size=60), st.sampled_from(["jinja2", "fstring", "literal", "none"]))
def test_escaped_text_renders_to_itself(text: str, engine: Any) -> None:
    escaped = placeholders.escape(text, engine)
    prompt = Prompt("p", "text", engine, (Message("user", (Segment("x" + (escaped or "") + "y"),)),), "d")
    if escaped is None or any("\ud800" <= c <= "\udfff" for c in text) or "\r" in text:
        return  # the engine cannot say it, or no file could hold it
    fixture = Fixture("f", {}, Expected("a"))
    assert render(replace(prompt, undefined="error"), fixture)[0].content == "x" + text + "y"
