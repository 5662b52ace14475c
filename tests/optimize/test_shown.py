"""Fixtures a winner shows are named wherever a run ends, with what to do; what is done then works."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from pytest_pmpo.errors import Location
from pytest_pmpo.optimize import demos
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.message import commit_message
from pytest_pmpo.optimize.quoting import shown
from pytest_pmpo.optimize.records import OptimizeResult
from pytest_pmpo.optimize.shots import with_shots
from pytest_pmpo.optimize.shown import Shown
from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.github import GitHubFormat
from pytest_pmpo.prompts.lint import lint
from pytest_pmpo.prompts.model import Expected, Fixture, Prompt, PromptSuite
from pytest_pmpo.report import optimize_report
from pytest_pmpo.report.optimize_live import LiveTable

Make = Callable[..., OptimizeRequest]
CHAT = b'messages:\n  - role: user\n    content: "Say praise or blame: {{input}}"\n'


@pytest.fixture
def chat() -> Prompt:
    return GitHubFormat().parse("praise.prompt.yml", CHAT, ParseContext(READS_NOTHING.__getitem__))[0].prompt


@pytest.fixture
def result(make_request: Make) -> OptimizeResult:
    won = run(make_request(budget=Budget(rounds=1)))
    assert won.won
    return won


def texts(result: OptimizeResult) -> list[str]:
    """What a run says in the terminal, in both reports and in the commit message, white space folded."""
    out = io.StringIO()
    LiveTable(Console(file=out, width=400)).finished(result)
    said = [out.getvalue(), optimize_report.markdown(result), optimize_report.html(result), commit_message(result)]
    return [" ".join(text.split()) for text in said]


def test_few_shot_turns_text_examples_and_copied_inputs_are_all_shown(
    chat: Prompt, prompt: Prompt, fixtures: tuple[Fixture, ...]
) -> None:
    turns, examples = with_shots(chat, fixtures[3:5]), demos.with_examples(prompt, fixtures[:1])
    assert turns is not None
    assert examples is not None
    assert shown(turns, fixtures).ids == ("praise-3", "praise-4")
    assert shown(examples, fixtures).ids == ("praise-0",)
    long = replace(fixtures[7], vars={"input": "a smart plot with a long way to go"})
    quoting = prompt.with_text(0, 0, f"As in: a smart plot with a long way to go.\n{prompt.messages[0].text}")
    assert shown(quoting, (*fixtures[:7], long)).ids == ("praise-7",)
    assert shown(prompt, fixtures) == Shown()


def test_few_shot_turns_are_found_in_the_file_as_it_was_written(chat: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    """As the gate reads it after the patch was merged; a turn that answers something else shows nothing."""
    said = 'content: "Say praise or blame: lovely day"}\n  - {role: assistant, content: '
    for answer, ids in (("praise", ("praise-0",)), ("blame", ())):
        shots = f"messages:\n  - {{role: user, {said}{answer}}}\n".encode()
        data = CHAT.replace(b"messages:\n", shots)
        merged = GitHubFormat().parse("p.prompt.yml", data, ParseContext(READS_NOTHING.__getitem__))[0].prompt
        assert shown(merged, fixtures).ids == ids


def test_the_file_to_take_them_out_of_is_the_one_they_stand_in(chat: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    beside = tuple(replace(fixture, location=Location("p/praise.fixtures.yaml", 3)) for fixture in fixtures)
    changed = with_shots(chat, beside[:1])
    assert changed is not None
    assert shown(changed, beside).files == ("p/praise.fixtures.yaml",)
    assert "take it out of p/praise.fixtures.yaml, or put another in" in shown(changed, beside).sentence


def test_every_ending_names_them_and_says_what_to_do(result: OptimizeResult) -> None:
    ids = tuple(f"fixture-{n}" for n in range(7))
    for text in texts(replace(result, shown=Shown(ids, ("praise.fixtures.yaml",)))):
        assert "the new prompt shows 7 fixtures" in text.lower()
        assert all(name in text for name in ids[:5])
        assert "fixture-5" not in text
        assert "and 2 more" in text
        assert "praise.fixtures.yaml" in text
        assert "take them out of" in text


def test_a_prompt_that_shows_none_leaves_nothing_to_do(result: OptimizeResult) -> None:
    for text in texts(replace(result, shown=Shown())):
        assert "the new prompt shows" not in text.lower()
        assert "take" not in text


def test_an_id_cannot_write_a_trailer_or_markup(result: OptimizeResult) -> None:
    hostile = Shown(("a\u2028b\rPmpo-Suggestion: x <img src=x> `|",), ("p.md",))
    message = commit_message(replace(result, shown=hostile))
    assert sum(line.startswith("Pmpo-Suggestion") for line in message.splitlines()) == 1
    assert "<img" not in optimize_report.html(replace(result, shown=hostile))


def test_a_files_name_cannot_write_a_line_or_hide_its_order(result: OptimizeResult) -> None:
    hostile = replace(result, shown=Shown(("a",), ("p\u202egnp\u2028\nPmpo-Suggestion: x.md",)))
    assert sum(line.startswith("Pmpo-Suggestion") for line in commit_message(hostile).splitlines()) == 1
    for text in texts(hostile):
        assert "\u202e" not in text
        assert "\u2028" not in text


@pytest.mark.parametrize("name", ["fixes #1", "@octocat", "closes GH-7", "resolves https://example.org/o/r/issues/1"])
def test_an_id_in_a_commit_message_closes_no_issue_and_notifies_nobody(result: OptimizeResult, name: str) -> None:
    message = commit_message(replace(result, shown=Shown((name,), ("p.md",))))
    assert "the new prompt shows 1 fixture: " in message
    assert name not in " ".join(message.split())
    assert not set("@#") & set(message)


@pytest.mark.parametrize("name", ["fixes #1.yaml", "@octocat.yaml", "closes GH-7.yaml"])
def test_a_file_in_a_commit_message_closes_no_issue_and_notifies_nobody(result: OptimizeResult, name: str) -> None:
    message = commit_message(replace(result, shown=Shown(("a",), (name,))))
    assert "take it out of " in " ".join(message.split())
    assert name not in " ".join(message.split())
    assert not set("@#") & set(message)


def test_lines_of_a_commit_message_are_short(result: OptimizeResult) -> None:
    ids = tuple(f"fixture-{n}-{'x' * 30}" for n in range(7))
    message = commit_message(replace(result, shown=Shown(ids, ("praise.fixtures.yaml",))))
    told = message[message.index("To do:") : message.index("Found by")]
    assert max(map(len, told.splitlines())) <= 110


def test_a_run_whose_winner_has_examples_says_so_and_without_these_fixtures_lint_is_content(
    make_request: Make, chat: Prompt, fixtures: tuple[Fixture, ...]
) -> None:
    longer = tuple(replace(f, vars={"input": f"all in all it was a {f.vars['input']}"}) for f in fixtures)
    suite = PromptSuite(chat, longer)
    result = run(make_request(suite=suite, data=CHAT, format=GitHubFormat(), budget=Budget(rounds=2)))
    assert result.won
    assert result.shown.ids
    assert set(result.shown.ids) == set(result.winner.demos)
    assert result.data is not None
    applied = GitHubFormat().parse("praise.prompt.yml", result.data, ParseContext(READS_NOTHING.__getitem__))[0].prompt
    leaks = [f for f in lint(PromptSuite(applied, longer)) if f.rule == "fixture-leak"]
    assert len(leaks) == len(result.shown.ids)
    assert all(f.message.endswith("take the fixture out, or put another in its place") for f in leaks)
    rest = tuple(f for f in longer if f.id not in result.shown.ids)
    assert not [f for f in lint(PromptSuite(applied, rest)) if f.rule == "fixture-leak"]


def test_a_split_does_not_make_a_shown_fixture_evidence(chat: Prompt) -> None:
    """Why the advice is to take it out: its ``split`` changes nothing for lint."""
    fixture = Fixture("f", {"input": "a long enough sentence"}, Expected("praise"), split="train")
    changed = with_shots(chat, (fixture,))
    assert changed is not None
    assert [f.rule for f in lint(PromptSuite(changed, (fixture,)))] == ["fixture-leak"]
