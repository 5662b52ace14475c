"""What stands beside a verdict: how much of it is form, what was drawn for it, and what was measured of its metric."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_pmpo.gate.records import FormShare, Policy, Verdict
from pytest_pmpo.report import html, markdown, terminal
from pytest_pmpo.report import json as json_report
from pytest_pmpo.report.records import Entry, Report, RunInfo
from pytest_pmpo.report.text import form_words

Judge = Callable[..., Verdict]
WORDS = (
    "of +0.101 nats/token, +0.100 is form (the same on labels shuffled among the fixtures, 96 tokens); "
    "+0.020 (\u22120.050 to +0.090) is left for the right labels, which may be nothing"
)


def formed(judge: Judge, shift: float, **more: float) -> Verdict:
    values = {"form": 0.1, "rest": 0.02, "low": -0.05, "high": 0.09, "tokens": 96, **more}
    return replace(judge(shift), form=FormShare(**values))  # type: ignore[arg-type]


def joined(text: str) -> str:
    return " ".join(text.split())


def test_the_share_is_said_in_one_sentence(judge: Judge) -> None:
    assert form_words(formed(judge, 0.1)) == WORDS
    assert form_words(formed(judge, 0.1, low=0.01)).endswith("is left for the right labels")
    assert form_words(judge(0.1)) == ""


def test_it_stands_in_a_failures_table_and_under_a_verdict_that_passed(judge: Judge) -> None:
    assert WORDS in joined("\n".join(terminal.failure(formed(judge, 0.1))))
    passed = formed(judge, -0.1)
    report = Report(RunInfo(), (Entry(passed, passed.prompt),))
    assert "is form (the same on labels shuffled" in joined("\n".join(terminal.summary(report)))
    assert "is form" not in joined("\n".join(terminal.summary(report, -1)))


@pytest.mark.parametrize(("shift", "status"), [(-0.1, "improved"), (0.0, "passed")])
def test_a_verdict_that_goes_without_some_fixtures_is_never_only_counted(
    judge: Judge, shift: float, status: str
) -> None:
    """A pull request that shows a fixture takes it out of the verdict: whoever reviews it has to see that."""
    verdict = replace(judge(shift, policy=Policy(tolerance=0.05, hard_break=None)), uncounted=("case-12",))
    assert verdict.status == status
    report = Report(RunInfo(), (Entry(verdict, verdict.prompt),))
    said = "1 fixture stands in the prompt or its base and is not counted"
    assert said in joined("\n".join(terminal.summary(report)))
    assert "<details open>" in markdown.render(report)
    counted = Report(RunInfo(), (Entry(replace(verdict, uncounted=()), verdict.prompt),))
    assert said not in joined("\n".join(terminal.summary(counted)))
    assert "<details open>" not in markdown.render(counted)


def test_every_report_has_it(judge: Judge) -> None:
    verdict = formed(judge, 0.1)
    report = Report(RunInfo(), (Entry(verdict, verdict.prompt),))
    assert WORDS in joined(markdown.render(report))
    assert f"Form or quality? O{WORDS[1:]}" in joined(html.render(report))
    plain = json.loads(json_report.render(report))
    assert plain["run"]["entries"][0]["verdict"]["form"] == {
        "form": 0.1,
        "rest": 0.02,
        "low": -0.05,
        "high": 0.09,
        "tokens": 96,
    }
    assert json_report.parse(json_report.render(report).encode()) == report


def test_markdown_shows_how_much_of_a_win_is_form_without_a_click(judge: Judge) -> None:
    """Terminal and HTML say it under a verdict that passed; a folded section would hide it."""
    formed_win = formed(judge, -0.1)
    text = markdown.render(Report(RunInfo(), (Entry(formed_win, formed_win.prompt),)))
    assert "<details open>" in text
    assert form_words(formed_win) in joined(text)
    assert "<details open>" not in markdown.render(Report(RunInfo(), (Entry(judge(-0.1), "p"),)))


def test_what_was_drawn_for_a_verdict_is_said_in_every_report(judge: Judge) -> None:
    entry = Entry(judge(-0.1), "prompts/triage.prompt.yml", spent="6 responses drawn from the head, kept in x.jsonl")
    report = Report(RunInfo(), (entry,))
    assert f"prompts/triage.prompt.yml: {entry.spent}" in joined("\n".join(terminal.summary(report)))
    assert entry.spent in joined(markdown.render(report))
    assert f"For this verdict: {entry.spent}." in joined(html.render(report))
    assert json.loads(json_report.render(report))["run"]["entries"][0]["spent"] == entry.spent


def test_a_measured_validity_is_cited_by_every_report(judge: Judge) -> None:
    told = "cross-entropy on 2 prompts with a bank, 2026-11-24: 5 of 6 differences point the right way"
    report = Report(RunInfo(validity=told), (Entry(judge(0.1), "p"),))
    assert f"measured here: {told}" in joined("\n".join(terminal.summary(report)))
    assert told in joined(markdown.render(report))
    assert told in joined(html.render(report))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a\x1b[31mb", "``` # c"])
def test_what_is_said_beside_a_verdict_is_harmless(judge: Judge, text: str) -> None:
    """The path of a bank stands in it."""
    report = Report(RunInfo(validity=text), (Entry(judge(0.1), "p", spent=f"kept in {text}"),))
    assert "<script>" not in html.render(report)
    assert "\x1b" not in "\n".join(terminal.summary(report)) + markdown.render(report) + html.render(report)
