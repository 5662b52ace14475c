"""Where a template holds something that is not prose: placeholders, control tags, code fences.

An edit may move text around these but never lose one, and never cut through one. The patterns find tags, they do not
judge them; whether a template is valid is for ``prompts/render.py`` to say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pytest_pmpo.prompts.model import Engine

TagKind = Literal["value", "open", "middle", "close", "single"]

_JINJA = re.compile(
    r"\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL
)
_BRACES = re.compile(r"\{\{\{.*?\}\}\}|\{\{.*?\}\}", re.DOTALL)
_FSTRING = re.compile(r"(?<!\{)(?:\{\{)*(\{[^{}]*\})(?!\})")
_JINJA_OPENS = ("if", "for", "block", "macro", "call", "filter", "with", "autoescape", "trans")
_JINJA_MIDDLE = ("else", "elif")
_FENCE = re.compile(r"^[ \t]*(```|~~~)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of a template: ``text[start:end]`` with white space inside squeezed, and what it does to nesting."""

    start: int
    end: int
    text: str
    kind: TagKind


def tags(text: str, engine: Engine) -> Iterator[Tag]:
    """Every tag in order. Engine ``none`` has none."""
    if engine == "none":
        return
    if engine == "fstring":
        for match in _FSTRING.finditer(text):
            yield Tag(match.start(1), match.end(1), match[1], "value")
        return
    pattern = _JINJA if engine == "jinja2" else _BRACES
    for match in pattern.finditer(text):
        squeezed = re.sub(r"\s+", "", match[0]) if engine != "jinja2" else _squeeze_jinja(match[0])
        yield Tag(match.start(), match.end(), squeezed, _kind(match[0], engine))


def _squeeze_jinja(tag: str) -> str:
    """``{{- x  |  upper }}`` → ``{{x | upper}}``: the trimming marks and outer spaces do not change what it says."""
    inner = re.sub(r"\s+", " ", tag[2:-2].strip("-+ \t\r\n"))
    return tag[:2] + inner + tag[-2:]


def _kind(tag: str, engine: Engine) -> TagKind:
    if engine == "jinja2":
        return _jinja_kind(tag)
    inner = tag.strip("{}~ \t\r\n")
    if inner.startswith(("#", "^")):
        return "open"
    if inner.startswith("/"):
        return "close"
    if inner == "else" or inner.startswith("else "):
        return "middle"
    return "single" if inner.startswith(("!", ">")) or inner.split(" ")[0] in ("role", "history", "media") else "value"


def _jinja_kind(tag: str) -> TagKind:
    if tag.startswith("{{"):
        return "value"
    if tag.startswith("{#"):
        return "single"
    word = tag[2:-2].strip("-+ \t\r\n").split(" ")[0].split("(")[0]
    if word.startswith("end"):
        return "close"
    if word in _JINJA_MIDDLE:
        return "middle"
    if word == "raw":
        return "single"  # the pattern takes it with all it holds: quoted text is no template
    if word in _JINJA_OPENS or (word == "set" and "=" not in tag):
        return "open"
    return "single"


def values(text: str, engine: Engine) -> Counter[str]:
    """Placeholders that print something, squeezed, with how often each stands."""
    return Counter(tag.text for tag in tags(text, engine) if tag.kind == "value")


def controls(text: str, engine: Engine) -> Counter[str]:
    """Tags that steer (conditions, loops, includes, role tags); comments and quoted text do not count."""
    silent = ("{#", "{{!", "{%raw")
    return Counter(tag.text for tag in tags(text, engine) if tag.kind != "value" and not tag.text.startswith(silent))


def has_tag(text: str, engine: Engine) -> bool:
    """Whether any tag stands in the text."""
    return next(tags(text, engine), None) is not None


def uncuttable(text: str, engine: Engine) -> list[tuple[int, int]]:
    """Half-open character ranges no edit may begin or end inside: tags, the inside of blocks, code fences. Sorted."""
    ranges: list[tuple[int, int]] = []
    depth, opened = 0, 0
    for tag in tags(text, engine):
        ranges.append((tag.start, tag.end))
        if tag.kind == "open":
            opened = tag.start if depth == 0 else opened
            depth += 1
        elif tag.kind == "close" and depth:
            depth -= 1
            if depth == 0:
                ranges.append((opened, tag.end))
    if depth:
        ranges.append((opened, len(text)))
    fences = [match.start() for match in _FENCE.finditer(text)]
    if len(fences) % 2:
        fences.append(len(text))
    for number, (start, end) in enumerate(pairwise(fences)):
        if number % 2 == 0:
            line_end = text.find("\n", end)
            ranges.append((start, len(text) if line_end < 0 else line_end))
    return sorted(ranges)


def escape(text: str, engine: Engine) -> str | None:
    """``text`` written so that the engine prints it as it is, or None where the engine has no way to say it."""
    if engine == "none":
        return text
    if engine == "fstring":
        return text.replace("{", "{{").replace("}", "}}")
    if engine == "jinja2":
        if not any(mark in text for mark in ("{{", "{%", "{#")):
            return text
        return None if re.search(r"\{%[-+]?\s*endraw", text) else "{% raw %}" + text + "{% endraw %}"
    return None if "{{" in text else text
