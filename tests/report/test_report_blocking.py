"""A verdict that only informs: the build passes, and every report shows it as plainly as an inconclusive one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_pmpo.gate.blocking import informing
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.report import github, html, markdown, sarif, terminal
from pytest_pmpo.report import json as json_report
from pytest_pmpo.report.records import Entry, Report
from pytest_pmpo.report.text import headline

NOTE = 'informs only: blocking = "no-proxy" and cross-entropy is a proxy for accuracy'
SAME = (("system", "Answer."),)


@pytest.fixture
def entry(judge: Callable[..., Verdict]) -> Entry:
    """A regression by a proxy that only informs."""
    verdict = informing(judge(0.1, policy=Policy(hard_break=None, blocking="no-proxy")))
    return Entry(verdict, verdict.prompt, 3, SAME, (("system", "Say."),))


def test_the_build_passes_and_the_headline_counts_it(entry: Entry) -> None:
    run = Report(entries=(entry,))
    assert not run.failed
    assert headline(run) == "1 verdict: 1 regressed; 1 informs only"
    assert headline(Report(entries=(entry, entry))) == "2 verdicts: 2 regressed; 2 inform only"


def test_the_terminal_lists_it_with_the_note_and_its_table_has_the_reason(entry: Entry) -> None:
    lines = terminal.summary(Report(entries=(entry,)), width=120)
    [at] = [i for i, line in enumerate(lines) if line.startswith("  regressed    10 % worse")]
    assert lines[at + 1].strip() == NOTE
    assert NOTE in " ".join(" ".join(terminal.failure(entry.verdict)).split())


def test_github_warns_instead_of_failing(entry: Entry) -> None:
    [annotation] = github.annotate(Report(entries=(entry,)))
    assert (annotation.kind, annotation.path, annotation.line) == ("warning", "prompts/triage.prompt.yml", 3)
    assert annotation.title.startswith("pmpo regressed: 10 % worse")
    assert NOTE in annotation.message


def test_sarif_has_it_as_a_warning_under_its_rule(entry: Entry) -> None:
    [result] = json.loads(sarif.render(Report(entries=(entry,))))["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("pmpo/regressed", "warning")
    assert NOTE in result["message"]["text"]


def test_a_base_that_cannot_be_compared_with_is_shown_too(new: Verdict) -> None:
    """``strict`` fails such a prompt; where that informs only, it must not look like a prompt that is new."""
    lost = replace(new, failed=True, reason="the base version cannot be read", policy=Policy(blocking="never"))
    run = Report(entries=(Entry(informing(lost), lost.prompt),))
    assert [a.kind for a in github.annotate(run)] == ["warning"]
    assert [r["level"] for r in json.loads(sarif.render(run))["runs"][0]["results"]] == ["warning"]
    assert any('informs only: blocking = "never"' in line for line in terminal.summary(run))


def test_markdown_warns_keeps_the_badge_and_unfolds_the_case(entry: Entry) -> None:
    text = markdown.render(Report(entries=(entry,)))
    assert text.splitlines()[2] == "> [!WARNING]"
    assert "| ❌ | `prompts/triage.prompt.yml` | regressed: 10 % worse (informs only) |" in text
    assert "<details open><summary>❌" in text
    assert NOTE in " ".join(text.split())


def test_html_keeps_the_badge_and_says_the_note(entry: Entry) -> None:
    text = html.render(Report(entries=(entry, entry)))
    assert '<span class="badge regressed">' in text
    assert text.count("informs only</td>") == 2
    assert text.count("informs only: blocking = &#34;no-proxy&#34; and cross-entropy is a proxy") == 2


def test_json_carries_it_whole(entry: Entry) -> None:
    run = Report(entries=(entry,))
    assert json_report.parse(json_report.render(run).encode()) == run
    verdict = json_report.to_plain(run)["run"]["entries"][0]["verdict"]
    assert (verdict["failed"], verdict["informs"], verdict["policy"]["blocking"]) == (False, True, "no-proxy")


def test_a_report_written_before_the_setting_existed_is_still_read(entry: Entry) -> None:
    plain = json.loads(json_report.render(Report(entries=(entry,))))
    verdict = plain["run"]["entries"][0]["verdict"]
    del verdict["informs"], verdict["policy"]["blocking"]
    [read] = json_report.parse(json.dumps(plain).encode()).entries
    assert (read.verdict.informs, read.verdict.policy.blocking) == (False, "always")


def test_what_fails_still_comes_first(entry: Entry, judge: Callable[..., Verdict]) -> None:
    failing = judge(0.1, prompt="prompts/z.md")
    run = Report(entries=(entry, Entry(failing, failing.prompt)))
    assert [e.path for e in run.ranked()] == ["prompts/z.md", "prompts/triage.prompt.yml"]
    assert [a.kind for a in github.annotate(run)] == ["error", "warning"]
