"""The report of an optimization: verdict first, the same facts in Markdown and HTML, hostile text harmless."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from pytest_pmpo.errors import OptimizeError
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.message import commit_message
from pytest_pmpo.optimize.records import Copy, OptimizeResult
from pytest_pmpo.optimize.rewriters.structural import StructuralEdits
from pytest_pmpo.optimize.shown import Shown
from pytest_pmpo.optimize.strategies.pmpo import Pmpo
from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Expected, Fixture, PromptSuite
from pytest_pmpo.report import optimize_report
from pytest_pmpo.report.optimize_chart import loss_chart
from pytest_pmpo.report.optimize_live import LiveTable
from pytest_pmpo.report.optimize_page import page
from pytest_pmpo.report.text import change, form_words
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.response_bank import ResponseBank
from pytest_pmpo.scoring.scorer import Scorer

TEXT = "You like tea and long walks by the sea.\n\n- Say praise or blame.\n\nText: {{ input }}\nLabel:\n"
HOSTILE = "<script>alert(1)</script> @everyone fixes #1 ``` | ![x](http://x) \x1b[2J\u202e"


def request(folder: Path, text: str = TEXT, prefix: str = "") -> OptimizeRequest:
    prompt = TextFormat().parse("praise.md", text.encode(), ParseContext(READS_NOTHING.__getitem__))[0].prompt
    words = ["day", "meal", "film", "work", "song", "crowd", "hosts", "plot"]
    fixtures = tuple(
        Fixture(f"{prefix}{label}{i}", {"input": f"{kind} {word}"}, Expected(label))
        for label, kind in (("praise", "fine"), ("blame", "poor"))
        for i, word in enumerate(words)
    )
    scorer = Scorer("fake", FakeBackend)
    parts = (PromptSuite(prompt, fixtures), text.encode(), TextFormat(), scorer, CrossEntropy(), "fake", Pmpo())
    return OptimizeRequest(*parts, (StructuralEdits(),), folder / "journals", Budget(rounds=2))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> OptimizeResult:
    return run(request(tmp_path_factory.mktemp("plain")))


class Strict(HTMLParser):
    """Fails on tags that are not closed; collects what could run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.dangerous: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "link", "object") or any(name.startswith("on") for name, _ in attrs):
            self.dangerous.append(tag)
        if tag not in ("meta", "line", "polyline", "circle", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_verdict_comes_first(result: OptimizeResult) -> None:
    assert result.won
    first = optimize_report.markdown(result).splitlines()[0]
    assert first.startswith("## Improved: held-out cross-entropy")
    assert "nats/token" in first


def test_markdown_and_html_say_the_same(result: OptimizeResult) -> None:
    md, html = optimize_report.markdown(result), optimize_report.html(result)
    view = page(result)
    for text in (
        view.headline,
        *(part.before for part in view.parts),
        view.ends,
        view.form,
        *(row.heldout for row in view.rounds),
    ):
        assert text in md
        assert text in html


def test_how_much_is_form_stands_above_everything_that_is_measured(result: OptimizeResult) -> None:
    assert result.verdict is not None
    assert result.verdict.form is not None
    said = page(result).form
    assert said.startswith("Form or quality? Of ")
    assert f"{change(result.verdict.form.form)} is form" in said
    for text in (optimize_report.markdown(result), optimize_report.html(result)):
        assert (
            text.index(page(result).headline)
            < text.index(said)
            < text.index("held-out</t" if "<t" in text else "| held")
        )
    without = replace(result, verdict=replace(result.verdict, form=None))
    assert "Form or quality" not in optimize_report.markdown(without) + optimize_report.html(without)


def test_an_interval_that_five_fixtures_cannot_give_is_called_that(result: OptimizeResult) -> None:
    """Below six draws no interval of 95 % has two ends; ``−∞ to +∞`` beside "at least 10 % better" reads as a slip."""
    assert result.verdict is not None
    assert result.verdict.comparison is not None
    assert result.verdict.form is not None
    endless = {"low": -math.inf, "high": math.inf}
    comparison, form = replace(result.verdict.comparison, **endless), replace(result.verdict.form, **endless)
    few = replace(result, verdict=replace(result.verdict, comparison=comparison, form=form))
    for text in (optimize_report.markdown(few), optimize_report.html(few)):
        assert "95 % interval of the held-out change: too few fixtures for an interval. Held-out" in text
        assert "(too few fixtures for an interval) is left for the right labels" in text
        assert "∞" not in text
    assert "inf" not in commit_message(few)
    assert f"to {change(result.verdict.comparison.high)} nats/token. Held-out" in optimize_report.markdown(result)


def test_the_redline_rebuilds_both_prompts(result: OptimizeResult) -> None:
    pieces = page(result).turns[0].pieces
    assert "".join(p.text for p in pieces if p.kind != "added") == result.incumbent.prompt.messages[0].text
    assert "".join(p.text for p in pieces if p.kind != "removed") == result.winner.prompt.messages[0].text


def test_every_segment_says_what_it_is_worth_in_nats_and_tokens(result: OptimizeResult) -> None:
    table = result.masks[1]
    assert table is not None
    rows = page(result).segments
    assert len(rows) == len(table.rows)
    for row, measured in zip(rows, table.rows, strict=True):
        assert row.tokens == measured.tokens
        assert {"helps": "worth", "harms": "costs", "inert": "does nothing"}[row.kind] in row.words
        if row.kind == "harms":
            assert f"{-measured.worth:.3f}" in row.words


def test_the_history_has_a_row_per_round_and_the_chart_a_point_per_row(result: OptimizeResult) -> None:
    view = page(result)
    assert [row.number for row in view.rounds] == [0, 1, 2]
    chart = loss_chart(result.rounds)
    assert chart is not None
    assert [line.name for line in chart.lines] == ["train", "selection", "held-out"]
    assert all(len(line.dots) == 3 for line in chart.lines)
    for line in chart.lines:
        assert all(0 <= x <= chart.width and 0 <= y <= chart.height for x, y in line.dots)


def test_fixtures_show_the_tokens_of_their_answers_with_the_loss_before_and_after(result: OptimizeResult) -> None:
    rows = page(result).fixtures
    assert {row.id for row in rows} == set(result.splits["heldout"])
    assert result.verdict is not None
    deltas = {delta.fixture_id: delta for delta in result.verdict.fixtures}
    for row in rows:
        before, after = (score.scores[0].nll for score in (deltas[row.id].base, deltas[row.id].head))
        letters = list(row.id.rstrip("0123456789"))
        told = [(letter, f"{a:.2f}", f"{b:.2f}") for letter, a, b in zip(letters, before, after, strict=True)]
        assert len(row.tokens) == min(5, len(letters))
        assert _in_order(row.tokens, told)


def test_tokens_whose_text_is_not_known_are_numbered(result: OptimizeResult) -> None:
    rows = page(replace(result, token_texts={})).fixtures
    assert all(text.startswith("#") for row in rows for text, _, _ in row.tokens)


def _in_order(part: tuple[tuple[str, str, str], ...], whole: list[tuple[str, str, str]]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)


def test_a_run_without_a_winner_says_why_and_shows_no_change(result: OptimizeResult) -> None:
    lost = replace(
        result, winner=result.incumbent, after=result.before, won=False, verdict=None, data=None, reason="no luck"
    )
    md = optimize_report.markdown(lost)
    assert md.startswith("## No better prompt was found; nothing is proposed")
    assert "no luck" in md
    assert "What changed" not in md
    assert "What changed" not in optimize_report.html(lost)


def test_copied_text_is_a_warning(result: OptimizeResult) -> None:
    winner = replace(result.winner, copied=(Copy("f9", "a long run of words"),))
    md = optimize_report.markdown(replace(result, winner=winner))
    assert "[!WARNING]" in md
    assert "a long run of words" in md
    assert "a long run of words" in optimize_report.html(replace(result, winner=winner))


def test_hostile_text_neither_runs_nor_breaks_out(tmp_path: Path) -> None:
    hostile = HOSTILE.replace("\x1b[2J", "").replace("\u202e", "")
    result = run(request(tmp_path, f"Keep this: {hostile}\n\n{TEXT}", "<b>`|"))
    result = replace(result, notes=(HOSTILE,), reason=HOSTILE)
    html = optimize_report.html(result)
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert parser.dangerous == []
    assert "\x1b" not in html + optimize_report.markdown(result)
    assert "\u202e" not in html + optimize_report.markdown(result)
    from markdown_it import MarkdownIt

    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(optimize_report.markdown(result))
    checked = Strict()
    checked.feed(rendered)
    assert checked.dangerous == []
    assert "http://x" in checked.text


def test_a_bar_in_a_name_is_escaped_in_tables_alone(result: OptimizeResult) -> None:
    shown = Shown(("an|id",), ("the|file.yaml",))
    row = replace(result.verdict.fixtures[0], fixture_id="row|id") if result.verdict else None
    assert row is not None
    assert result.verdict is not None
    winner = replace(result.winner, copied=(Copy("f|9", "a long|run"),))
    odd = replace(
        result, path="p|q.md", reason="why|not", model="m|n", notes=("so|so",), shown=shown, winner=winner,
        verdict=replace(result.verdict, fixtures=(row,)),
    )  # fmt: skip
    md = optimize_report.markdown(odd)
    quoted = replace(odd, shown=Shown(), winner=replace(winner, demos=("de|mo",)))
    for name in ("p|q.md", "why|not", "an|id", "the|file.yaml", "f|9", "a long|run", "m|n", "so|so"):
        assert f"`{name}`" in md
    assert "`de|mo`" in optimize_report.markdown(quoted)
    assert "| `row\\|id` |" in md


def test_a_template_of_the_users_own_is_taken(result: OptimizeResult, tmp_path: Path) -> None:
    (tmp_path / "optimize.md.j2").write_text("Own: {{ page.headline }}")
    assert optimize_report.markdown(result, tmp_path) == f"Own: {page(result).headline}\n"
    assert optimize_report.html(result, tmp_path).startswith("<!doctype html>")


@pytest.mark.parametrize("template", ["{{ page.nothing }}", "{% if %}", "{{ ''.__class__.__mro__ }}"])
def test_a_broken_template_is_an_error_that_names_it(result: OptimizeResult, tmp_path: Path, template: str) -> None:
    (tmp_path / "optimize.md.j2").write_text(template)
    with pytest.raises(OptimizeError, match=r"optimize\.md\.j2 does not render"):
        optimize_report.markdown(result, tmp_path)


def test_both_files_are_written(result: OptimizeResult, tmp_path: Path) -> None:
    md, html = optimize_report.write(result, tmp_path / "pmpo-out", "praise")
    assert (md.name, html.name) == ("praise.md", "praise.html")
    assert html.read_text().rstrip().endswith("</html>")
    (tmp_path / "file").write_text("")
    with pytest.raises(OptimizeError, match="cannot be written"):
        optimize_report.write(result, tmp_path / "file", "praise")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_view_shows_rounds_tokens_and_the_end(tmp_path: Path, terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    result = run(request(tmp_path), LiveTable(console))
    text = out.getvalue()
    assert "2 rounds" in text
    assert "resuming" not in text
    for row in result.rounds:
        assert f"{row.heldout:.3f}" in text
    assert "stopped (rounds)" in text
    assert result.verdict is not None
    assert form_words(result.verdict) in " ".join(text.split())
    assert f"{result.spent.forward_tokens:,}" in text
    assert ("\x1b[" in text) == terminal


def test_an_estimated_accuracy_is_called_that_and_rises(result: OptimizeResult) -> None:
    """With a response bank higher is better, and no loss is spoken of."""
    accuracy = replace(result, metric=ResponseBank({}).info)
    for text in (optimize_report.markdown(accuracy), optimize_report.html(accuracy)):
        assert "loss" not in text.replace("losses", "").lower()
        assert "estimated accuracy would fall" in text
        assert "Answer tokens" not in text
