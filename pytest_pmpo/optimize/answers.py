"""A rewriter's answer → new prompt text, or the reason there is none. Answers are hostile text."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

_TAGGED = re.compile(r"<prompt>(.*?)</prompt>", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(r"<prompt>", re.IGNORECASE)
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_FENCED = re.compile(r"\A\s*```[^\n]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_PREAMBLE = re.compile(r"\A\s*(?:sure|certainly|of course|okay|ok|here(?:'s| is| are))\b[^\n]*:\s*\n+", re.IGNORECASE)
_ADDRESSED = re.compile(
    r"\A\W*(?:(?:sure|certainly|of course)[!,.]|(?:sorry|i(?:'m| am) sorry|i apologi[sz]e|unfortunately)\b)",
    re.IGNORECASE,
)
_STRAY = re.compile(r"</?_?prompt\b[^>\n]*>", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")

LOOP_RATIO = 0.12
"""Text of 400 bytes or more that compresses below this share repeats itself; English prose stays above 0.3."""

_LOOP_BYTES = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """Text found in an answer; exactly one of the two is set."""

    text: str | None
    problem: str | None = None


def parse(answer: str, *, finished: bool = True, longest: int, tags_required: bool = True, old: str = "") -> Answer:
    """The text between ``<prompt>`` tags; the last pair, since models often begin by describing the first.

    Args:
        finished: False where a limit cut the answer; an untagged cut answer is never used.
        longest: most characters; a longer text is refused here, before anything works on it.
        tags_required: False lets a small model answer with the bare prompt.
        old: the prompt as it was; what it does already is no fault of the answer.
    """
    text = _THINKING.sub("", answer)
    tagged = _TAGGED.findall(text)
    if tagged:
        found = tagged[-1]
    elif _OPEN.search(text):
        return Answer(None, "answer cut before </prompt>")
    elif tags_required or not finished:
        return Answer(None, "no <prompt> tag in the answer")
    else:
        found = _PREAMBLE.sub("", text)
    fenced = _FENCED.match(found)
    found = (fenced[1] if fenced else found).strip()
    problem = _problem(found, longest, old)
    return Answer(None, problem) if problem else Answer(found)


def _problem(text: str, longest: int, old: str) -> str | None:
    if not text:
        return "empty answer"
    if len(text) > longest:
        return "too long"
    if _CONTROL.search(text):
        return "control characters in the answer"
    if "\ufffd" in text:
        return "answer is not valid text"
    if not re.search(r"\w\w", text):
        return "answer holds no words"
    if _STRAY.search(text) and not _STRAY.search(old):
        return "broken <prompt> tags in the answer"
    if _ADDRESSED.match(text) and not _ADDRESSED.match(old):
        return "answer speaks to us instead"
    return "answer repeats itself" if loops(text) else None


def loops(text: str) -> bool:
    """Whether the text is mostly one phrase again and again."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) >= _LOOP_BYTES and len(zlib.compress(data, 6)) / len(data) < LOOP_RATIO:
        return True
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 20]
    return len(lines) >= 4 and max(map(lines.count, set(lines))) >= 4
