"""Globs over paths relative to the repository root, the same for the working tree, for a commit and for discovery."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

_MAGIC = re.compile(r"[*?\[]")


def has_magic(pattern: str) -> bool:
    """Whether ``pattern`` is a glob and not a path."""
    return _MAGIC.search(pattern) is not None


def fixed_folder(pattern: str) -> str:
    """The folder in front of the first wildcard, ``""`` for the root: where a walk for ``pattern`` may start."""
    parts = pattern.split("/")
    fixed = next((index for index, part in enumerate(parts[:-1]) if has_magic(part)), len(parts) - 1)
    return "/".join(parts[:fixed])


@lru_cache(maxsize=256)
def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for whole relative POSIX paths.

    ``*`` and ``?`` stay within one path part, ``**`` as a part stands for any number of them (none too), ``[…]`` is a
    set of characters. Dot files match like others. A set that is not closed is text.
    """
    parts = pattern.split("/")
    regex = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            regex += ".*" if last else "(?:[^/]+/)*"
        else:
            regex += _part(part) + ("" if last else "/")
    found = re.compile(regex + r"\Z", re.DOTALL)
    return lambda path: found.match(path) is not None


def _part(part: str) -> str:
    regex, at = "", 0
    while at < len(part):
        sign = part[at]
        close = part.find("]", at + 2) if sign == "[" else -1
        if sign == "*":
            regex += "[^/]*"
            while part[at + 1 : at + 2] == "*":  # a run of stars is one: many would take exponential time
                at += 1
        elif sign == "?":
            regex += "[^/]"
        elif close > 0:
            regex += _set(part[at + 1 : close])
            at = close
        else:
            regex += re.escape(sign)
        at += 1
    return regex


def _set(inner: str) -> str:
    negate, inner = ("^/", inner[1:]) if inner[0] in "!^" and len(inner) > 1 else ("", inner)
    ranges = re.sub(r"[\\\]\[^&~|]", r"\\\g<0>", inner)
    try:
        re.compile(f"[{negate}{ranges}]")
    except re.error:  # a range that runs backwards matches nothing in a shell either
        return "(?!)"
    return f"[{negate}{ranges}]"
