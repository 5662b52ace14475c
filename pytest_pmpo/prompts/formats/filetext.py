"""The bytes of a prompt file as text, with the way back from a character to its byte and line."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from dataclasses import dataclass, field

from pytest_pmpo.errors import FormatError, Location
from pytest_pmpo.prompts.model import Span

BOM = b"\xef\xbb\xbf"
MAX_BYTES = 4 * 1024 * 1024
"""Larger prompt files are refused: nothing a person writes comes near, and every parser below stays fast."""


@dataclass(frozen=True, slots=True)
class FileText:
    """A decoded file.

    Attributes:
        path: for locations.
        data: the file's bytes.
        text: their characters, line ends as they are, without a byte order mark.
        lead: bytes before the first character (3 with a byte order mark).
        first: number of the first line; more than 1 for a line out of a longer file.
    """

    path: str
    data: bytes
    text: str
    lead: int = 0
    first: int = 1
    # what was asked last, so that places asked for in order cost the file's length once, not once each
    _lines: list[int] = field(default_factory=list, compare=False, repr=False)
    _last: list[int] = field(default_factory=lambda: [0, 0], compare=False, repr=False)

    @property
    def digest(self) -> str:
        """sha256 of the bytes, hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def eol(self) -> str:
        """The line end most lines of the file use."""
        crlf = self.text.count("\r\n")
        return "\r\n" if crlf * 2 > self.text.count("\n") else "\n"

    def byte(self, index: int) -> int:
        """Byte offset in the file of the character at ``index``."""
        if self.text.isascii():
            return self.lead + index
        at, offset = self._last if self._last[0] <= index else (0, 0)
        offset += len(self.text[at:index].encode("utf-8"))
        self._last[:] = index, offset
        return self.lead + offset

    def index(self, byte: int) -> int:
        """The character at a byte offset of the file; the inverse of ``byte``."""
        return len(self.data[self.lead : byte].decode("utf-8", "replace"))

    def span(self, start: int, end: int) -> Span:
        """The bytes of the characters ``[start, end)``."""
        return Span(self.byte(start), self.byte(end))

    def line(self, index: int) -> int:
        """1-based line of the character at ``index``."""
        if not self._lines:
            self._lines.extend([-1, *(found.start() for found in re.finditer("\n", self.text))])
        return self.first + bisect_left(self._lines, index) - 1

    def at(self, index: int) -> Location:
        """Location of the character at ``index``."""
        return Location(self.path, self.line(index))


def decode(path: str, data: bytes) -> FileText:
    """The file as text.

    Raises:
        FormatError: the file is not UTF-8, or larger than ``MAX_BYTES``.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(
            f"the file has {len(data)} bytes; a prompt file may have {MAX_BYTES}", location=Location(path, 1)
        )
    lead = len(BOM) if data.startswith(BOM) else 0
    try:
        return FileText(path, data, data[lead:].decode("utf-8"), lead)
    except UnicodeDecodeError as error:
        at = lead + error.start
        raise FormatError(
            f"the file is not UTF-8: byte 0x{data[at]:02x} at offset {at}",
            location=Location(path, data.count(b"\n", 0, at) + 1),
            hint="save it as UTF-8",
        ) from None


def is_blank(text: str) -> bool:
    """Whether nothing but white space is in ``text``."""
    return not text.strip()
