"""Train fixtures as few-shot turns: put in, taken out, written into the file, and accounted for as quotes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_pmpo.optimize.constraints import Constraints
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.shots import pair, place_of, quoted, shots, with_fewer, with_shots
from pytest_pmpo.optimize.units import fields
from pytest_pmpo.optimize.writeback import Home
from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.github import GitHubFormat
from pytest_pmpo.prompts.formats.langchain import LangChainFormat
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Expected, Fixture, Prompt, PromptSuite, Turn
from pytest_pmpo.prompts.render import render

CONTEXT = ParseContext(READS_NOTHING.__getitem__)
DATA = b"""\
messages:
  - role: system
    content: |
      You are a helpful assistant. You love cheese.

      - Decide whether it is praise or blame.

      Answer with one word only.
  - role: user
    content: "Sentence: {{input}}"
model: openai/gpt-4o  # stays
"""


@pytest.fixture
def chat() -> Prompt:
    return GitHubFormat().parse("praise.prompt.yml", DATA, CONTEXT)[0].prompt


def test_an_example_is_what_the_model_is_given_and_should_answer(chat: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    changed = with_shots(chat, fixtures[:2])
    assert changed is not None
    turns = render(changed, fixtures[2])
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert turns[1:3] == (render(chat, fixtures[0])[-1], Turn("assistant", "praise"))
    assert turns[-1] == render(chat, fixtures[2])[-1]


def test_later_examples_go_in_front_or_behind(chat: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    one = with_shots(chat, fixtures[:1])
    assert one is not None
    behind, front = with_shots(one, fixtures[1:2], "last"), with_shots(one, fixtures[1:2], "first")
    assert behind is not None
    assert front is not None
    assert [asked.content for asked, _ in shots(behind)] == ["Sentence: lovely day", "Sentence: great meal"]
    assert [asked.content for asked, _ in shots(front)] == ["Sentence: great meal", "Sentence: lovely day"]


def test_quoted_fixtures_are_known_and_one_can_be_dropped(chat: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    three = with_shots(chat, fixtures[:3])
    assert three is not None
    assert quoted(three, fixtures) == tuple(fixture.id for fixture in fixtures[:3])
    fewer = dict(with_fewer(three))
    assert sorted(fewer) == [1, 2, 3]
    assert quoted(fewer[2], fixtures) == (fixtures[0].id, fixtures[2].id)
    assert fewer[2].template_digest != three.template_digest


def test_they_are_no_text_to_rewrite_and_no_lost_turn(chat: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    changed = with_shots(chat, fixtures[:1])
    assert changed is not None
    assert [field.text for field in fields(changed)] == [field.text for field in fields(chat)]
    assert Constraints().broken(chat, changed) is None


def test_text_the_engine_cannot_say_makes_no_example(chat: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    assert pair(chat, replace(fixtures[0], vars={"input": "{{input}}"})) is None
    assert pair(chat, replace(fixtures[0], vars={"input": "x" * 5_000})) is None
    assert pair(chat, replace(fixtures[0], history=(Turn("user", "a"), Turn("assistant", "b")))) is None
    assert pair(chat, replace(fixtures[0], vars={})) is None


def test_two_turns_of_the_user_in_a_row_take_none(chat: Prompt) -> None:
    assert place_of(replace(chat, messages=(*chat.messages, chat.messages[1]))) is None
    assert place_of(replace(chat, messages=chat.messages[:1])) is None
    assert place_of(chat) == 1


def test_braces_are_escaped_as_the_engine_wants_them() -> None:
    data = b'{"_type": "chat", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "{q}"}]}'
    prompt = LangChainFormat().parse("a.json", data, CONTEXT)[0].prompt
    fixture = Fixture("f", {"q": "a {b} c"}, Expected("{d}"))
    changed = with_shots(prompt, [fixture])
    assert changed is not None
    assert [turn.content for turn in render(changed, fixture)] == ["x", "a {b} c", "{d}", "a {b} c"]
    again = LangChainFormat().parse("a.json", Home(data, LangChainFormat(), prompt).write(changed), CONTEXT)[0].prompt
    assert again.template_digest == changed.template_digest


def test_new_text_and_turns_are_written_together(chat: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    home = Home(DATA, GitHubFormat(), chat)
    shorter = chat.with_text(0, 0, "Say praise or blame.\n")
    changed = with_shots(shorter, fixtures[:1])
    assert changed is not None
    assert home.takes_turns()
    assert home.unwritable(changed) is None
    again = GitHubFormat().parse("praise.prompt.yml", home.write(changed), CONTEXT)[0].prompt
    assert again.template_digest == changed.template_digest
    assert home.write(changed).endswith(b"model: openai/gpt-4o  # stays\n")


def test_a_text_file_takes_none() -> None:
    data = b"Say yes to {{ x }}.\n"
    prompt = TextFormat().parse("a.md", data, CONTEXT)[0].prompt
    assert not Home(data, TextFormat(), prompt).takes_turns()


def test_the_structural_rewriter_proposes_turns_where_the_file_takes_them(
    make_request: Callable[..., OptimizeRequest], chat: Prompt, fixtures: tuple[Fixture, ...]
) -> None:
    request = replace(make_request(), suite=PromptSuite(chat, fixtures), data=DATA, format=GitHubFormat())
    result = run(request)
    assert result.won
    assert result.winner.demos
    assert set(result.winner.demos) <= set(result.splits["train"])
    assert quoted(result.winner.prompt, fixtures)
    assert result.data is not None
    again = GitHubFormat().parse("praise.prompt.yml", result.data, CONTEXT)[0].prompt
    assert again.template_digest == result.winner.digest
    assert any("few-shot turns" in row.note for row in result.rounds)
