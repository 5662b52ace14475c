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
from pytest_pmpo.prompts.formats.chat import ROLES
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.model import Message, Note, Role, Segment

_TOKEN = re.compile(
    r"\\\{\{|\{\{~?!--.*?--~?\}\}|\{\{\{\{(?P<raw>[^/\s}]+)[^}]*\}\}\}\}.*?\{\{\{\{/(?P=raw)\}\}\}\}"
    r"|\{\{\{.*?\}\}\}|\{\{.*?\}\}",
    re.DOTALL,
)
_ROLE = re.compile(r"(#?)role\b\s*(?:\"([^\"]*)\"|'([^']*)')?")
_COMMENT = re.compile(r"\{\{~?!--.*?--~?\}\}|\{\{~?!.*?\}\}", re.DOTALL)
_PARTIAL = re.compile(r">\s*[\"']?([\w./-]+)[\"']?\s*(.*)\Z", re.DOTALL)
_OPENS = re.compile(r"\{\{~?#?\s*(?:role|history)\b")


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
        FormatError: a turn opens inside a block, its role is computed or unknown, or the prompt shows media.
    """
    messages: list[Message] = []
    notes: list[Note] = []
    role: Role = "user"
    pieces: list[_Event] = []
    history: int | None = None
    tagged = seen_text = False

    def close() -> None:
        if any(_COMMENT.sub("", piece.file.text[piece.start : piece.end]).strip() for piece in pieces):
            messages.append(_message(file, role, pieces))
            if role == "assistant" and history == len(messages) - 1:
                notes.append(Note("text behind {{history}} is a turn of the model", file.at(pieces[0].start)))
        pieces.clear()

    for event in _events(file, start, end, partials):
        if event.kind == "text":
            seen_text = seen_text or bool(event.file.text[event.start : event.end].strip())
            pieces.append(event)
            continue
        if event.kind == "section":
            notes.append(Note("{{section}} stands for nothing here", event.file.at(event.start)))
            continue
        close()
        tagged = tagged or not seen_text
        role = "assistant" if event.kind == "history" else event.role
        if event.kind == "history":
            history = len(messages)
        elif event.kind == "block":
            note = "dotprompt drops the text inside {{#role}}…{{/role}}; it is read as a turn here"
            notes.append(Note(note, event.file.at(event.start)))
    close()
    place = history if history is not None else len(messages) - int(bool(messages) and messages[-1].role == "user")
    return Turns(tuple(messages), place, tagged, tuple(notes))


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


def _events(
    file: FileText, start: int, end: int, partials: Mapping[str, FileText], above: tuple[str, ...] = ()
) -> Iterator[_Event]:
    depth, at = 0, start
    for token in _TOKEN.finditer(file.text, start, end):
        tag = token[0]
        if token.start() < at or tag.startswith(("\\", "{{{{")) or tag.lstrip("{~").startswith("!"):
            continue
        inner = tag.strip("{}~ \t\r\n")
        included = _included(file, token, inner, depth, partials)
        event = None if included else _turn_event(file, token, inner, depth)
        if included is None and event is None:
            depth += _level(inner)
            continue
        yield _Event("text", file, at, _before(file, at, token))
        at = _behind(file, token, end)
        if included is not None:
            if included in above:
                raise FormatError(f"the partial {included!r} includes itself", location=file.at(token.start()))
            source = partials[included]
            at = _behind_standalone(file, token, at)
            yield from _events(source, 0, len(source.text), partials, (*above, included))
        elif event is not None:
            yield event
    yield _Event("text", file, at, end)


def _included(
    file: FileText, token: re.Match[str], inner: str, depth: int, partials: Mapping[str, FileText]
) -> str | None:
    """The name of the partial a tag includes, if that partial opens turns; others are left to the engine."""
    found = _PARTIAL.match(inner)
    if found is None or found[1] not in partials or not opens_turns(found[1], partials):
        return None
    if depth or found[2]:
        raise FormatError(
            f"the partial {found[1]!r} opens turns, and is included "
            + ("inside a block" if depth else "with arguments"),
            location=file.at(token.start()),
            hint="include it at the top level without arguments",
        )
    return found[1]


def opens_turns(name: str, partials: Mapping[str, FileText]) -> bool:
    """Whether a partial, or one that it includes, holds a role or history tag."""
    pending, seen = [name], set()
    while pending:
        current = pending.pop()
        if current in seen or current not in partials:
            continue
        seen.add(current)
        text = partials[current].text
        if _OPENS.search(text):
            return True
        pending.extend(included_names(text))
    return False


def included_names(text: str) -> list[str]:
    """The partials a template names, in order."""
    found = (_PARTIAL.match(token[0].strip("{}~ \t\r\n#")) for token in _TOKEN.finditer(text))
    return [match[1] for match in found if match]


def _turn_event(file: FileText, token: re.Match[str], inner: str, depth: int) -> _Event | None:
    where = file.at(token.start())
    word = inner.lstrip("#").split()[0] if inner.lstrip("#").split() else ""
    if word == "media":
        raise FormatError("the prompt shows media: only text can be scored", location=where)
    if word == "section":
        return _Event("section", file, token.start())
    if inner == "/role":
        return _Event("endblock", file, token.start())
    if word not in ("role", "history"):
        return None
    if depth:
        raise FormatError(
            f"{token[0][:40]} opens a turn inside a block",
            location=where,
            hint="turns are split before anything is filled in: open them at the top level",
        )
    if word == "history":
        return _Event("history", file, token.start())
    return _role_event(file, token, inner)


def _role_event(file: FileText, token: re.Match[str], inner: str) -> _Event:
    found = _ROLE.match(inner)
    name = (found[2] or found[3]) if found else None
    role = ROLES.get(name or "")
    if found is None or role is None:
        what = f"{name!r} is not a role" if name else "the role is computed"
        raise FormatError(
            what, location=file.at(token.start()), hint='write {{role "system"}}, "user", "model" or "tool"'
        )
    return _Event("block" if found[1] else "role", file, token.start(), role=role)


def _level(inner: str) -> int:
    if inner.startswith("/"):
        return -1
    return 1 if inner.startswith(("#", "^")) and len(inner) > 1 else 0


def _before(file: FileText, at: int, token: re.Match[str]) -> int:
    """Where the text in front of a tag ends: ``{{~`` eats white space."""
    return rawtext.trim(file.text, at, token.start(), None)[1] if token[0].startswith("{{~") else token.start()


def _behind(file: FileText, token: re.Match[str], end: int) -> int:
    """Where the text behind a tag begins: ``~}}`` eats white space."""
    return rawtext.trim(file.text, token.end(), end, None)[0] if token[0].endswith("~}}") else token.end()


def _behind_standalone(file: FileText, token: re.Match[str], at: int) -> int:
    """A partial alone on its line takes the line's end with it."""
    line_start = file.text.rfind("\n", 0, token.start()) + 1
    rest = re.compile(r"[ \t]*(?:\r?\n|\Z)").match(file.text, at)
    if rest is None or file.text[line_start : token.start()].strip():
        return at
    return rest.end()
