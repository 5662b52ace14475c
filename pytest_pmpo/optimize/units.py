"""A prompt's editable text cut into units by its structure: paragraphs, bullets, sentences. No model is asked.

Units are fine at first and are then joined, smallest neighbours first, until at most ``limit`` are left, so that they
always cover the whole prose. Text with a placeholder or a control tag is a unit of its own that is *protected*: it is
never masked, deleted or moved, because without its input a prompt is another task.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from pytest_pmpo.optimize import placeholders
from pytest_pmpo.prompts.model import Engine, Prompt, Role

UnitKind = Literal["paragraph", "bullet", "sentence", "example"]

EDITABLE_ROLES: tuple[Role, ...] = ("system", "user")
"""Assistant and tool turns are examples of what the model said; rewriting them would falsify them."""

EXAMPLE = "Example:"
"""First line of a worked example; the paragraph it opens is one unit."""

_LABEL_CHARACTERS = 40
"""A line up to this long that ends no sentence (``Text:``, ``Label:``) belongs to the input it stands beside."""

_BLANK = re.compile(r"\n[ \t]*\n\s*")
_BULLET = re.compile(r"\n(?=[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S)")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*(\s+)(?=[\"'(\[<{]?[A-Z0-9<{\[`])|(\n)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|Mr|Mrs|Dr|No|approx)|(?:^|\n|\s)\d{1,3}|\b[A-Z])\.$")


@dataclass(frozen=True, slots=True)
class Field:
    """An editable segment of an editable turn."""

    message: int
    segment: int
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A run of characters ``[start, end)`` of one field, without the white space around it."""

    message: int
    segment: int
    start: int
    end: int
    kind: UnitKind
    text: str
    protected: bool = False
    block: int = 0


def fields(prompt: Prompt) -> tuple[Field, ...]:
    """The segments an optimizer may write to, in order; empty ones, other files' and the assistant's are left out."""
    return tuple(
        Field(m, s, message.role, segment.text)
        for m, message in enumerate(prompt.messages)
        if message.role in EDITABLE_ROLES
        for s, segment in enumerate(message.segments)
        if segment.editable and segment.path is None and segment.text.strip()
    )


def segment(prompt: Prompt, limit: int) -> tuple[Unit, ...]:
    """At most ``limit`` unprotected units (and every protected one), in reading order.

    Where fields alone outnumber the limit, the longest units are kept and the rest is left unmeasured.
    """
    units = [unit for field in fields(prompt) for unit in _field_units(field, prompt.engine)]
    while sum(not unit.protected for unit in units) > limit:
        joined = _join_smallest(units, prompt)
        if joined is None:
            longest = sorted((u for u in units if not u.protected), key=lambda u: -len(u.text))[:limit]
            return tuple(u for u in units if u.protected or u in longest)
        units = joined
    return tuple(units)


def _field_units(field: Field, engine: Engine) -> list[Unit]:
    cuts: list[tuple[int, int, UnitKind, int]] = []
    for block, (start, end) in enumerate(_split(field.text, 0, len(field.text), _BLANK)):
        if field.text.startswith(EXAMPLE, start):
            cuts.append((start, end, "example", block))
            continue
        bullets = _split(field.text, start, end, _BULLET)
        for number, (b_start, b_end) in enumerate(bullets):
            if len(bullets) > 1 and (number > 0 or _BULLET.match("\n" + field.text[b_start:b_end])):
                cuts.append((b_start, b_end, "bullet", block))
                continue
            sentences = _split(field.text, b_start, b_end, _SENTENCE)
            kind: UnitKind = "sentence" if len(sentences) > 1 else "paragraph"
            cuts.extend((s_start, s_end, kind, block) for s_start, s_end in sentences)
    return _keep_whole(cuts, field, engine)


def _split(text: str, start: int, end: int, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    """Ranges between the matches of ``pattern`` in ``text[start:end]``, white space trimmed, empty ones left out."""
    points = [start]
    for match in pattern.finditer(text, start, end):
        if pattern is _SENTENCE and _ABBREVIATION.search(text[max(start, match.start() - 12) : match.start()]):
            continue
        points.append(match.end())
    trimmed = (_trim(text, a, b) for a, b in zip(points, [*points[1:], end], strict=True))
    return [(a, b) for a, b in trimmed if a < b]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _keep_whole(cuts: list[tuple[int, int, UnitKind, int]], field: Field, engine: Engine) -> list[Unit]:
    """Units from cuts, those joined that a tag, a template block, a code fence or a label holds together."""
    whole = placeholders.uncuttable(field.text, engine)
    units: list[Unit] = []
    for start, end, kind, block in cuts:
        unit = _unit(field, engine, start, end, kind, block)
        while units and (any(a < unit.start < b for a, b in whole) or _labels(units[-1], unit)):
            last = units.pop()
            unit = _unit(field, engine, last.start, end, last.kind, last.block)
        units.append(unit)
    return units


def _unit(field: Field, engine: Engine, start: int, end: int, kind: UnitKind, block: int) -> Unit:
    text = field.text[start:end]
    # quoted text in an example may look like tags; the escape around it is no placeholder
    protected = kind != "example" and placeholders.has_tag(text, engine)
    return Unit(field.message, field.segment, start, end, kind, text, protected, block)


def _labels(a: Unit, b: Unit) -> bool:
    """Whether one of two neighbours in a paragraph holds the input and the other is its label."""
    if a.block != b.block or a.protected == b.protected:
        return False
    prose = b if a.protected else a
    return len(prose.text) <= _LABEL_CHARACTERS and not re.search(r"[.!?]\W*$", prose.text)


def _join_smallest(units: Sequence[Unit], prompt: Prompt) -> list[Unit] | None:
    """The two unprotected neighbours of one field that are shortest together become one; same paragraph first."""
    pairs = [
        (a.block != b.block, b.end - a.start, i)
        for i, (a, b) in enumerate(pairwise(units))
        if (a.message, a.segment) == (b.message, b.segment) and _joinable(a) and _joinable(b)
    ]
    if not pairs:
        return None
    _, _, i = min(pairs)
    a, b = units[i], units[i + 1]
    text = prompt.messages[a.message].segments[a.segment].text[a.start : b.end]
    kind = a.kind if a.kind == b.kind and a.block == b.block else "paragraph"
    return [*units[:i], replace(a, end=b.end, text=text, kind=kind), *units[i + 2 :]]


def _joinable(unit: Unit) -> bool:
    return not unit.protected and unit.kind != "example"


def replace_unit(prompt: Prompt, unit: Unit, text: str) -> Prompt:
    """The prompt with the unit's characters replaced; the white space around it stays."""
    old = prompt.messages[unit.message].segments[unit.segment].text
    return prompt.with_text(unit.message, unit.segment, old[: unit.start] + text + old[unit.end :])


def delete_unit(prompt: Prompt, unit: Unit) -> Prompt:
    """The prompt without the unit and without the white space that set it apart, so that no hole is left."""
    old = prompt.messages[unit.message].segments[unit.segment].text
    before, after = old[: unit.start], old[unit.end :]
    if after.strip():
        # of the two gaps the wider one (more line breaks) is kept: the next paragraph stays a paragraph
        gap_before, gap_after = before[len(before.rstrip()) :], after[: len(after) - len(after.lstrip())]
        gap = max(gap_before, gap_after, key=lambda g: (g.count("\n"), len(g))) if before.strip() else gap_before
        text = before.rstrip() + gap + after.lstrip() if before.strip() else gap + after.lstrip()
    else:
        text = before.rstrip() + after
    return prompt.with_text(unit.message, unit.segment, text)
