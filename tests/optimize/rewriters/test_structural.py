"""Structural edits: what is tried, in which order, and that every one keeps the input."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pytest_pmpo.optimize import demos, masking
from pytest_pmpo.optimize.constraints import Constraints
from pytest_pmpo.optimize.records import Candidate
from pytest_pmpo.optimize.rewriters.base import Proposal, View
from pytest_pmpo.optimize.rewriters.structural import StructuralEdits
from pytest_pmpo.optimize.units import segment
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment, Span
from pytest_pmpo.prompts.render import render

MakePrompt = Callable[..., Prompt]


def view(prompt: Prompt, fixtures: tuple[Fixture, ...], rejected: int = 0) -> View:
    def loss(prompts: object) -> list[float]:
        texts = [p.messages[0].text for p in prompts]  # type: ignore[attr-defined]  # a sequence of prompts
        return [2.0 + ("cheese" in t) - ("praise or" in t) for t in texts]

    train = fixtures[::3]
    return View(
        parent=Candidate(prompt, "start"),
        task="",
        hard=(),
        masks=masking.measure(prompt, segment(prompt, 8), loss, len, with_deletion=True),
        train=train,
        losses=tuple(float(i) for i in range(len(train))),
        rejected=rejected,
        rng=random.Random(0),
    )


def propose(prompt: Prompt, fixtures: tuple[Fixture, ...], count: int = 99, rejected: int = 0) -> list[Proposal]:
    found = StructuralEdits().propose(view(prompt, fixtures, rejected), lambda *a: [], count)
    return [p for p in found if isinstance(p, Proposal)]


def test_every_kind_of_edit_is_tried(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    origins = [p.origin.split(" ")[1] for p in propose(prompt, fixtures)]
    assert {"add", "delete", "move", "join"} <= set(origins)


def test_the_most_harmful_unit_is_deleted_first(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    deletions = [p for p in propose(prompt, fixtures) if "delete “" in p.origin]
    assert "cheese" in deletions[0].origin
    assert "cheese" not in deletions[0].prompt.messages[0].text


def test_every_edit_keeps_the_input(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    loose = Constraints(keep_format_lines=False)
    for proposal in propose(prompt, fixtures):
        assert loose.broken(prompt, proposal.prompt) is None, proposal.origin


def test_no_edit_but_a_deletion_loses_a_word(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    words = sorted(prompt.messages[0].text.split())
    for proposal in propose(prompt, fixtures):
        if " move " in proposal.origin or " join " in proposal.origin:
            assert sorted(proposal.prompt.messages[0].text.split()) == words, proposal.origin


def test_a_rejected_round_tries_the_next_edits(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    first, second = propose(prompt, fixtures, 3), propose(prompt, fixtures, 3, rejected=1)
    assert not {p.prompt.template_digest for p in first} & {p.prompt.template_digest for p in second}


def test_an_example_is_the_filled_in_input_and_the_answer(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    changed = demos.with_examples(prompt, [fixtures[0]])
    assert changed is not None
    text = changed.messages[0].text
    assert "Example:\nSentence: lovely day\nLabel: praise\n\nSentence: {{ input }}\nLabel:" in text
    assert demos.quoted(changed, fixtures) == ("praise-0",)


def test_examples_stop_at_five(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    full = demos.with_examples(prompt, fixtures[::3][:5])
    assert full is not None
    assert not [p for p in propose(full, fixtures) if " add " in p.origin]


def test_as_many_examples_are_announced_as_are_shown(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    origins = [p.origin for p in propose(prompt, fixtures[:10])]  # 4 of which are train fixtures
    assert any(origin.startswith("structural: add 4 hard fixtures as ") for origin in origins)
    assert not any("5 hard fixtures" in origin for origin in origins)


def test_another_example_goes_last_or_first(prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    one = demos.with_examples(prompt, [fixtures[0]])
    assert one is not None
    last, first = demos.with_examples(one, [fixtures[8]]), demos.with_examples(one, [fixtures[8]], "first")
    assert last is not None
    assert first is not None
    assert last.messages[0].text.index("lovely day") < last.messages[0].text.index("awful day")
    assert first.messages[0].text.index("awful day") < first.messages[0].text.index("lovely day")


def test_with_a_bare_input_turn_examples_go_to_the_end_of_the_system_turn() -> None:
    chat = Prompt(
        "p",
        "x",
        "jinja2",
        (Message("system", (Segment("Be kind.\n"),)), Message("user", (Segment("{{ q }}", editable=False),))),
        "d",
    )
    changed = demos.with_examples(chat, [Fixture("f", {"q": "Hi?"}, Expected("Hello."))])
    assert changed is not None
    assert changed.messages[0].text == "Be kind.\n\nExample:\nHi?\nAnswer: Hello.\n"


@pytest.mark.parametrize("value", ["{{ secret }}", "{% for x in y %}", "{# note #}"])
def test_a_fixture_that_looks_like_a_template_is_quoted_and_not_run(one_message: MakePrompt, value: str) -> None:
    fixture = Fixture("f", {"input": value}, Expected("a"))
    changed = demos.with_examples(one_message("Sort. Text: {{ input }}"), [fixture])
    assert changed is not None
    assert value in render(changed, Fixture("g", {"input": "other"}, Expected("b")))[0].content
    assert demos.quoted(changed, [fixture]) == ("f",)


def test_where_braces_cannot_be_escaped_the_fixture_is_not_used() -> None:
    prompt = Prompt("p", "x", "literal", (Message("user", (Segment("Do. Text: {{input}}", Span(0, 5)),)),), "d")
    assert demos.with_examples(prompt, [Fixture("f", {"input": "{{a}}"}, Expected("b"))]) is None


def test_a_prompt_without_input_gets_no_examples(one_message: MakePrompt) -> None:
    assert demos.with_examples(one_message("Say hi."), [Fixture("f", {}, Expected("b"))]) is None
