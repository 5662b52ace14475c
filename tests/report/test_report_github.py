"""Annotations and step summary: the runner's escaping, ten of a kind, the most severe first."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pytest_pmpo.report import github
from pytest_pmpo.report.records import Report, Trouble

COMMAND = re.compile(r"::(error|warning|notice) file=([^,:]*),line=(\d+),title=([^,:]*)::(.*)")


def undone(text: str) -> str:
    """What the runner makes of a property or message."""
    for code, character in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, character)
    return text


def test_a_regression_is_an_error_at_the_prompts_line(report: Report) -> None:
    found = [COMMAND.fullmatch(line) for line in github.render(report).splitlines()]
    assert all(found)
    errors = {m[2]: m for m in found if m is not None and m[1] == "error"}
    assert set(errors) == {"prompts/broken.md", "prompts/triage.prompt.yml", "prompts/accuracy.md"} - {
        "prompts/accuracy.md"
    } | {e.path for e in report.entries if e.verdict.failed}
    regression = errors["prompts/triage.prompt.yml"]
    assert regression[3] == "3"
    assert undone(regression[4]) == "pmpo regressed: 10 % worse, 1.000 → 1.101 nats/token"
    assert undone(regression[5]).splitlines()[0].startswith("10 % worse, at least")


def test_inconclusive_warns_improved_is_noticed_and_the_rest_is_silent(report: Report) -> None:
    kinds = {a.path: a.kind for a in github.annotate(report)}
    assert kinds["prompts/vague.md"] == "warning"
    assert kinds["prompts/better.md"] == "notice"
    assert not {"prompts/same.md", "prompts/fine.md", "prompts/new.md"} & set(kinds)


def test_hostile_text_neither_ends_a_command_nor_begins_another(hostile_report: Report) -> None:
    many = replace(hostile_report, troubles=hostile_report.troubles[:3], entries=hostile_report.entries[:3])
    for run in (hostile_report, many):
        lines = github.render(run).splitlines()
        assert lines
        assert all(COMMAND.fullmatch(line) for line in lines)
        assert len(lines) == len(github.annotate(run))


def test_escaping_is_the_toolkits() -> None:
    text = str(github.Annotation("error", "a,b:c%d", 1, "t:1,2", "50 %\nnext: a, b"))
    assert text == "::error file=a%2Cb%3Ac%25d,line=1,title=t%3A1%2C2::50 %25%0Anext: a, b"


def test_ten_of_a_kind_remain_and_the_last_counts_the_rest(report: Report) -> None:
    troubles = tuple(Trouble(f"p{i}", "broken", f"prompts/{i}.md") for i in range(25))
    found = github.annotate(replace(report, troubles=troubles, entries=report.entries * 12))
    counts = {kind: sum(a.kind == kind for a in found) for kind in ("error", "warning", "notice")}
    assert counts == {"error": 10, "warning": 10, "notice": 10}
    assert found[9].title == f"pmpo: {25 - 9 + 12 * sum(e.verdict.failed for e in report.entries)} more errors"
    assert [a.kind for a in found] == ["error"] * 10 + ["warning"] * 10 + ["notice"] * 10


def test_troubles_come_before_regressions(report: Report) -> None:
    assert github.annotate(report)[0].path == "prompts/broken.md"


def test_the_step_summary_is_appended(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("earlier step\n")
    github.append_step_summary(report, path)
    text = path.read_text()
    assert text.startswith("earlier step\n<!-- pytest-pmpo:default -->")
    assert "REGRESSED" in text


def test_a_step_summary_never_grows_past_its_limit(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    many = replace(report, entries=report.entries * 300)
    github.append_step_summary(many, path)
    assert 900_000 < path.stat().st_size <= github.SUMMARY_LIMIT
    github.append_step_summary(many, path)
    assert path.stat().st_size <= github.SUMMARY_LIMIT


def test_a_full_summary_is_left_as_it_is(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * (github.SUMMARY_LIMIT - 100))
    github.append_step_summary(report, path)
    assert path.stat().st_size == github.SUMMARY_LIMIT - 100


def test_actions_are_recognised() -> None:
    assert github.in_actions({"GITHUB_ACTIONS": "true"})
    assert not github.in_actions({})
