"""Folded YAML text: which written lines make which line of the value, and the way back.

In a folded scalar (``>``, and plain or quoted scalars over several lines) written lines join with a space, a blank line
is a line feed, and in ``>`` lines that begin with a blank stand for themselves. An edit should leave every written line
alone that still says the same, so values are compared line by line and re-wrapped only where they differ.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Folded:
    """One line of the value and the written lines it comes from (none for an empty line)."""

    text: str
    written: tuple[str, ...]


def unfold(written: Sequence[str], *, block: bool) -> list[Folded]:
    """Lines of the value from written lines without indentation; ``block`` is True inside ``>``."""
    lines: list[Folded] = []
    blanks = 0
    previous: str | None = None
    for line in written:
        if not line:
            blanks += 1
            continue
        if previous is None:
            lines.extend([Folded("", ())] * _edge_feeds(blanks, block))
        elif feeds := blanks + (block and (_stands_alone(previous) or _stands_alone(line))):
            lines.extend([Folded("", ())] * (feeds - 1))
        else:
            last = lines.pop()
            lines.append(Folded(f"{last.text} {line}", (*last.written, line)))
            blanks, previous = 0, line
            continue
        lines.append(Folded(line, (line,)))
        blanks, previous = 0, line
    return lines if block else [*lines, *[Folded("", ())] * _edge_feeds(blanks, block)]


def fold(lines: Sequence[Folded], *, block: bool) -> list[str]:
    """Written lines (no indentation) that unfold to ``lines``."""
    written: list[str] = []
    empties = 0
    previous: str | None = None
    for line in lines:
        if not line.text:
            empties += 1
            continue
        if previous is None:
            blanks = empties + (1 if empties and not block else 0)
        else:
            blanks = empties + (0 if block and (_stands_alone(previous) or _stands_alone(line.written[0])) else 1)
        written.extend([""] * blanks)
        written.extend(line.written)
        empties, previous = 0, line.written[-1]
    if empties and not block:
        written.extend([""] * (empties + 1))
    return written


def _edge_feeds(blanks: int, block: bool) -> int:
    # between quotes the first and the last line break fold into the quote's own line
    return blanks if block else max(0, blanks - 1)


def rewrite(old: Sequence[Folded], new: Sequence[str], width: int) -> list[Folded]:
    """The new lines of a value, keeping the written lines of ``old`` that still say the same."""
    result: list[Folded] = []
    matcher = difflib.SequenceMatcher(None, [line.text for line in old], new, autojunk=False)
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if tag == "equal":
            result.extend(old[a0:a1])
            continue
        paired = a1 - a0 == b1 - b0
        for i in range(b1 - b0):
            result.append(_rewrap(old[a0 + i].written if paired else (), new[b0 + i], width))
    return result


def _rewrap(old: tuple[str, ...], new: str, width: int) -> Folded:
    if not new:
        return Folded("", ())
    if _stands_alone(new):
        return Folded(new, (new,))
    head: list[str] = []
    rest = new
    for line in old:
        if not rest.startswith(f"{line} ") or _stands_alone(rest[len(line) + 1 :]):
            break
        head.append(line)
        rest = rest[len(line) + 1 :]
    tail: list[str] = []
    for line in reversed(old[len(head) :]):
        if not rest.endswith(f" {line}") or rest[: -len(line) - 1].endswith((" ", "\t")):
            break
        tail.insert(0, line)
        rest = rest[: -len(line) - 1]
    return Folded(new, (*head, *_wrap(rest, width), *tail))


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    while len(text) > width:
        cut = _break_before(text, width)
        if cut is None:
            break
        lines.append(text[:cut])
        text = text[cut + 1 :]
    return [*lines, text] if text else lines


def _break_before(text: str, width: int) -> int | None:
    """Index of a single space that may become a line end: the last one within ``width``, else the first behind it."""
    places = [
        i
        for i in range(1, len(text) - 1)
        if text[i] == " " and not text[i - 1].isspace() and not text[i + 1].isspace() and text[i + 1] != "#"
    ]
    inside = [i for i in places if i <= width]
    if inside:
        return inside[-1]
    return places[0] if places else None


def _stands_alone(line: str) -> bool:
    return line[:1] in (" ", "\t")
