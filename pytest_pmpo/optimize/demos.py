"""Train fixtures written into a prompt as worked examples.

An example looks like what the model will really be given: the part of the prompt that holds the input, filled in for
the fixture, then its answer. It goes right before that part, after examples that stand there already, or in front of
them. Text the template engine would interpret is escaped; where the engine has no way to say it, the fixture is not
used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pytest_pmpo.errors import PmpoError
from pytest_pmpo.optimize import placeholders
from pytest_pmpo.optimize.constraints import label_texts
from pytest_pmpo.optimize.units import EXAMPLE, fields, segment
from pytest_pmpo.prompts.model import Fixture, Message, Prompt, Segment
from pytest_pmpo.prompts.render import render

MAX_DEMOS = 5
MAX_CHARACTERS = 1_500
"""A longer example is not worth its tokens."""

Place = Literal["first", "last"]


@dataclass(frozen=True, slots=True)
class _Input:
    """The part of a prompt that holds the input: one segment of the last user turn with a placeholder."""

    message: int
    segment: int
    text: str
    start: int
    editable: bool

    @property
    def tail(self) -> str:
        """From the first placeholder's unit to the end of the segment."""
        return self.text[self.start :].strip()


@dataclass(frozen=True, slots=True)
class _Home:
    """Where examples are written: a place in one editable segment."""

    message: int
    segment: int
    text: str
    position: int


def example(prompt: Prompt, fixture: Fixture) -> str | None:
    """The fixture as template text, or None where it has no short form the engine can hold."""
    part = _input_part(prompt)
    if part is None or fixture.history:
        return None
    shown = _rendered(prompt, part.tail, fixture)
    if shown is None:
        return None
    answer = label_texts(fixture)[0].strip()
    joint = " " if shown.rstrip().endswith((":", "=", "->", "→")) else "\nAnswer: "
    # one paragraph that begins with the heading, so that it stays one unit
    written = placeholders.escape(re.sub(r"\n[ \t]*(?=\n)", "", f"{shown.strip()}{joint}{answer}"), prompt.engine)
    return None if written is None or len(written) > MAX_CHARACTERS else f"{EXAMPLE}\n{written}"


def with_examples(prompt: Prompt, chosen: Sequence[Fixture], place: Place = "last") -> Prompt | None:
    """The prompt with the fixtures as examples, in the order given, or None if one of them cannot be written."""
    texts = [example(prompt, fixture) for fixture in chosen]
    home = _home(prompt, place)
    if home is None or any(text is None for text in texts):
        return None
    before, after = home.text[: home.position].rstrip(), home.text[home.position :].lstrip()
    block = "\n\n".join(text for text in texts if text is not None)
    joined = "\n\n".join(part for part in (before, block, after) if part)
    trail = "" if after else home.text[len(home.text.rstrip()) :]
    return prompt.with_text(home.message, home.segment, joined + trail)


def quoted(prompt: Prompt, fixtures: Sequence[Fixture]) -> tuple[str, ...]:
    """Ids of the fixtures that stand in the prompt as examples."""
    text = "\n".join(message.text for message in prompt.messages)
    if EXAMPLE not in text:
        return ()
    written = [(fixture.id, example(prompt, fixture)) for fixture in fixtures]
    return tuple(name for name, shown in written if shown is not None and shown in text)


def _input_part(prompt: Prompt) -> _Input | None:
    starts: dict[tuple[int, int], int] = {}
    for unit in segment(prompt, 10_000):
        if unit.protected:
            starts.setdefault((unit.message, unit.segment), unit.start)
    for m, message in reversed(list(enumerate(prompt.messages))):
        for s, part in reversed(list(enumerate(message.segments))):
            if message.role == "user" and placeholders.values(part.text, prompt.engine):
                return _Input(m, s, part.text, starts.get((m, s), 0), part.editable)
    return None


def _home(prompt: Prompt, place: Place) -> _Home | None:
    """Before the input part if prose stands in its segment, else at the end of the editable text before it."""
    part = _input_part(prompt)
    if part is None:
        return None
    earlier = [f for f in fields(prompt) if (f.message, f.segment) < (part.message, part.segment)]
    if part.editable and (part.text[: part.start].strip() or not earlier):
        home = _Home(part.message, part.segment, part.text, part.start)
    elif earlier:
        home = _Home(earlier[-1].message, earlier[-1].segment, earlier[-1].text, len(earlier[-1].text))
    else:
        return None
    first = home.text.find(EXAMPLE)
    return replace(home, position=first) if place == "first" and 0 <= first < home.position else home


def _rendered(prompt: Prompt, tail: str, fixture: Fixture) -> str | None:
    """The input part alone, filled in for the fixture."""
    alone = replace(prompt, messages=(Message("user", (Segment(tail),)),))
    try:
        return render(alone, replace(fixture, history=()))[-1].content
    except PmpoError:
        return None
