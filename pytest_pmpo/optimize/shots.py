"""Train fixtures as few-shot turns: what the user would have said, what the model should have answered.

They stand in front of the turn that carries the input, where the file's format holds turns one by one. Each is exactly
what the model is given for that fixture, so the example looks like the question it prepares for. Where the prompt's
turns would no longer alternate (as most chat templates demand), or an engine cannot say the text, there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from pytest_pmpo.errors import PmpoError
from pytest_pmpo.optimize import placeholders
from pytest_pmpo.optimize.constraints import label_texts
from pytest_pmpo.prompts.edit import is_added, with_turns
from pytest_pmpo.prompts.model import Fixture, Prompt, Turn
from pytest_pmpo.prompts.render import render

MAX_CHARACTERS = 3_000
"""A longer pair is not worth its tokens."""

Place = Literal["first", "last"]
Pair = tuple[Turn, Turn]

PROBE = (Turn("user", "x"), Turn("assistant", "y"))
"""Turns to find out by whether a file takes any."""


def place_of(prompt: Prompt) -> int | None:
    """The message in front of which few-shot turns go: the last of the user's, unless another of the user's stands
    right before it."""
    users = [number for number, message in enumerate(prompt.messages) if message.role == "user"]
    if not users or (users[-1] > 0 and prompt.messages[users[-1] - 1].role == "user"):
        return None
    return users[-1]


def pair(prompt: Prompt, fixture: Fixture) -> Pair | None:
    """The fixture's turns as template text, or None where it has no short form the engine can hold."""
    place = place_of(prompt)
    if place is None or fixture.history:
        return None
    try:
        asked = render(prompt, fixture)[place].content
    except PmpoError:
        return None
    answer = label_texts(fixture)[0]
    texts = [placeholders.escape(text, prompt.engine) for text in (asked, answer)]
    if texts[0] is None or texts[1] is None or not asked.strip() or len(asked) + len(answer) > MAX_CHARACTERS:
        return None
    return Turn("user", texts[0]), Turn("assistant", texts[1])


def with_shots(prompt: Prompt, chosen: Sequence[Fixture], where: Place = "last") -> Prompt | None:
    """The prompt with the fixtures' turns, in the order given, behind those it has or in front of them; None if one of
    them cannot be written."""
    pairs = [pair(prompt, fixture) for fixture in chosen]
    place = place_of(prompt)
    if place is None or not pairs:
        return None
    turns = [turn for one in pairs if one is not None for turn in one]
    if len(turns) < 2 * len(pairs):
        return None
    if where == "first":
        place = next((n for n, message in enumerate(prompt.messages) if is_added(message)), place)
    changed = with_turns(prompt, place, turns)
    return changed if _says(changed, place, prompt, chosen) else None


def _says(changed: Prompt, place: int, prompt: Prompt, chosen: Sequence[Fixture]) -> bool:
    """Whether rendering gives the very words: an engine may swallow a line break that ends its text."""
    asked_at = place_of(prompt)
    assert asked_at is not None
    try:
        said = render(changed, chosen[0])[place : place + 2 * len(chosen)]
        asked = [render(prompt, fixture)[asked_at].content for fixture in chosen]
    except PmpoError:
        return False
    answers = [label_texts(fixture)[0] for fixture in chosen]
    return [turn.content for turn in said] == [text for both in zip(asked, answers, strict=True) for text in both]


def shots(prompt: Prompt) -> list[Pair]:
    """The few-shot turns an optimizer has put in."""
    return [
        (Turn("user", asked.text), Turn("assistant", answered.text))
        for asked, answered in pairwise(prompt.messages)
        if is_added(asked) and is_added(answered) and asked.role == "user"
    ]


def with_fewer(prompt: Prompt) -> Iterator[tuple[int, Prompt]]:
    """The prompt without one of its few-shot pairs, for each of them, with the pair's number (1-based)."""
    starts = [n for n, message in enumerate(prompt.messages) if is_added(message) and message.role == "user"]
    for number, start in enumerate(starts, 1):
        rest = (*prompt.messages[:start], *prompt.messages[start + 2 :])
        metadata = dict(prompt.metadata)
        history = metadata.get("history_index")
        if isinstance(history, int) and not isinstance(history, bool) and history > start:
            metadata["history_index"] = history - 2
        yield number, replace(prompt, messages=rest, metadata=metadata)


def quoted(prompt: Prompt, fixtures: Sequence[Fixture]) -> tuple[str, ...]:
    """Ids of the fixtures whose turns stand in the prompt."""
    present = shots(prompt)
    if not present:
        return ()
    return tuple(fixture.id for fixture in fixtures if pair(prompt, fixture) in present)
