"""The records of this stage: graded responses, the prompts they were drawn from, and a bank of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pytest_pmpo.errors import Location
from pytest_pmpo.prompts.model import Fixture, Note, Prompt

Origin = Literal["sampled", "production", "written"]
"""Where a response comes from: drawn by ``pmpo bank``, logged in production, or written by a person."""

GIVEN = "given"
"""The ``grader`` of a grade a person put into the file."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A prompt that responses were drawn from, kept whole: its log-probabilities are computed, never believed.

    Attributes:
        name: what it is called in ``bank show``: ``base``, ``none``, ``steps``, a commit.
        prompt: enough of it to be rendered again; ``prompt.template_digest`` is the proposal's key.
    """

    name: str
    prompt: Prompt
    location: Location | None = None

    @property
    def digest(self) -> str:
        """The prompt's template digest."""
        return self.prompt.template_digest


@dataclass(frozen=True, slots=True)
class Response:
    """One response to one fixture.

    Attributes:
        fixture: the fixture's id.
        text: the response as graded; not empty.
        grade: 0 (wrong) to 1 (right), or None where it has not been graded yet.
        grader: identity of what gave the grade.
        proposal: template digest of the prompt it was drawn from; None for a written response that names none.
        input: digest of the fixture's input when it was drawn (see ``input_digest``); None in hand-written lines.
        label: digest of the fixture's label when it was graded; None in hand-written lines.
        logprob: log-probability (nats) the generator gave; kept for the record, never used in a weight.
        model: fingerprint of the model it was drawn from, or ``openai:NAME`` for a server's.
        date: ISO date.
        origin: ``sampled``, ``production`` or ``written``.
        finished: False where a token limit cut it.
        draw: number of the draw among those of the same fixture, proposal and model; tells a second draw of the same
            text from a line that is there twice. Two branches may each have added a draw of the same number with
            another text: both count.
    """

    fixture: str
    text: str
    grade: float | None = None
    grader: str | None = None
    proposal: str | None = None
    input: str | None = None
    label: str | None = None
    logprob: float | None = None
    model: str | None = None
    date: str | None = None
    origin: Origin = "sampled"
    finished: bool = True
    draw: int | None = None
    location: Location | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """Two lines of equal identity are one response."""
        if self.draw is None:
            return (self.fixture, self.proposal, self.origin, self.text, self.finished)
        return (self.fixture, self.input, self.proposal, self.model, self.draw, self.text)


@dataclass(frozen=True, slots=True)
class Bank:
    """Everything a bank file says.

    Attributes:
        path: the file, relative to the repository root.
        proposals: by template digest, in file order.
        responses: in file order, every draw once.
        notes: what was passed over: a torn last line, lines that are there twice.
    """

    path: str
    proposals: Mapping[str, Proposal] = field(default_factory=dict)
    responses: tuple[Response, ...] = ()
    notes: tuple[Note, ...] = ()


def input_digest(fixture: Fixture) -> str:
    """Digest of what a prompt sees of a fixture: variables and history. A response to another input is no response."""
    history = [[turn.role, turn.content] for turn in fixture.history]
    return _digest([dict(fixture.vars), history])


def label_digest(fixture: Fixture) -> str:
    """Digest of the label: where it has changed, a kept grade is out of date."""
    return _digest([type(fixture.label).__name__, repr(fixture.label)])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
