"""What the writers of YAML text are given, and which characters they may write unescaped."""

from __future__ import annotations

import re
from dataclasses import dataclass

# what YAML 1.1 readers refuse or take for a line end: such characters survive only as escapes in double quotes;
# compiled at its first use, since so large a set takes milliseconds
_UNPRINTABLE = "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"

WIDTH = 80
"""Columns of text a changed paragraph is wrapped to where the old text was narrower."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scalar stands.

    Attributes:
        source: its characters in the file with line feeds as line ends, header or quotes included.
        value: what they mean.
        indent: columns to indent a block scalar that would begin here.
    """

    source: str
    value: str
    indent: int


def printable(text: str) -> bool:
    """Whether every YAML style may hold these characters."""
    return re.search(_UNPRINTABLE, text) is None
