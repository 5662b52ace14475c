"""Units as a language model marks them: the segmenter of the paper, as an alternative to cutting by structure."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_pmpo.optimize import metaprompts, placeholders
from pytest_pmpo.optimize.answers import parse
from pytest_pmpo.optimize.units import Field, Unit, fields
from pytest_pmpo.prompts.model import Prompt, Turn

_MARK = re.compile(r"</?mask>", re.IGNORECASE)
_LONGEST = 50_000


def question(prompt: Prompt, limit: int, overrides: Path | None = None) -> tuple[Turn, ...] | None:
    """Asks for marks in the longest editable field, or None where there is none."""
    field = _field(prompt)
    if field is None:
        return None
    return metaprompts.question("segment", {"prompt": field.text.strip(), "limit": limit}, overrides)


def read(prompt: Prompt, answer: str, limit: int) -> tuple[Unit, ...]:
    """The marked units, in order; none if the marks nest or the text between them is not the prompt's.

    Marked text is looked for in the prompt from the last unit on; white space may differ, words may not. A unit with a
    placeholder is protected, as it is when cut by structure.
    """
    field = _field(prompt)
    found = parse(answer, longest=_LONGEST)
    if field is None or found.text is None:
        return ()
    pieces = _MARK.split(found.text)
    marks = [mark.lower() for mark in _MARK.findall(found.text)]
    if marks != ["<mask>", "</mask>"] * (len(marks) // 2):
        return ()
    units: list[Unit] = []
    position = 0
    for text in pieces[1::2][:limit]:
        words = text.split()
        match = re.compile(r"\s+".join(map(re.escape, words))).search(field.text, position) if words else None
        if match is None:
            return ()
        position = match.end()
        tagged = placeholders.has_tag(match[0], prompt.engine)
        units.append(
            Unit(field.message, field.segment, match.start(), match.end(), "paragraph", match[0], tagged, len(units))
        )
    whole = placeholders.uncuttable(field.text, prompt.engine)
    cut = any(start < edge < end for unit in units for edge in (unit.start, unit.end) for start, end in whole)
    return () if cut else tuple(units)


def _field(prompt: Prompt) -> Field | None:
    return max(fields(prompt), key=lambda field: len(field.text), default=None)
