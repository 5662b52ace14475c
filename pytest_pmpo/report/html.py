"""A run as one HTML page: no script, no request, readable by keyboard, screen reader and in the dark.

Every text goes through Jinja's autoescape; the page's own content policy forbids scripts and requests besides. What
prompts and fixtures say is shown with invisible characters made visible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pytest_pmpo.gate.records import FixtureDelta, Status, Verdict
from pytest_pmpo.report.chart import HEIGHT, WIDTH, Chart, chart
from pytest_pmpo.report.records import Entry, Report
from pytest_pmpo.report.redline import Piece, redline
from pytest_pmpo.report.text import (
    change,
    facts,
    form_sentence,
    headline,
    interval,
    number,
    plain,
    share,
    size_words,
    toward_head,
    visible_characters,
)
from pytest_pmpo.report.tokens import most_changed, names
from pytest_pmpo.scoring.records import FixtureScore

if TYPE_CHECKING:
    from jinja2 import Template

_MOST_ROWS = 400
_MOST_TOKEN_ROWS = 40
_MOST_TOKENS = 120
_MOST_TARGETS = 4
_FULL_HEAT = 5.0  # nats per token at which a cell is as dark as it gets: one in 150

GLYPHS: Mapping[Status, str] = {
    "regressed": "▼",
    "inconclusive": "?",
    "new": "+",
    "improved": "▲",
    "passed": "✓",
    "unchanged": "=",
}


@dataclass(frozen=True, slots=True)
class TokenCell:
    """One scored token: its text where known, nats, and how dark to draw it (0 to 1)."""

    text: str
    nll: str
    heat: float


@dataclass(frozen=True, slots=True)
class TokenRow:
    """The tokens of one answer under one version of the prompt."""

    name: str
    cells: tuple[TokenCell, ...]
    cut: int


@dataclass(frozen=True, slots=True)
class Row:
    """One fixture."""

    id: str
    base: str
    head: str
    delta: str
    worse: bool
    better: bool
    broken: bool
    bar: float
    about: str
    tokens: tuple[TokenRow, ...]


@dataclass(frozen=True, slots=True)
class TurnDiff:
    """One turn of the prompt as a redline."""

    role: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One verdict, ready for the template."""

    anchor: str
    status: Status
    glyph: str
    informs: bool
    prompt: str
    model: str
    words: str
    reason: str
    advice: tuple[str, ...]
    spent: str
    form: str
    unit: str
    base: str
    head: str
    delta: str
    ends: str
    method: str
    tolerance: str
    chart: Chart | None
    turns: tuple[TurnDiff, ...]
    rows: tuple[Row, ...]
    rows_left_out: int
    notes: tuple[str, ...]
    is_open: bool


def render(report: Report) -> str:
    """The page."""
    return _template().render(
        report=report,
        headline=headline(report),
        failed=report.failed,
        facts=facts(report),
        sections=[_section(i, entry) for i, entry in enumerate(report.ranked())],
        proxy=any(e.verdict.metric.proxy for e in report.entries if e.verdict.comparison is not None),
        plain=plain,
        change=change,
        width=WIDTH,
        height=HEIGHT,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pytest_pmpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _section(index: int, entry: Entry) -> Section:
    v = entry.verdict
    c = v.comparison
    shown = v.fixtures[:_MOST_ROWS]
    in_detail = {f.fixture_id for f in most_changed(v, _MOST_TOKEN_ROWS)}
    largest = max((abs(f.delta) for f in v.fixtures), default=0.0) or 1.0
    low, high = interval(v) if c is not None else (0.0, 0.0)
    delta = toward_head(v, c.delta) if c is not None else 0.0
    return Section(
        anchor=f"verdict-{index + 1}",
        status=v.status,
        glyph=GLYPHS[v.status],
        informs=v.informs,
        prompt=plain(v.prompt),
        model=plain(v.model),
        words=size_words(v),
        reason=plain(v.reason),
        advice=tuple(plain(line) for line in v.advice),
        spent=plain(entry.spent),
        form=form_sentence(v),
        unit=plain(v.metric.unit),
        base=number(c.base_mean) if c is not None else "",
        head=number(v.head_mean),
        delta=f"{change(delta)} ({share(v, delta)})" if c is not None else "",
        ends=f"{change(low)} to {change(high)}" if c is not None else "",
        method=c.method if c is not None else "",
        tolerance=number(v.tolerance) if v.tolerance is not None else "",
        chart=chart(v),
        turns=tuple(_turns(entry)),
        rows=tuple(_row(v, f, largest, entry, f.fixture_id in in_detail) for f in shown),
        rows_left_out=len(v.fixtures) - len(shown),
        notes=tuple(plain(note) for note in entry.notes),
        is_open=v.informs or v.status in ("regressed", "inconclusive", "improved"),
    )


def _row(verdict: Verdict, fixture: FixtureDelta, largest: float, entry: Entry, with_tokens: bool) -> Row:
    head = fixture.head
    about = [f"group {plain(head.group)}"] if head.group is not None else []
    about += [f"weight {head.weight:g}"] if head.weight != 1.0 else []
    about += [f"{plain(name).replace('_', ' ')} {value:.3g}" for name, value in head.measurement.details.items()]
    return Row(
        id=plain(fixture.fixture_id, 200),
        base=number(fixture.base.value),
        head=number(head.value),
        delta=change(toward_head(verdict, fixture.delta)),
        worse=fixture.delta > 0,
        better=fixture.delta < 0,
        broken=fixture.broken,
        bar=round(100 * abs(fixture.delta) / largest, 1),
        about=", ".join(about),
        tokens=tuple(_token_rows(fixture, entry.tokens.get(fixture.fixture_id, ()))) if with_tokens else (),
    )


def _token_rows(fixture: FixtureDelta, texts: Sequence[str]) -> Iterator[TokenRow]:
    targets = min(_MOST_TARGETS, max(len(fixture.base.scores), len(fixture.head.scores)))
    for target in range(targets):
        for version, score in (("base", fixture.base), ("head", fixture.head)):
            if target < len(score.scores):
                name = version if targets == 1 else f"{version}, answer {target + 1}"
                yield _token_row(name, score, target, texts if target == 0 else ())


def _token_row(name: str, score: FixtureScore, target: int, texts: Sequence[str]) -> TokenRow:
    nll = score.scores[target].nll
    called = names(texts, len(nll))
    cells = tuple(
        TokenCell(text, f"{x:.2f}", _heat(x)) for text, x in zip(called[:_MOST_TOKENS], nll[:_MOST_TOKENS], strict=True)
    )
    return TokenRow(name, cells, len(nll) - len(cells))


def _heat(nats: float) -> float:
    return round(min(max(nats / _FULL_HEAT, 0.0), 1.0), 2)


def _turns(entry: Entry) -> Iterator[TurnDiff]:
    """The prompt turn by turn; turns are paired in order, which is how prompts are edited."""
    if not entry.before or not entry.after:
        return
    for i in range(max(len(entry.before), len(entry.after))):
        old_role, old = entry.before[i] if i < len(entry.before) else ("", "")
        new_role, new = entry.after[i] if i < len(entry.after) else ("", "")
        role = new_role if new_role == old_role or not old_role else f"{old_role} → {new_role or 'removed'}"
        pieces = redline(visible_characters(old), visible_characters(new))
        yield TurnDiff(plain(role), pieces)
