"""On which line of a TOML file a key stands, for error messages; ``tomllib`` forgets it.

A small scanner over text that ``tomllib`` has already accepted: it follows table headers, dotted and quoted keys, and
steps over strings, comments, arrays and inline tables, so that a key inside a string is never taken for a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

Path = tuple[str | int, ...]
"""Keys from the root, with the 0-based index of an array-of-tables entry: ``("tool", "pmpo", "override", 0)``."""

_TRIPLE = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}', re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'')
_COMMENT = re.compile(r"#[^\n]*")
_KEY_PART = re.compile(r'\s*(?:"((?:\\.|[^"\\\n])*)"|\'([^\'\n]*)\'|([A-Za-z0-9_-]+))\s*')


def find_line(text: str, path: Sequence[str | int]) -> int | None:
    """The 1-based line of the longest part of ``path`` the text shows; None where it shows none of it.

    A key of an inline table, or an element of an array, is given the line of the key that holds it.
    """
    wanted = tuple(path)
    best: tuple[int, int] | None = None
    for line, shown in keys(text):
        depth = len(shown)
        if shown == wanted[:depth] and (best is None or depth > best[0]):
            best = (depth, line)
    return None if best is None else best[1]


def keys(text: str) -> Iterator[tuple[int, Path]]:
    """Every table header and every key of ``text`` with its line, in order of appearance."""
    table: Path = ()
    counts: dict[Path, int] = {}
    position = 0
    while position < len(text):
        start = position
        if text[position] in " \t\r\n":
            position += 1
        elif text[position] == "#":
            position = _match_end(_COMMENT, text, position)
        elif text[position] == "[":
            array = text.startswith("[[", position)
            parts, position = _key(text, position + (2 if array else 1))
            table = _resolve(parts, counts)
            if array:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield _line(text, start), table
            position = _end_of_line(text, position)
        else:
            parts, position = _key(text, position)
            yield _line(text, start), (*table, *parts)
            position = _after_value(text, position)


def _resolve(parts: Sequence[str], counts: dict[Path, int]) -> Path:
    """A header's path, with the newest index behind every array of tables it passes through."""
    path: Path = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if path in counts and i < len(parts) - 1:
            path = (*path, counts[path])
    return path


def _key(text: str, position: int) -> tuple[list[str], int]:
    """A bare, quoted or dotted key at ``position``, and where it ends."""
    parts: list[str] = []
    while match := _KEY_PART.match(text, position):
        parts.append(next(group for group in match.groups() if group is not None))
        position = match.end()
        if not text.startswith(".", position):
            break
        position += 1
    return parts, position


def _after_value(text: str, position: int) -> int:
    """The end of the line on which the value that starts behind ``position`` ends."""
    depth = 0
    while position < len(text):
        character = text[position]
        if character in "\"'":
            position = _string_end(text, position)
            continue
        if character == "#":
            position = _match_end(_COMMENT, text, position)
            continue
        if character == "\n" and depth == 0:
            return position + 1
        depth += (character in "[{") - (character in "]}")
        position += 1
    return position


def _string_end(text: str, position: int) -> int:
    match = _TRIPLE.match(text, position) or _STRING.match(text, position)
    return match.end() if match else position + 1


def _match_end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position + 1


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
