"""The tags of a Handlebars or Mustache template, found in time linear in its length.

A regular expression would look for the end of every ``{{`` separately, which a file of braces makes quadratic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["tag", "triple", "comment", "raw"]


@dataclass(frozen=True, slots=True)
class Tag:
    """``text[start:end]``: a tag, a comment, or a raw block with all it holds.

    Attributes:
        inner: what stands between the braces, without white space control and outer spaces; empty for a raw block.
    """

    start: int
    end: int
    kind: Kind
    inner: str
    strips_before: bool = False
    strips_after: bool = False


def tags(text: str, start: int = 0, end: int | None = None) -> Iterator[Tag]:
    """Every tag in order. It stops where one is never closed: the engine says so when it renders."""
    end = len(text) if end is None else end
    at = start
    while True:
        at = text.find("{{", at, end)
        if at < 0:
            return
        if _escaped(text, at, start):
            at += 2
            continue
        tag = _raw(text, at, end) if text.startswith("{{{{", at) else _tag(text, at, end)
        if tag is None:
            return
        yield tag
        at = tag.end


def _escaped(text: str, at: int, start: int) -> bool:
    """Whether exactly one backslash stands before the braces; two are a backslash and a tag."""
    return at > start and text[at - 1] == "\\" and not (at - 1 > start and text[at - 2] == "\\")


def _raw(text: str, at: int, end: int) -> Tag | None:
    opened = text.find("}}}}", at + 4, end)
    words = text[at + 4 : max(opened, at + 4)].split()
    if opened < 0 or not words:
        return None
    close = "{{{{/" + words[0] + "}}}}"
    closed = text.find(close, opened + 4, end)
    return None if closed < 0 else Tag(at, closed + len(close), "raw", "")


def _tag(text: str, at: int, end: int) -> Tag | None:
    body = at + 3 if text.startswith("{{~", at) else at + 2
    if text.startswith("!--", body):
        closed = text.find("--", body + 3, end)
        while closed >= 0 and not text.startswith(("--}}", "--~}}"), closed):
            closed = text.find("--", closed + 1, end)
        if closed < 0:
            return None
        behind = text.index("}}", closed) + 2
        return Tag(at, behind, "comment", "", body == at + 3, text[behind - 3] == "~")
    closing = "}}}" if text.startswith("{", body) else "}}"
    closed = text.find("}}", body, end)
    if closed < 0:
        return None
    if closing == "}}}":
        closed = _triple_end(text, body, end)
        if closed < 0:
            return None
    behind = closed + (4 if text.startswith("}~}}", closed) else len(closing))
    inner = text[body:closed].strip("{~ \t\r\n").rstrip("~ \t\r\n")
    kind: Kind = "comment" if inner.startswith("!") else "triple" if closing == "}}}" else "tag"
    return Tag(at, behind, kind, inner, body == at + 3, text[behind - 3] == "~")


def _triple_end(text: str, body: int, end: int) -> int:
    plain, stripping = text.find("}}}", body, end), text.find("}~}}", body, end)
    return max(plain, stripping) if min(plain, stripping) < 0 else min(plain, stripping)
