"""The YAML between two ``---`` lines before a prompt's text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_pmpo.errors import FormatError
from pytest_pmpo.prompts.formats.filetext import FileText

_OPEN = re.compile(r"(?:[ \t]*\r?\n)*(---|\+\+\+)[ \t]*(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """Character ranges of a file: the YAML ``[start, end)``, and where the body begins."""

    start: int
    end: int
    body: int


def split(file: FileText, begin: int = 0) -> FrontMatter | None:
    """Where the front matter is, looking from character ``begin``; None where the file opens with something else.

    Raises:
        FormatError: it is opened and never closed.
    """
    opened = _OPEN.match(file.text, begin)
    if opened is None:
        return None
    fence = re.escape(opened.group(1))
    closed = re.compile(rf"^{fence}[ \t]*(?:\r?\n|\Z)", re.MULTILINE).search(file.text, opened.end())
    if closed is None:
        raise FormatError(
            f"the front matter opens with {opened.group(1)} and is never closed",
            location=file.at(opened.start(1)),
            hint=f"put a line with {opened.group(1)} behind it",
        )
    return FrontMatter(opened.end(), closed.start(), closed.end())
