"""Marks that git leaves in a file whose merge is not finished."""

from __future__ import annotations

import re

_CONFLICT = re.compile(r"^<{7} .*?^={7}$.*?^>{7} ", re.MULTILINE | re.DOTALL)
"""All three marks, in order and at the beginning of a line; a ruler of ``=`` alone is none."""


def conflict_line(text: str) -> int | None:
    """The line a merge conflict begins at, counted from 1, or None.

    Args:
        text: with any line ends.
    """
    found = _CONFLICT.search(text.replace("\r\n", "\n"))
    return None if found is None else found.string.count("\n", 0, found.start()) + 1
