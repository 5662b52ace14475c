"""Dotprompt's ``{{role "…"}}`` and ``{{history}}`` tags: where a template opens its turns.

As with Prompty's role lines, the split is made on the template and each turn is rendered on its own, so no value can
open a turn. The price: a turn must open at the top level of the template, or at the top level of a partial that is
included without arguments. Inside a block (``#if``, ``#each``) it would depend on values, and is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pytest_pmpo.errors import FormatError
from pytest_pmpo.prompts.formats import rawtext
from pytest_pmpo.prompts.formats.bracetags import Tag, tags
from pytest_pmpo.prompts.formats.chat import ROLES
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.model import Message, Note, Role, Segment

_ROLE = re.compile(r"(#?)role\b\s*(?:\"([^\"]*)\"|'([^']*)')?")
_PARTIAL = re.compile(r"#?>\s*[\"']?([\w./-]+)[\"']?\s*(.*)\Z", re.DOTALL)
_BLANK = re.compile(r"\s*")
_LINE_END = re.compile(r"[ \t]*(?:\r?\n|\Z)")
_MAX_TURNS = 10_000

OPENS_TAGGED = "opens_with_role"
"""``Prompt.metadata`` key: the first message stands behind a role tag."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of a template.

    Attributes:
        messages: in order; turns of white space alone are left out, as dotprompt does.
        history_index: index of the turn before which earlier turns go.
        opens_with_role: whether the first turn stands behind a role tag.
        notes: what dotprompt reads otherwise than its author may have meant.
    """

    messages: tuple[Message, ...]
    history_index: int
    opens_with_role: bool
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class _Event:
    """Text ``file.text[start:end]``, or a tag at ``start`` that changes the turn."""

    kind: Literal["text", "role", "block", "endblock", "history", "section"]
    file: FileText
    start: int
    end: int = 0
    role: Role = "user"


def split(file: FileText, start: int, end: int, partials: Mapping[str, FileText]) -> Turns:
    """The turns of ``file.text[start:end]``.

    Raises:
        FormatError: a turn opens inside a block, its role is computed or unknown, there are turns without end, or the
            prompt shows media.
    """
    collected = _Turns(file)
    for number, event in enumerate(_Reader(partials).events(file, start, end)):
        if number > _MAX_TURNS:
            raise FormatError(f"the template opens more than {_MAX_TURNS} turns", location=event.file.at(event.start))
        collected.take(event)
    return collected.result()


class _Turns:
    """Turns in the making."""

    def __init__(self, file: FileText) -> None:
        self.file = file
        self.messages: list[Message] = []
        self.notes: list[Note] = []
        self.pieces: list[_Event] = []
        self.role: Role = "user"
        self.history: int | None = None
        self.tagged = self.seen_text = False

    def take(self, event: _Event) -> None:
        """The next text or tag."""
        where = event.file.at(event.start)
        if event.kind == "text":
            self.seen_text = self.seen_text or not _is_blank(event)
            self.pieces.append(event)
        elif event.kind == "section":
            self.notes.append(Note("{{section}} stands for nothing here", where))
        else:
            self.close()
            self.tagged = self.tagged or not self.seen_text
            self.role = "assistant" if event.kind == "history" else event.role
            if event.kind == "history":
                self.history = len(self.messages)
            elif event.kind == "block":
                note = "dotprompt drops the text inside {{#role}}…{{/role}}; it is read as a turn here"
                self.notes.append(Note(note, where))

    def close(self) -> None:
        """Keep the open turn, unless it holds nothing but white space and comments."""
        if not all(map(_is_blank, self.pieces)):
            if self.role == "assistant" and self.history == len(self.messages):
                where = self.file.at(self.pieces[0].start)
                self.notes.append(Note("text behind {{history}} is a turn of the model", where))
            self.messages.append(_message(self.file, self.role, self.pieces))
        self.pieces = []

    def result(self) -> Turns:
        """All turns. Earlier ones go where the history tag is, else before a last turn of the user, else behind."""
        self.close()
        count = len(self.messages)
        ends_with_user = bool(self.messages) and self.messages[-1].role == "user"
        place = self.history if self.history is not None else count - int(ends_with_user)
        return Turns(tuple(self.messages), place, self.tagged, tuple(self.notes))


def _is_blank(event: _Event) -> bool:
    text, at = event.file.text, event.start
    for tag in tags(text, event.start, event.end):
        if tag.kind != "comment" or text[at : tag.start].strip():
            return False
        at = tag.end
    return not text[at : event.end].strip()


def _message(own: FileText, role: Role, pieces: list[_Event]) -> Message:
    segments: list[Segment] = []
    line: int | None = None
    for piece in pieces:
        text = piece.file.text
        a, b = rawtext.trim(text, piece.start, piece.end, None)
        if a >= b:
            a = b = piece.end
        elif line is None:
            line = (piece.file if piece.file is own else own).line(a if piece.file is own else 0)
        for start, end, core in ((piece.start, a, False), (a, b, True), (b, piece.end, False)):
            if start < end:
                segments.append(_segment(own, piece.file, start, end, core=core))
    return Message(role, tuple(segments), line)


def _segment(own: FileText, file: FileText, start: int, end: int, *, core: bool) -> Segment:
    segment = rawtext.segment(file, start, end)
    if file is own:
        return segment if core else replace(segment, editable=False)
    return replace(segment, editable=False, path=file.path)


class _Reader:
    """Walks a template, and the partials in it that open turns."""

    def __init__(self, partials: Mapping[str, FileText]) -> None:
        self.partials = partials
        self.opening = {name for name, file in partials.items() if _has_turns(file.text)}
        named = {name: set(included_names(file.text)) for name, file in partials.items()}
        growing = True
        while growing:  # a partial that includes one that opens turns opens turns
            more = {name for name, inner in named.items() if inner & self.opening} - self.opening
            self.opening |= more
            growing = bool(more)

    def events(self, file: FileText, start: int, end: int, above: tuple[str, ...] = ()) -> Iterator[_Event]:
        """Texts and turn tags of ``file.text[start:end]``, in order."""
        depth, at = 0, start
        for tag in tags(file.text, start, end):
            if tag.kind in ("comment", "raw"):
                continue
            included = self.included(file, tag, depth)
            event = None if included else _turn_event(file, tag, depth)
            if included is None and event is None:
                depth += _level(tag.inner)
                continue
            yield _Event("text", file, at, _before(file, at, tag))
            at = _behind(file, tag, end)
            if included is not None:
                if included in above:
                    raise FormatError(f"the partial {included!r} includes itself", location=file.at(tag.start))
                source = self.partials[included]
                at = _behind_standalone(file, tag, at)
                yield from self.events(source, 0, len(source.text), (*above, included))
            elif event is not None:
                yield event
        yield _Event("text", file, at, end)

    def included(self, file: FileText, tag: Tag, depth: int) -> str | None:
        """The partial a tag includes, if that opens turns; others are left to the engine."""
        found = _PARTIAL.match(tag.inner)
        if found is None or found[1] not in self.opening:
            return None
        if depth or found[2] or tag.inner.startswith("#"):
            how = "inside a block" if depth else "with arguments" if found[2] else "as a block"
            raise FormatError(
                f"the partial {found[1]!r} opens turns, and is included {how}",
                location=file.at(tag.start),
                hint="include it at the top level without arguments",
            )
        return found[1]


def _has_turns(text: str) -> bool:
    return any(re.match(r"#?(?:role|history)\b", tag.inner) for tag in tags(text) if tag.kind in ("tag", "triple"))


def included_names(text: str) -> list[str]:
    """The partials a template names, in order."""
    found = (_PARTIAL.match(tag.inner) for tag in tags(text) if tag.kind == "tag")
    return [match[1] for match in found if match]


def _turn_event(file: FileText, tag: Tag, depth: int) -> _Event | None:
    inner = tag.inner
    where = file.at(tag.start)
    word = (inner.lstrip("#").split(None, 1) or [""])[0]
    if word == "media":
        raise FormatError("the prompt shows media: only text can be scored", location=where)
    if word == "section":
        return _Event("section", file, tag.start)
    if inner == "/role":
        return _Event("endblock", file, tag.start)
    if word not in ("role", "history"):
        return None
    if depth:
        raise FormatError(
            f"{file.text[tag.start : tag.end][:40]} opens a turn inside a block",
            location=where,
            hint="turns are split before anything is filled in: open them at the top level",
        )
    if word == "history":
        return _Event("history", file, tag.start)
    return _role_event(file, tag)


def _role_event(file: FileText, tag: Tag) -> _Event:
    found = _ROLE.match(tag.inner)
    name = (found[2] or found[3]) if found else None
    role = ROLES.get(name or "")
    if found is None or role is None:
        what = f"{name!r} is not a role" if name else "the role is computed"
        raise FormatError(what, location=file.at(tag.start), hint='write {{role "system"}}, "user", "model" or "tool"')
    return _Event("block" if found[1] else "role", file, tag.start, role=role)


def _level(inner: str) -> int:
    if inner.startswith("/"):
        return -1
    return 1 if inner.startswith(("#", "^")) and len(inner) > 1 else 0


def _before(file: FileText, at: int, tag: Tag) -> int:
    """Where the text in front of a tag ends: ``{{~`` eats white space."""
    return rawtext.trim(file.text, at, tag.start, None)[1] if tag.strips_before else tag.start


def _behind(file: FileText, tag: Tag, end: int) -> int:
    """Where the text behind a tag begins: ``~}}`` eats white space."""
    blank = _BLANK.match(file.text, tag.end, end) if tag.strips_after else None
    return tag.end if blank is None else blank.end()


def _behind_standalone(file: FileText, tag: Tag, at: int) -> int:
    """A partial alone on its line takes the line's end with it."""
    line_start = file.text.rfind("\n", 0, tag.start) + 1
    rest = _LINE_END.match(file.text, at)
    if rest is None or file.text[line_start : tag.start].strip():
        return at
    return rest.end()
