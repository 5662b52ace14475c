"""The tokens of an answer beside their losses under base and head: what moved inside a fixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.gate.records import FixtureDelta, Verdict
from pytest_pmpo.report.text import visible_characters
from pytest_pmpo.scoring.records import FixtureScore

_LONG = 40
_SIGNS = {"": "…", "\n": "↵", "\t": "⇥", "\r": "␍"}


@dataclass(frozen=True, slots=True)
class Move:
    """One token of an answer: its text made visible (or ``#3`` where that is not known), and its loss in nats."""

    text: str
    base: float
    head: float


def shown(text: str) -> str:
    """A token's text on one line: line breaks and tabs as signs, nothing invisible, ``…`` for a token that says
    nothing by itself (the first bytes of a character)."""
    visible = visible_characters(text)
    for sign, instead in _SIGNS.items():
        visible = visible.replace(sign, instead) if sign else visible or instead
    return visible if len(visible) <= _LONG else f"{visible[: _LONG - 1]}…"


def names(texts: Sequence[str], count: int) -> list[str]:
    """What to call ``count`` tokens: their texts, or their numbers where those are not known."""
    return [shown(text) for text in texts] if len(texts) == count else [f"#{i + 1}" for i in range(count)]


def moves(base: FixtureScore, head: FixtureScore, texts: Sequence[str], most: int) -> tuple[Move, ...]:
    """The tokens of the first answer whose loss moved most, in the order of the answer; none where base and head do not
    have the same tokens."""
    if not base.scores or not head.scores:
        return ()
    before, after = base.scores[0].nll, head.scores[0].nll
    if len(before) != len(after):
        return ()
    places = sorted(range(len(before)), key=lambda i: -abs(after[i] - before[i]))[:most]
    called = names(texts, len(before))
    return tuple(Move(called[i], before[i], after[i]) for i in sorted(places))


def most_changed(verdict: Verdict, most: int) -> tuple[FixtureDelta, ...]:
    """The fixtures whose number moved most, the largest move first, whichever way it went."""
    return tuple(sorted(verdict.fixtures, key=lambda row: -abs(row.delta))[:most])
