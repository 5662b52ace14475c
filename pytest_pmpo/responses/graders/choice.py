"""The response picks the right option, by its letter or by its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_pmpo.errors import GraderError
from pytest_pmpo.prompts.model import Choice, Fixture
from pytest_pmpo.responses.graders.answers import WINDOW, final_answer, normalised
from pytest_pmpo.responses.graders.base import Grade, expected_text

_IN_PARENTHESES = re.compile(r"\(([A-Za-z])\)")
_ALONE = re.compile(r"^[\s(\[*_\"'`]{0,5}([A-Za-z])(?:[)\].:*_\"'`\s,]|$)")
_WORD = re.compile(r"[^\W_]+")
_LABEL = re.compile(r"^\s{0,5}\(?([A-Za-z])\)?(?:[.):\s]|$)")


@dataclass(frozen=True, slots=True)
class ChoiceLetter:
    """Compares the letter the response settles on with the expected option's.

    The expected letter is the one the label begins with (``(B)``, ``B.``, ``B) Paris``); a choice label without letters
    gets A, B, C… by position. Looked at in this order: what follows the last answer marker; a letter the response
    begins with; the last letter in parentheses; an option's text as the whole answer; the one option that the answer
    names (``The review is negative.``), where it names no other.
    """

    @property
    def identity(self) -> str:
        """``choice``."""
        return "choice"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """1 if the letter (or the option's text) is the expected one, else 0."""
        expected = expected_text(fixture, self.identity)
        letter = _expected_letter(fixture, expected)
        given = chosen_letter(response)
        if given is not None:
            return Grade(float(given == letter), f"chose {given}")
        answer = normalised(final_answer(response) or response)
        if answer and answer in {normalised(expected), normalised(_LABEL.sub("", expected, count=1))}:
            return Grade(1.0, "the option's text")
        first = re.split(r"[.!?]", final_answer(response) or "", maxsplit=1)[0]
        named = _named(fixture, first) or _named(fixture, response[-WINDOW:])
        if named is not None:
            return Grade(float(named == expected), f"names {named!r:.40}")
        return Grade(0.0, "no option recognised")


def chosen_letter(response: str) -> str | None:
    """The option letter (upper case) a response settles on, or None."""
    text = response[-WINDOW:]
    answer = final_answer(text)
    for part in (answer, text):
        if part is None:
            continue
        alone = _ALONE.match(part)
        # "A train…" begins with a letter too: a bare letter counts only in parentheses or where little follows it
        if alone and (
            part.lstrip()[:1] in "([" or len(part.split()) <= 2 or part[alone.end(1) : alone.end(1) + 1] in ").:"
        ):
            return alone.group(1).upper()
        found = _IN_PARENTHESES.findall(part)
        if found:
            return str(found[0] if part is answer else found[-1]).upper()
    return None


def _named(fixture: Fixture, text: str) -> str | None:
    """The only option whose text occurs in ``text`` as words of its own; None where several do, or none."""
    if not isinstance(fixture.label, Choice):
        return None
    words = f" {_words(text)} "
    found = []
    for option in fixture.label.choices:
        bare = _words(_LABEL.sub("", option, count=1))
        if len(bare) > 1 and f" {bare} " in words:
            found.append(option)
    return found[0] if len(found) == 1 else None


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _expected_letter(fixture: Fixture, expected: str) -> str:
    label = _LABEL.match(expected)
    if label is not None and (len(expected.strip()) <= 3 or label.end(1) < len(expected.rstrip())):
        marked = expected.lstrip().startswith("(") or expected[label.end(1) : label.end(1) + 1] in (")", ".", ":", "")
        if marked:
            return label.group(1).upper()
    if isinstance(fixture.label, Choice):
        return chr(ord("A") + fixture.label.expected)
    raise GraderError(
        f"the expected answer of fixture {fixture.id!r} does not begin with an option letter",
        location=fixture.location,
        hint="use the grader 'exact', or write the label as (A), (B), …",
    )
