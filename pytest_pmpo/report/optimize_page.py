"""An optimization's result as plain strings and numbers, for the templates: Markdown and HTML say the same.

Everything a prompt, a fixture or a model said is put through ``text.plain`` or ``text.visible_characters`` here; the
templates only decide how it is fenced or escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_pmpo.gate.records import Verdict
from pytest_pmpo.optimize.masking import MaskRow, MaskTable
from pytest_pmpo.optimize.records import OptimizeResult, Round
from pytest_pmpo.optimize.shown import Shown
from pytest_pmpo.prompts.edit import is_added
from pytest_pmpo.report.optimize_chart import LossChart, loss_chart
from pytest_pmpo.report.redline import Piece, redline
from pytest_pmpo.report.text import (
    change,
    count,
    ends_words,
    form_sentence,
    interval,
    number,
    plain,
    toward_head,
    visible_characters,
)
from pytest_pmpo.report.tokens import moves

INERT = 0.005
"""Share of the prompt's loss below which a unit is said to do nothing."""

_MOST_TOKENS = 5
_TEXT = 300


@dataclass(frozen=True, slots=True)
class Part:
    """Mean loss on one part before and after."""

    name: str
    count: int
    before: str
    after: str
    delta: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the prompt as a redline."""

    role: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One unit of the prompt, what it is worth, and that in words. ``kind``: helps, harms, inert."""

    text: str
    tokens: int
    masked: str
    deleted: str
    words: str
    kind: str


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One line of the history."""

    number: int
    train: str
    selection: str
    heldout: str
    accepted: bool
    note: str
    scored: int
    dropped: int


@dataclass(frozen=True, slots=True)
class FixtureRow:
    """One held-out fixture, and the tokens of its answer that moved most: text (or ``#3``), loss before and after."""

    id: str
    before: str
    after: str
    delta: str
    better: bool
    broken: bool
    tokens: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The whole report.

    Attributes:
        form: how much of a change of cross-entropy is form, a sentence; empty where that was not measured.
        shown: fixtures the patch's prompt shows, with what to do about them.
    """

    won: bool
    headline: str
    reason: str
    form: str
    path: str
    unit: str
    measure: str
    worse: str
    proxy: bool
    ends: str
    parts: tuple[Part, ...]
    turns: tuple[Turn, ...]
    segments_of: str
    segments: tuple[SegmentRow, ...]
    chart: LossChart | None
    rounds: tuple[RoundRow, ...]
    fixtures: tuple[FixtureRow, ...]
    copied: tuple[tuple[str, str], ...]
    demos: tuple[str, ...]
    shown: Shown
    dropped: tuple[tuple[str, int], ...]
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def page(result: OptimizeResult) -> Page:
    """Everything there is to say about a run, the verdict first."""
    changed = result.winner.digest != result.incumbent.digest
    verdict = result.verdict
    table = result.masks[1] if changed and result.masks[1] else result.masks[0]
    return Page(
        won=result.won,
        headline=_headline(result),
        reason=plain(result.reason),
        form=form_sentence(verdict) if verdict else "",
        path=plain(result.path),
        unit=plain(result.metric.unit),
        measure=_measure(result),
        worse="rise" if result.metric.direction == "lower" else "fall",
        proxy=result.metric.proxy,
        ends=_ends(verdict) if verdict else "",
        parts=tuple(_parts(result)),
        turns=tuple(_turns(result)) if changed else (),
        segments_of="the new prompt"
        if table is not None and table is result.masks[1] and changed
        else "the old prompt",
        segments=tuple(_segment(row, table, result) for row in table.rows) if table else (),
        chart=loss_chart(result.rounds),
        rounds=tuple(_round(row, before) for before, row in zip((None, *result.rounds), result.rounds, strict=False)),
        fixtures=tuple(_fixtures(result)),
        copied=tuple((plain(c.fixture_id), plain(c.text, _TEXT)) for c in result.winner.copied) if changed else (),
        demos=tuple(plain(name) for name in result.winner.demos) if changed else (),
        shown=result.shown,
        dropped=tuple(sorted(result.dropped.items(), key=lambda item: (-item[1], item[0]))),
        facts=_facts(result),
        notes=tuple(plain(note) for note in result.notes),
    )


def _ends(verdict: Verdict) -> str:
    """The interval of the held-out change in a sentence; empty where nothing was compared."""
    if verdict.comparison is None:
        return ""
    low, high = interval(verdict)
    unit = f" {plain(verdict.metric.unit)}" if math.isfinite(low) or math.isfinite(high) else ""
    return f"95 % interval of the held-out change: {ends_words(low, high)}{unit}."


def _headline(result: OptimizeResult) -> str:
    before, after = result.before.heldout.mean, result.after.heldout.mean
    moved = f"held-out {result.metric.name} {number(before)} → {number(after)} {result.metric.unit}"
    if result.won:
        way = "lower" if after < before else "higher"
        return f"Improved: {moved}" + (f" ({100 * abs(after - before) / abs(before):.0f} % {way})" if before else "")
    if result.verdict is None:
        return "No better prompt was found; nothing is proposed"
    return f"No patch: {moved}, which the gate does not confirm"


def _parts(result: OptimizeResult) -> Iterator[Part]:
    for name, key in (("train", "train"), ("selection", "selection"), ("held-out", "heldout")):
        before, after = getattr(result.before, key).mean, getattr(result.after, key).mean
        yield Part(name, len(result.splits[key]), number(before), number(after), change(after - before))


def _turns(result: OptimizeResult) -> Iterator[Turn]:
    """The old prompt's turns as they are now; few-shot turns, which it had none of, are new from end to end."""
    old = iter(result.incumbent.prompt.messages)
    for new in result.winner.prompt.messages:
        was = "" if is_added(new) else next(old).text
        yield Turn(new.role, redline(visible_characters(was), visible_characters(new.text)))


def _segment(row: MaskRow, table: MaskTable, result: OptimizeResult) -> SegmentRow:
    tokens = count(row.tokens, "token")
    if abs(row.worth) <= INERT * abs(table.loss):
        kind, words = "inert", f"does nothing: {tokens} that could go"
    elif row.worth > 0:
        kind, words = "helps", f"worth {row.worth:.3f} {result.metric.unit}: without it {_worse(result)}"
    else:
        kind, words = "harms", f"costs {-row.worth:.3f} {result.metric.unit}: without it {_better(result)}"
    return SegmentRow(
        plain(row.unit.text, _TEXT),
        row.tokens,
        "" if row.masked is None else change(row.masked),
        "" if row.deleted is None else change(row.deleted),
        plain(words),
        kind,
    )


def _measure(result: OptimizeResult) -> str:
    """What is measured, as a noun: a loss, or accuracy estimated from a response bank."""
    return "loss" if result.metric.direction == "lower" else f"estimated {plain(result.metric.unit)}"


def _worse(result: OptimizeResult) -> str:
    return f"the {_measure(result)} {'rises' if result.metric.direction == 'lower' else 'falls'}"


def _better(result: OptimizeResult) -> str:
    return f"the {_measure(result)} {'falls' if result.metric.direction == 'lower' else 'rises'}"


def _round(row: Round, before: Round | None) -> RoundRow:
    dropped = sum(row.dropped.values()) - (sum(before.dropped.values()) if before else 0)
    return RoundRow(
        row.number,
        number(row.train),
        number(row.selection),
        "" if row.heldout is None else number(row.heldout),
        row.accepted,
        plain(row.note, _TEXT),
        row.scored - (before.scored if before else 0),
        dropped,
    )


def _fixtures(result: OptimizeResult) -> Iterator[FixtureRow]:
    """Held-out fixtures as the gate saw them, worst first."""
    verdict = result.verdict
    for row in verdict.fixtures if verdict else ():
        assert verdict is not None
        yield FixtureRow(
            plain(row.fixture_id, _TEXT),
            number(row.base.value),
            number(row.head.value),
            change(toward_head(verdict, row.delta)),
            row.delta < 0,
            row.broken,
            tuple(
                (move.text, f"{move.base:.2f}", f"{move.head:.2f}")
                # a bank's texts are responses, which need not be right: their tokens are no answer's
                for move in (
                    moves(row.base, row.head, result.token_texts.get(row.fixture_id, ()), _MOST_TOKENS)
                    if result.metric.proxy
                    else ()
                )
            ),
        )


def _facts(result: OptimizeResult) -> tuple[tuple[str, str], ...]:
    spent = result.spent
    rows = (
        ("strategy", result.strategy),
        ("rewriters", ", ".join(result.rewriters) or "none"),
        ("model", result.model),
        ("stopped", f"{result.ending}: {result.ending_reason}"),
        ("spent", f"{spent}; {spent.cached_tokens:,} token losses came from the cache"),
        ("limits", result.limits),
        ("prompts scored", f"{result.scored:,}"),
        ("duplicates", f"{result.rounds[-1].duplicates if result.rounds else 0:,} proposals were known already"),
    )
    return tuple((name, plain(value)) for name, value in rows)
