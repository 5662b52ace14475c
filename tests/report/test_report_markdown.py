"""The pull request's comment: verdict first, short enough, harmless whatever prompts and fixtures say."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from markdown_it import MarkdownIt

from pytest_pmpo.report import markdown
from pytest_pmpo.report.records import Report, RunInfo

RAW_HTML = {
    "<details open>",
    "<details>",
    "</details>",
    "<summary>",
    "</summary>",
    "<sub>",
    "</sub>",
    "<code>",
    "</code>",
}


def tokens(text: str) -> list[Any]:
    """The document as GitHub's dialect reads it, inline tokens unfolded."""
    parsed = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").parse(text)
    return [t for token in parsed for t in (token, *(token.children or ()))]


def test_the_first_line_is_the_suites_marker_and_the_verdict_follows(report: Report) -> None:
    lines = markdown.comment(report).splitlines()
    assert lines[0] == "<!-- pytest-pmpo:default -->"
    assert lines[2] == "> [!CAUTION]"
    assert lines[3].startswith("> **pmpo** 7 verdicts: 2 regressed")


@pytest.mark.parametrize("suite", ["--><b>", "a b", "x" * 500, "nightly/gpu", ""])
def test_a_marker_is_one_closed_comment_whatever_the_suite_is_called(suite: str) -> None:
    assert re.fullmatch(r"<!-- pytest-pmpo:[A-Za-z0-9._-]{0,80} -->", markdown.marker(suite))


def test_suites_have_markers_of_their_own() -> None:
    assert markdown.marker("cpu") != markdown.marker("gpu")


def test_the_alert_says_how_serious_it_is(report: Report) -> None:
    def alert(*statuses: str) -> str:
        entries = tuple(e for e in report.entries if e.verdict.status in statuses)
        return markdown.comment(Report(RunInfo(), entries)).splitlines()[2]

    assert alert("regressed", "inconclusive") == "> [!CAUTION]"
    assert alert("inconclusive", "improved") == "> [!WARNING]"
    assert alert("improved", "unchanged") == "> [!TIP]"


def test_the_table_has_a_row_for_every_verdict_but_the_unchanged(report: Report) -> None:
    rows = [t for t in tokens(markdown.comment(report)) if t.type == "tr_open"]
    assert len(rows) == 1 + 6


def test_the_change_of_the_prompt_is_shown_as_a_diff(report: Report) -> None:
    [diff, *_] = [t.content for t in tokens(markdown.comment(report)) if t.type == "fence" and t.info == "diff"]
    assert "-Be brief." in diff.splitlines()
    assert "+Be very brief." in diff.splitlines()


def test_only_failing_verdicts_are_unfolded(report: Report) -> None:
    text = markdown.comment(report)
    assert text.count("<details open>") == sum(e.verdict.failed for e in report.entries)
    assert text.count("<details>") == sum(
        not e.verdict.failed and e.verdict.comparison is not None for e in report.entries
    )


def test_hostile_text_stays_inside_code(hostile_report: Report, hostile: tuple[str, ...]) -> None:
    """Outside code spans and fences the document holds our own words only: no mention, issue, link, image or tag."""
    for token in tokens(markdown.comment(hostile_report, limit=1 << 24)):
        assert token.type not in ("link_open", "image", "heading_open", "list_item_open")
        if token.type == "text":
            assert not re.search(r"[@#\\]|https?:|octocat|alert|evil|fixes|closes", token.content), token.content
        if token.type in ("html_block", "html_inline"):
            shown = re.sub(r"<!-- [^>]* -->", "", token.content)
            assert set(re.findall(r"<[^>]*>", shown)) <= RAW_HTML
            assert not re.search(r"[@#](?!\d+;)", re.sub(r"&#\d+;", "", shown))


def test_every_details_that_opens_closes_in_spite_of_hostile_text(hostile_report: Report) -> None:
    blocks = "".join(
        t.content for t in tokens(markdown.comment(hostile_report, limit=1 << 24)) if t.type == "html_block"
    )
    assert len(re.findall("<details", blocks)) == blocks.count("</details>")
    assert blocks.count("<details") == len(hostile_report.entries) + 1  # the notes


@pytest.mark.parametrize(
    "text", ["a", "`", "``", "`a", "a`", "``` x `` y", " a ", "a|b", "\\", "", "a\nb", "|", "a\\|b"]
)
def test_a_code_span_shows_its_text_and_stays_one_table_cell(text: str) -> None:
    row = f"| h | i |\n| --- | --- |\n| {markdown.code(text)} | end |"
    spans = [t.content for t in tokens(row) if t.type == "code_inline"]
    assert len(spans) == 1
    assert spans[0].strip() == " ".join(text.split()).strip()
    assert len([t for t in tokens(row) if t.type == "td_open"]) == 2
    [alone] = [t.content for t in tokens(markdown.code_in_text(text)) if t.type == "code_inline"]
    assert alone.strip() == " ".join(text.split()).strip()


@pytest.mark.parametrize("text", ["a", "```", "a\n````\nb", "~~~", "\n\n", "```\r\n# h", "\t"])
def test_a_fence_cannot_be_left(text: str) -> None:
    parsed = [
        t for t in tokens(markdown.fenced(text) + "\n\nafter") if t.type in ("fence", "paragraph_open", "heading_open")
    ]
    assert [t.type for t in parsed] == ["fence", "paragraph_open"]


def test_notes_are_folded_below_the_verdicts_each_once_and_quoted(report: Report) -> None:
    """Of every entry, unchanged ones too."""
    notes = ("p.md:3: <b> @all is not read", "the bank is not used")
    entries = tuple(replace(entry, notes=notes[: 1 + number]) for number, entry in enumerate(report.entries[:2]))
    text = markdown.comment(replace(report, entries=entries))
    folded = text[text.index("<details><summary>2 notes on what was read</summary>") :]
    [fence] = [t.content for t in tokens(folded) if t.type == "fence"]
    assert fence.splitlines() == list(notes)
    assert folded.index("</details>") < folded.index("<sub>")


def test_a_run_without_notes_says_nothing_of_them(report: Report) -> None:
    assert "on what was read" not in markdown.comment(report)


def test_very_many_notes_are_counted(report: Report) -> None:
    noted = replace(report.entries[0], notes=tuple(f"note {number}" for number in range(80)))
    text = markdown.comment(replace(report, entries=(noted,)))
    assert "<summary>80 notes on what was read</summary>" in text
    assert "note 49\n… 30 more\n```" in text


@pytest.mark.parametrize("limit", [2_000, 10_000, 65_536])
def test_a_comment_keeps_to_its_limit_and_counts_what_it_leaves_out(report: Report, limit: int) -> None:
    many = replace(report, entries=report.entries * 60, troubles=report.troubles * 10)
    text = markdown.comment(many, limit=limit)
    assert len(text.encode()) <= limit
    assert re.search(r"\d+ parts left out for length", text)
    assert text.startswith("<!-- pytest-pmpo:default -->\n\n> [!CAUTION]")
    assert text.count("<details") == text.count("</details>")


def test_what_fits_is_whole(report: Report) -> None:
    assert "left out for length" not in markdown.comment(report)


def test_the_footer_names_model_base_and_its_age(report: Report) -> None:
    text = markdown.comment(report)
    assert "model: `tiny@0123456789ab on cpu, float32`" in text
    assert "base: `aaaabbbbcccc (merge base with origin/main), 3 days old`" in text
    assert "A loss is a proxy for accuracy" in text


def test_a_run_without_prompts_is_said_to_be_one() -> None:
    assert "no prompt was judged" in markdown.render(Report())
