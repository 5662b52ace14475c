"""Writing text as a YAML block scalar, literal (``|``) or folded (``>``), so that unchanged lines stay as they are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from pytest_pmpo.prompts.formats import folding
from pytest_pmpo.prompts.formats.yamlplace import WIDTH, Place

_HEADER = re.compile(r"[|>]([1-9]?)([+-]?)([1-9]?)(.*)\Z")


def literal(place: Place, text: str) -> Iterator[str]:
    """Every line as it is. Nothing is offered for a text without a visible line."""
    content = text.rstrip("\n")
    if not content:
        return
    header, body = _split(place, "|")
    indent = _indent_of(place, body)
    lines = text.removesuffix("\n").split("\n")
    written = [" " * indent + line if line else "" for line in lines]
    # a blank line may hold stray spaces that say nothing: where it stays, they stay
    matcher = difflib.SequenceMatcher(None, place.value.split("\n")[: len(body)], lines, autojunk=False)
    for tag, a0, _, b0, b1 in matcher.get_opcodes():
        if tag == "equal":
            written[b0:b1] = body[a0 : a0 + b1 - b0]
    yield from _with_headers(header or "|", text, written)


def folded(place: Place, text: str) -> Iterator[str]:
    """Wrapped lines; only a text that was folded before is folded again."""
    content = text.rstrip("\n")
    header, body = _split(place, ">")
    if not content or not header:
        return
    indent = _indent_of(place, body)
    bare = [line[indent:] for line in body]
    old = folding.unfold(bare, block=True)
    trailing = [""] * (len(text) - len(content) - 1)
    if "\n".join(line.text for line in old) == place.value.rstrip("\n"):
        width = max([WIDTH, *map(len, bare)])
        lines = folding.fold(folding.rewrite(old, content.split("\n"), width), block=True)
        yield from _with_headers(header, text, [*_indented(lines, indent), *trailing])
    unwrapped = folding.rewrite([], content.split("\n"), len(text))
    yield from _with_headers(header, text, [*_indented(folding.fold(unwrapped, block=True), indent), *trailing])


def _split(place: Place, indicator: str) -> tuple[str, list[str]]:
    if not place.source.startswith(indicator):
        return "", []
    header, *body = place.source.split("\n")
    return header, body


def _indent_of(place: Place, body: Sequence[str]) -> int:
    written = next((line for line in body if line.strip()), None)
    meant = next((line for line in place.value.split("\n") if line.strip()), None)
    if written is None or meant is None:
        return place.indent
    return max(1, _lead(written) - _lead(meant))


def _lead(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _indented(lines: Sequence[str], indent: int) -> list[str]:
    return [" " * indent + line if line else "" for line in lines]


def _with_headers(header: str, text: str, lines: Sequence[str]) -> Iterator[str]:
    """The lines under every header that may be right: the old one's chomping and indentation first."""
    found = _HEADER.match(header)
    digit, chomp, late_digit, rest = found.groups() if found else ("", "", "", "")
    body = "\n".join(lines)
    first = next(line for line in text.split("\n") if line)
    digits = [digit or late_digit]
    if first[0] in " \t" or text.startswith("\n"):
        digits += [str(n) for n in range(1, 10)]
    feeds = len(text) - len(text.rstrip("\n"))
    fitting = "-" if feeds == 0 else "" if feeds == 1 else "+"
    for mark in dict.fromkeys((chomp, fitting)):
        for number in dict.fromkeys(digits):
            yield f"{header[0]}{number}{mark}{rest}\n{body}"
