"""What changed in a prompt, word by word.

Lines are matched first and words only within the lines that differ, both by ``difflib``, with every blank kept: to a
model a blank line is a change, so a redline that normalises white space would hide causes. Hostile or very long text
cannot make it slow: ``difflib`` does not search from items that make up over 1 % of a long list, and where too much
differs the text is shown as replaced whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["same", "removed", "added"]

_WORDS = re.compile(r"\w+|\s|[^\w\s]")
_MOST = 5_000  # lines, or words, that are compared one by one


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that stayed, went or came."""

    kind: Kind
    text: str


Refine = Callable[[str, str], Iterator[Piece]]
"""Looks into a replaced stretch."""


def redline(before: str, after: str) -> tuple[Piece, ...]:
    """The pieces of both texts in reading order: without "added" they are ``before``, without "removed" ``after``."""
    lines = _diff(before.splitlines(keepends=True), after.splitlines(keepends=True), _word_diff)
    return tuple(_merged(lines))


def _word_diff(before: str, after: str) -> Iterator[Piece]:
    """Words of two stretches, or both whole where they share too little: scattered letters in common help nobody."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    shared = (Counter(w for w in old if w.isalnum()) & Counter(w for w in new if w.isalnum())).total()
    if 3 * shared < min(sum(map(str.isalnum, old)), sum(map(str.isalnum, new))):
        return _replaced(before, after)
    return _diff(old, new, _replaced)


def _replaced(before: str, after: str) -> Iterator[Piece]:
    yield Piece("removed", before)
    yield Piece("added", after)


def _diff(before: Sequence[str], after: Sequence[str], refine: Refine) -> Iterator[Piece]:
    start = _common(before, after)
    end = min(_common(before[::-1], after[::-1]), min(len(before), len(after)) - start)
    yield Piece("same", "".join(before[:start]))
    yield from _middle(before[start : len(before) - end], after[start : len(after) - end], refine)
    yield Piece("same", "".join(before[len(before) - end :]))


def _middle(before: Sequence[str], after: Sequence[str], refine: Refine) -> Iterator[Piece]:
    if max(len(before), len(after)) > _MOST:
        yield from _replaced("".join(before), "".join(after))
        return
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after).get_opcodes():
        old, new = "".join(before[i1:i2]), "".join(after[j1:j2])
        if tag == "equal":
            yield Piece("same", old)
        elif tag == "replace":
            yield from refine(old, new)
        else:
            yield Piece("removed", old)
            yield Piece("added", new)


def _common(before: Sequence[str], after: Sequence[str]) -> int:
    """How many items both begin with."""
    n = 0
    for a, b in zip(before, after, strict=False):
        if a != b:
            break
        n += 1
    return n


def _merged(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Neighbours of one kind joined, empty ones dropped; within a change, what went comes before what came."""
    removed = added = ""
    for piece in pieces:
        if piece.kind == "removed":
            removed += piece.text
        elif piece.kind == "added":
            added += piece.text
        elif piece.text:
            yield from (p for p in (Piece("removed", removed), Piece("added", added)) if p.text)
            removed = added = ""
            yield piece
    yield from (p for p in (Piece("removed", removed), Piece("added", added)) if p.text)
