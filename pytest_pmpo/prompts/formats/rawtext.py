"""Text that stands in a file as it is: no quoting, no indentation, only line ends to take care of."""

from __future__ import annotations

import difflib
import re

from pytest_pmpo.errors import EditError
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.model import Segment, Span

STYLE = "plain"


def normalized(text: str) -> str:
    """Text with every CRLF as one line feed, as templates and models see it."""
    return text.replace("\r\n", "\n")


def segment(file: FileText, start: int, end: int) -> Segment:
    """The characters ``[start, end)`` of a file as an editable segment."""
    return Segment(normalized(file.text[start:end]), span=file.span(start, end), style=STYLE)


def trim(text: str, start: int, end: int, characters: str | None) -> tuple[int, int]:
    """``[start, end)`` without the given characters (None: any white space) at either side."""
    left = text[start:end].lstrip(characters)
    start = end - len(left)
    return start, start + len(left.rstrip(characters))


def with_line_ends(old: str, new: str, eol: str) -> str:
    """``new`` (line feeds only) with line ends: a line that is also in ``old`` keeps its own, another gets ``eol``."""
    before = _lines(old)
    after = new.split("\n")
    ends = [eol] * len(after)
    matcher = difflib.SequenceMatcher(None, [line for line, _ in before], after, autojunk=False)
    for tag, a0, _, b0, b1 in matcher.get_opcodes():
        if tag == "equal":
            for i in range(b1 - b0):
                ends[b0 + i] = before[a0 + i][1] or eol
    return "".join(line + end for line, end in zip(after[:-1], ends, strict=False)) + after[-1]


def encode_segment(segment: Segment, text: str, data: bytes, file: FileText) -> bytes:
    """The bytes for ``segment.span`` that hold ``text`` raw.

    Raises:
        EditError: the text has a carriage return, which a text file cannot hold apart from its line ends.
    """
    if "\r" in text:
        raise EditError("a carriage return cannot be written into this file", location=file.at(0))
    span = segment.span or Span(0, 0)
    old = data[span.start : span.end].decode("utf-8")
    return with_line_ends(old, text, file.eol).encode("utf-8")


def _lines(text: str) -> list[tuple[str, str]]:
    parts = re.split(r"(\r\n|\n)", text)
    return [(parts[i], parts[i + 1] if i + 1 < len(parts) else "") for i in range(0, len(parts), 2)]
