"""The HTML page: well-formed, self-contained, verdict first, and harmless whatever prompts and fixtures say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pytest_pmpo.gate.records import Verdict
from pytest_pmpo.report import html
from pytest_pmpo.report.chart import HEIGHT, WIDTH, chart
from pytest_pmpo.report.records import Entry, Report

VOID = {"meta", "line", "rect", "br"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; asserts that every element closes in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_is_well_formed_and_its_ids_are_unique(report: Report, hostile_report: Report) -> None:
    for run in (report, hostile_report, Report()):
        page = Page(html.render(run))
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        targets = [a["href"] for a in page.all("a")]
        assert {t.removeprefix("#") for t in targets} <= set(ids)


def test_nothing_is_fetched_and_nothing_runs(report: Report, hostile_report: Report) -> None:
    for run in (report, hostile_report):
        text = html.render(run)
        page = Page(text)
        names = {name for name, _ in page.tags}
        assert not names & {"script", "img", "iframe", "link", "object", "embed", "base", "form", "video", "a:href"}
        for _, attributes in page.tags:
            assert not any(name.startswith("on") for name in attributes)
            assert not {"src", "srcset", "action"} & set(attributes)
            assert all(a.startswith("#") for a in [attributes.get("href", "#")])
        policy = next(m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
        assert policy["content"].startswith("default-src 'none'")


def test_hostile_text_is_shown_as_text(hostile_report: Report) -> None:
    text = html.render(hostile_report)
    shown = "".join(Page(text).text)
    assert "<script>alert(1)</script>" in shown
    assert "{{ 7 * 7 }}{% raw %}" in shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]", text)


def test_the_verdict_comes_first(report: Report) -> None:
    words = " ".join("".join(Page(html.render(report)).text).split())
    assert words.index("Failed 7 verdicts: 2 regressed") < 200
    passed = replace(report, troubles=(), entries=tuple(e for e in report.entries if not e.verdict.failed))
    assert "Passed 5 verdicts" in " ".join("".join(Page(html.render(passed)).text).split())


def test_verdicts_are_in_order_of_severity(report: Report) -> None:
    titles = re.findall(r'<h2 id="verdict-\d+-title">.*?</span> (\S+) <span', html.render(report))
    assert titles == [e.verdict.prompt for e in report.ranked()]


def test_what_is_unchanged_is_folded_unless_nothing_else_was_judged(report: Report) -> None:
    page = html.render(report)
    shown, _, folded = page.partition('<details class="unchanged">')
    assert "<summary>1 unchanged</summary>" in folded
    assert "prompts/same.md" in folded
    assert "prompts/same.md" not in shown
    quiet = tuple(entry for entry in report.entries if entry.verdict.status == "unchanged")
    assert '<details class="unchanged">' not in html.render(replace(report, entries=quiet))


def test_the_table_names_the_model_only_where_several_judged(judge: Callable[..., Verdict]) -> None:
    """On a phone its column pushes the numbers out of sight."""
    verdicts = [judge(0.1, prompt=f"{name}.md") for name in "ab"]
    one = html.render(Report(entries=tuple(Entry(v, v.prompt) for v in verdicts)))
    assert '<th scope="col">Model</th>' not in one
    both = [verdicts[0], replace(verdicts[1], model="other")]
    two = html.render(Report(entries=tuple(Entry(v, v.prompt) for v in both)))
    assert '<th scope="col">Model</th>' in two
    assert "<td>other</td>" in two


def test_the_change_of_the_prompt_is_marked_word_by_word(report: Report) -> None:
    assert "Be <ins>very </ins>brief." in html.render(report)


def test_fixtures_come_worst_first_with_their_tokens(report: Report) -> None:
    entry = next(e for e in report.entries if e.path == "prompts/triage.prompt.yml")
    worst = entry.verdict.fixtures[0].fixture_id
    run = Report(entries=(replace(entry, tokens={worst: ("ye", "s\n")}),))
    text = html.render(run)
    rows = re.findall(r'<th scope="row">(case-\d+)', text)
    assert rows == [f.fixture_id for f in entry.verdict.fixtures]
    words = " ".join("".join(Page(text).text).split())
    assert re.search(r"base ye ?0\.90 s↵ ?1\.10 head ye ?1\.02 s↵ ?1\.22", words)
    assert "#1" in words  # tokens without known text are numbered


def test_tokens_are_told_of_the_fixtures_that_changed_most_whichever_way(judge: Callable[..., Verdict]) -> None:
    verdict = judge(-0.1, n=60)
    text = html.render(Report(entries=(Entry(verdict, verdict.prompt),)))
    told = re.findall(r"answer tokens of (case-\d+),", text)
    by_size = sorted(verdict.fixtures, key=lambda row: -abs(row.delta))
    assert set(told) == {row.fixture_id for row in by_size[:40]}


def test_tables_and_charts_have_names_for_screen_readers(report: Report) -> None:
    page = Page(html.render(report))
    assert all(a.get("scope") for a in page.all("th"))
    charts = page.all("svg")
    assert charts
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in charts)
    assert page.all("html") == [{"lang": "en"}]


def test_colour_is_never_the_only_sign(report: Report) -> None:
    badges = re.findall(
        r'<span class="badge (\w+)"><span aria-hidden="true">(\S+)</span> (\w+)</span>', html.render(report)
    )
    assert badges
    assert all(status == word for status, _, word in badges)


@pytest.mark.parametrize("shift", [0.1, -0.1, 0.0])
@pytest.mark.parametrize("n", [1, 4, 12, 700])
def test_a_chart_stays_in_its_box_and_holds_zero(judge: Callable[..., Verdict], shift: float, n: int) -> None:
    drawn = chart(judge(shift, n=n))
    assert drawn is not None
    assert drawn.total == n
    assert drawn.shown == len(drawn.bars) <= 300
    for bar in drawn.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT + 0.5
    for y in (drawn.zero, drawn.mean, drawn.band_top, drawn.band_top + drawn.band_height):
        assert math.isfinite(y)
        assert 0 <= y <= HEIGHT
    assert drawn.band_height >= 0
    assert any(tick.value == 0 for tick in drawn.ticks)


def test_bars_point_up_where_the_number_rose(judge: Callable[..., Verdict]) -> None:
    rose, fell = chart(judge(0.1)), chart(judge(-0.1))
    assert rose is not None
    assert fell is not None
    assert all(bar.worse and bar.y < rose.zero for bar in rose.bars)
    assert all(not bar.worse and bar.y == fell.zero for bar in fell.bars)


def test_nothing_moved_still_draws(judge: Callable[..., Verdict]) -> None:
    assert chart(judge(0.0, spread=0.0)) is not None


def test_without_a_base_there_is_no_chart(new: Verdict) -> None:
    assert chart(new) is None
