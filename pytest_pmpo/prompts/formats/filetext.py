"""The bytes of a prompt file as text, with the way back from a character to its byte and line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

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
    """

    path: str
    data: bytes
    text: str
    lead: int = 0

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
        return self.lead + len(self.text[:index].encode("utf-8"))

    def span(self, start: int, end: int) -> Span:
        """The bytes of the characters ``[start, end)``."""
        return Span(self.byte(start), self.byte(end))

    def line(self, index: int) -> int:
        """1-based line of the character at ``index``."""
        return self.text.count("\n", 0, index) + 1

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
