"""What a candidate must keep: placeholders, template tags, turns, output-format lines, a sane length.

A candidate that breaks one is dropped and counted by its reason. Text that a candidate shares with a fixture is no
reason to drop it but is flagged, so that a reader sees what the loss may have been bought with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_pmpo.optimize import placeholders
from pytest_pmpo.optimize.records import Copy
from pytest_pmpo.optimize.units import fields
from pytest_pmpo.prompts.edit import is_added
from pytest_pmpo.prompts.model import Choice, Engine, Expected, Fixture, Preference, Prompt

COPIED_WORDS = 8
"""Consecutive words shared with a fixture that count as copied; shorter runs are common phrases."""

_FORMAT_VERB = re.compile(
    r"\b(?:answer|respond|reply|output|return|print|write|give|format|use|end|finish|start|begin)\b[^.\n]*"
    r"\b(?:only|just|exactly|single|json|xml|yaml|csv|markdown|format|letter|word|number|option|label|digits?|lines?|"
    r"schema|tags?|without|no (?:other|extra|further)|nothing (?:else|more))\b",
    re.IGNORECASE,
)
_FORMAT_NAME = re.compile(r"\b(?:output|answer|response) (?:format|schema)\b|^\s*(?:format|output)\s*:", re.IGNORECASE)
_WORD = re.compile(r"\w+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Constraints:
    """What is asked of every candidate.

    Attributes:
        max_growth: longest editable text as a multiple of the incumbent's (short prompts may always grow to
            ``floor_characters``).
        keep_format_lines: lines that say how the answer must look have to survive word for word.
    """

    max_growth: float = 4.0
    floor_characters: int = 2_000
    keep_format_lines: bool = True

    def broken(self, incumbent: Prompt, candidate: Prompt) -> str | None:
        """The first constraint the candidate breaks, in a few words, or None."""
        # few-shot turns are put in by us, and written into the file as they are
        if [m.role for m in candidate.messages if not is_added(m)] != [m.role for m in incumbent.messages]:
            return "a turn was added, lost or changed its role"
        old, new = _joined(incumbent), _joined(candidate)
        if not new.strip():
            return "empty"
        if len(new) > max(self.max_growth * len(old), self.floor_characters):
            return "too long"
        return self._tags_broken(old, new, incumbent.engine) or self._format_broken(old, new)

    def _tags_broken(self, old: str, new: str, engine: Engine) -> str | None:
        had, has = placeholders.values(old, engine), placeholders.values(new, engine)
        if set(had) - set(has):
            return "placeholder lost"
        if set(has) - set(had):
            return "placeholder invented"
        if placeholders.controls(old, engine) != placeholders.controls(new, engine):
            return "template tag lost or invented"
        return None

    def _format_broken(self, old: str, new: str) -> str | None:
        return "output-format line lost" if self.keep_format_lines and lost_format_lines(old, new) else None


def format_lines(text: str) -> tuple[str, ...]:
    """Sentences and lines that say what the answer must look like."""
    pieces = [piece.strip() for line in text.splitlines() for piece in re.split(r"(?<=[.!?])\s+(?=\S)", line)]
    return tuple(p for p in pieces if p and (_FORMAT_VERB.search(p) or _FORMAT_NAME.search(p)))


def lost_format_lines(old: str, new: str) -> tuple[str, ...]:
    """Format lines of ``old`` whose words ``new`` does not hold in a row."""
    kept = _squeeze(new)
    return tuple(line for line in format_lines(old) if _squeeze(line) not in kept)


def _squeeze(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _joined(prompt: Prompt) -> str:
    return "\n".join(message.text for message in prompt.messages)


def fixture_texts(fixture: Fixture) -> tuple[str, ...]:
    """Input values and answers of a fixture, as text."""
    return (*(as_text(value) for value in fixture.vars.values()), *label_texts(fixture))


def as_text(value: object) -> str:
    """An input value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def label_texts(fixture: Fixture) -> tuple[str, ...]:
    """Every answer a fixture names, right ones first."""
    label = fixture.label
    if isinstance(label, Expected):
        return (label.text,)
    if isinstance(label, Preference):
        return (*label.chosen, *label.rejected)
    assert isinstance(label, Choice)
    return (label.choices[label.expected], *(c for i, c in enumerate(label.choices) if i != label.expected))


def copied(
    incumbent: Prompt, candidate: Prompt, fixtures: Iterable[Fixture], demos: Sequence[str] = ()
) -> tuple[Copy, ...]:
    """Runs of at least ``COPIED_WORDS`` words the candidate shares with a fixture and the incumbent does not.

    Fixtures quoted on purpose (``demos``) are not reported. One run, the longest, per fixture.
    """
    old, new = _joined(incumbent), _joined(candidate)
    mine = shingles(new, COPIED_WORDS) - shingles(old, COPIED_WORDS)
    if not mine:
        return ()
    found = []
    for fixture in fixtures:
        if fixture.id in demos:
            continue
        runs = [run for text in fixture_texts(fixture) for run in _shared_runs(text, mine)]
        if runs:
            found.append(Copy(fixture.id, max(runs, key=len)))
    return tuple(found)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def shingles(text: str, length: int) -> set[tuple[str, ...]]:
    """Every run of ``length`` words of a text, in small letters."""
    words = _words(text)
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def _shared_runs(text: str, wanted: set[tuple[str, ...]]) -> list[str]:
    """Maximal runs of words of ``text`` all of whose shingles are in ``wanted``."""
    words = _words(text)
    runs: list[str] = []
    start: int | None = None
    for i in range(len(words) - COPIED_WORDS + 2):
        inside = tuple(words[i : i + COPIED_WORDS]) in wanted
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            runs.append(" ".join(words[start : i + COPIED_WORDS - 1]))
            start = None
    return runs


def editable_length(prompt: Prompt) -> int:
    """Characters an optimizer may write to."""
    return sum(len(field.text) for field in fields(prompt))
