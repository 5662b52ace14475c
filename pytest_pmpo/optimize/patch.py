"""Old and new bytes of a file → a patch that ``git apply`` accepts, made without git."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

CONTEXT = 3

_NO_NEWLINE = b"\n\\ No newline at end of file\n"
_ESCAPES = {ord("\t"): b"\\t", ord("\n"): b"\\n", ord("\r"): b"\\r", ord('"'): b'\\"', ord("\\"): b"\\\\"}


def make_patch(path: str, old: bytes, new: bytes) -> bytes:
    """A patch for one file; empty if nothing changed.

    Lines end at ``\\n`` and nowhere else, so carriage returns and form feeds stay what they are.

    Args:
        path: relative to the top of the repository, POSIX separators.
    """
    if old == new:
        return b""
    before, after = _lines(old), _lines(new)
    a, b = _name(b"a/", path), _name(b"b/", path)
    head = b"diff --git " + a + b" " + b + b"\n--- " + _header(a) + b"\n+++ " + _header(b) + b"\n"
    return head + b"".join(_hunks(before, after))


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    rest = lines.pop()
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _hunks(before: list[bytes], after: list[bytes]) -> Iterator[bytes]:
    for group in SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(CONTEXT):
        i1, i2, j1, j2 = group[0][1], group[-1][2], group[0][3], group[-1][4]
        yield b"@@ -%s +%s @@\n" % (_range(i1, i2), _range(j1, j2))
        for tag, start, end, new_start, new_end in group:
            if tag == "equal":
                yield from (_line(b" ", line) for line in before[start:end])
                continue
            yield from (_line(b"-", line) for line in before[start:end])
            yield from (_line(b"+", line) for line in after[new_start:new_end])


def _range(start: int, end: int) -> bytes:
    length = end - start
    begin = start + 1 if length else start  # an empty range is named by the line before it
    return b"%d" % begin if length == 1 else b"%d,%d" % (begin, length)


def _line(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else sign + line + _NO_NEWLINE


def _name(prefix: bytes, path: str) -> bytes:
    """A path as git writes it: quoted where it holds a quote, a backslash or a control character."""
    raw = prefix + path.encode("utf-8", "surrogateescape")
    if not any(byte < 32 or byte == 127 or byte in b'"\\' for byte in raw):
        return raw
    quoted = b"".join(
        _ESCAPES.get(byte, b"\\%03o" % byte if byte < 32 or byte == 127 else bytes([byte])) for byte in raw
    )
    return b'"' + quoted + b'"'


def _header(name: bytes) -> bytes:
    """In ``---`` and ``+++`` lines a name with a space is closed by a tab, else its end could not be told."""
    return name + b"\t" if b" " in name and not name.startswith(b'"') else name
