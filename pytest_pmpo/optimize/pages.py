"""What of a prompt a language model is given to rewrite, and how its text goes back into the prompt.

Two scopes. ``instructions``: the longest run of prose without a placeholder; the rest cannot get lost, and lines that
fix the answer's form are put back at the end where they did, which small models need. ``whole``: all editable text,
with a heading for each turn where there are several; the headings have to come back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from pytest_pmpo.optimize.constraints import lost_format_lines
from pytest_pmpo.optimize.units import Field, Unit, fields, segment
from pytest_pmpo.prompts.model import Prompt

Scope = Literal["instructions", "whole"]

_LEAST = 20
"""Characters a run must have to be worth rewriting alone."""

_HEADING = re.compile(r"^=== turn (\d+) \((?:system|user)\) ===[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """Text to rewrite. ``put(new)`` gives the prompt with the new text in place, or None if turns are missing."""

    text: str
    put: Callable[[str], Prompt | None]


def page(prompt: Prompt, scope: Scope) -> Page | None:
    """The text to rewrite in this scope, or None where nothing is editable."""
    found = fields(prompt)
    if not found:
        return None
    if scope == "instructions":
        run = _longest_run(prompt)
        if run is not None:
            return _run_page(prompt, *run)
    return _field_page(prompt, found[0]) if len(found) == 1 else _turns_page(prompt, found)


def _longest_run(prompt: Prompt) -> tuple[Unit, Unit] | None:
    """First and last of the neighbouring unprotected units that are longest together."""
    runs = []
    for _, group in groupby(segment(prompt, 10_000), key=lambda unit: (unit.message, unit.segment, unit.protected)):
        members = list(group)
        if not members[0].protected:
            runs.append((members[0], members[-1]))
    if not runs:
        return None
    first, last = max(runs, key=lambda run: run[1].end - run[0].start)
    return (first, last) if last.end - first.start >= _LEAST else None


def _run_page(prompt: Prompt, first: Unit, last: Unit) -> Page:
    text = prompt.messages[first.message].segments[first.segment].text

    run = text[first.start : last.end]

    def put(new: str) -> Prompt:
        whole = "\n".join((new, *lost_format_lines(run, new)))
        return prompt.with_text(first.message, first.segment, text[: first.start] + whole + text[last.end :])

    return Page(run, put)


def _field_page(prompt: Prompt, field: Field) -> Page:
    stripped = field.text.strip()
    lead = field.text[: len(field.text) - len(field.text.lstrip())]
    trail = field.text[len(field.text.rstrip()) :]

    def put(new: str) -> Prompt:
        return prompt.with_text(field.message, field.segment, lead + new.strip() + trail)

    return Page(stripped, put)


def _turns_page(prompt: Prompt, found: tuple[Field, ...]) -> Page:
    text = "\n\n".join(f"=== turn {n} ({field.role}) ===\n{field.text.strip()}" for n, field in enumerate(found, 1))

    def put(new: str) -> Prompt | None:
        pieces = _HEADING.split(new)
        if pieces[0].strip() or pieces[1::2] != [str(n) for n in range(1, len(found) + 1)]:
            return None
        changed = prompt
        for field, piece in zip(found, pieces[2::2], strict=True):
            if not piece.strip():
                return None
            rewritten = _field_page(changed, field).put(piece)
            assert rewritten is not None
            changed = rewritten
        return changed

    return Page(text, put)
