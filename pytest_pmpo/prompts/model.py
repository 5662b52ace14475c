"""The records of this stage: what a prompt file and its fixtures say, free of any format.

Everything here is frozen and made of plain values, so that it can be hashed, compared, pickled to an xdist worker and
printed. Text is ``str``; spans are byte offsets into the file as it lies on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pytest_pmpo.errors import Location

Role = Literal["system", "user", "assistant", "tool"]
Engine = Literal["jinja2", "literal", "fstring", "handlebars", "mustache", "none"]
Split = Literal["train", "selection", "heldout"]


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of bytes ``[start, end)`` in a file."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of template text that can be edited on its own.

    Attributes:
        text: the text as the format means it (unquoted, unindented), still a template.
        span: the bytes of the file that encode it, or None where it has no place of its own (an included file).
        editable: False for text that belongs to the format or to another file.
        style: how the format wrote it (``"plain"``, ``"block"``, ``"json"``…); the format's own editor reads it.
        path: the file the span lies in, where that is not the prompt's own.
    """

    text: str
    span: Span | None = None
    editable: bool = True
    style: str = "plain"
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the prompt, as a template. ``line`` (1-based) is where its text begins in the file."""

    role: Role
    segments: tuple[Segment, ...]
    line: int | None = None

    @property
    def text(self) -> str:
        """The whole template text of the turn."""
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Turn:
    """One rendered turn: what the chat template is given."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared input of a prompt. ``default`` is used where a fixture does not set it; ``required`` forbids that."""

    name: str
    default: Any = None
    has_default: bool = False
    required: bool = False
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something a format read but loss cannot score, or left out on purpose. Shown, never silently dropped."""

    message: str
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt file as every later stage sees it.

    Attributes:
        path: file path relative to the repository root, POSIX separators.
        format: name of the format that read it.
        engine: template language of the messages.
        messages: the turns, in order. May be empty only where the format refuses it first.
        digest: sha256 of the file's bytes (hex).
        name: the prompt's own name; default the file's stem.
        variant: ``b`` in ``name.b.prompt``, or the label of one prompt among several in a file.
        inputs: declared variables by name.
        undefined: what an undefined variable means in this format; ``"error"`` names it, ``"keep"`` leaves the
            placeholder, ``"empty"`` renders nothing.
        partials: templates this one may include, by name.
        metadata: everything else the file says, as plain data.
        notes: what was read but cannot be scored.
    """

    path: str
    format: str
    engine: Engine
    messages: tuple[Message, ...]
    digest: str
    name: str = ""
    variant: str | None = None
    inputs: Mapping[str, Variable] = field(default_factory=dict)
    undefined: Literal["error", "keep", "empty"] = "error"
    partials: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    @property
    def template_digest(self) -> str:
        """sha256 over what the model sees of this prompt: roles, template text, engine, defaults, and what rendering
        reads of the metadata; not over fixtures.

        Two versions of a file with equal template digests are the same prompt, whatever else changed in the file.
        """
        seen = repr(
            (
                self.engine,
                self.undefined,
                [(message.role, message.text) for message in self.messages],
                sorted((v.name, repr(v.default), v.has_default) for v in self.inputs.values()),
                sorted(self.partials.items()),
                [self.metadata.get(key) for key in ("history_index", "trim", "opens_with_role")],
            )
        )
        return hashlib.sha256(seen.encode("utf-8", "surrogatepass")).hexdigest()

    def with_text(self, message: int, segment: int, text: str) -> Prompt:
        """The same prompt with one segment's text replaced in memory. Spans keep pointing at the old bytes."""
        old = self.messages[message]
        segments = (*old.segments[:segment], replace(old.segments[segment], text=text), *old.segments[segment + 1 :])
        messages = (*self.messages[:message], replace(old, segments=segments), *self.messages[message + 1 :])
        return replace(self, messages=messages)


@dataclass(frozen=True, slots=True)
class Expected:
    """Supervised label: the text that should follow. ``prefix`` marks a label that only has to be how it starts."""

    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Preference:
    """Preference label: every ``chosen`` should be likelier than every ``rejected``. Both hold at least one text."""

    chosen: tuple[str, ...]
    rejected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Choice label: ``choices`` are the possible answers, ``expected`` indexes the right one."""

    choices: tuple[str, ...]
    expected: int


Label = Expected | Preference | Choice


@dataclass(frozen=True, slots=True)
class Fixture:
    """One labelled input.

    Attributes:
        id: unique within the prompt; given, or made from the input (see ``fixtures.py``).
        vars: template variables.
        label: what should be likely.
        history: earlier turns, inserted where the format says, else before the last user turn.
        group: fixtures that share a source share a group; the statistics treat a group as one draw.
        weight: positive; weighs the fixture in every mean.
        tags: free words, for ``-k`` and the report.
        split: which part of an optimization may see it; None lets the optimizer assign one.
        location: file and line of the fixture.
    """

    id: str
    vars: Mapping[str, Any]
    label: Label
    history: tuple[Turn, ...] = ()
    group: str | None = None
    weight: float = 1.0
    tags: tuple[str, ...] = ()
    split: Split | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class PromptSuite:
    """A prompt and the fixtures that go with it: the unit the gate judges."""

    prompt: Prompt
    fixtures: tuple[Fixture, ...]
