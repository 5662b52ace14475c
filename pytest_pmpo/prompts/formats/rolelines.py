"""Prompty's role lines: ``system:`` alone on a line opens a turn.

The split is made on the template, before anything is filled in, so a value that holds ``user:`` stays inside its turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.errors import EditError, FormatError
from pytest_pmpo.prompts.formats import rawtext
from pytest_pmpo.prompts.formats.base import Insertion
from pytest_pmpo.prompts.formats.chat import ROLES
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.model import Message, Turn

_V1 = ("assistant", "function", "system", "user", "tools")
_V2 = ("assistant", "developer", "system", "tool", "user")
_ATTRIBUTES = r"(?:\[[^\]\n]*\])?"
_ANY_ROLE = re.compile(
    rf"^[ \t]*(?:#[ \t]*)?(?:{'|'.join({*_V1, *_V2})}){_ATTRIBUTES}[ \t]*:[ \t]*(?:\r?\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_BLOCK = re.compile(r"\{%[-+]?\s*(end)?(if|for)\b[^%]*%\}")
_TEMPLATED_ROLE = re.compile(r"^[ \t]*\{\{[^{}]*\}\}[ \t]*:[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of a body.

    Attributes:
        messages: in order.
        history_index: index of the turn before which earlier turns of a conversation go, where the file says so.
        templated_role: index in the file of the first line on which a template would make up a role.
        tools: index of a ``tools:`` section, which v1 reads as definitions, not as a turn.
    """

    messages: tuple[Message, ...]
    history_index: int | None = None
    templated_role: int | None = None
    tools: int | None = None


def split(file: FileText, body: int, generation: int, threads: tuple[str, ...] = ()) -> Turns:
    """The turns of ``file.text[body:]``; text before the first role line is a system turn.

    Args:
        file: the file.
        body: index of the first character behind the front matter.
        generation: 1 or 2; the role names differ.
        threads: inputs whose ``{{name}}``, alone on a line, stands for earlier turns.

    Raises:
        FormatError: a Jinja block opens in one turn and closes in another.
    """
    names = _V1 if generation == 1 else _V2
    role_line = rf"[ \t]*(?:#[ \t]*)?({'|'.join(names)}){_ATTRIBUTES}[ \t]*:[ \t]*"
    marks = ["!\\[thread\\].*", *(rf"\{{\{{\s*{re.escape(name)}\s*\}}\}}" for name in threads)]
    line = re.compile(rf"^(?:{role_line}|[ \t]*(?:{'|'.join(marks)})[ \t]*)(?:\r?\n|\Z)", re.MULTILINE | re.IGNORECASE)
    messages: list[Message] = []
    history: int | None = None
    tools: int | None = None
    role, start, opened = "system", body, False
    for found in [*line.finditer(file.text, body), None]:
        end = len(file.text) if found is None else found.start()
        if role == "tools":
            tools = start
        elif opened or file.text[start:end].strip():
            messages.append(_message(file, role, start, end))
        if found is None:
            break
        if found[1] is None:
            history, opened = len(messages), False
        else:
            role, opened = found[1].lower(), True
        start = found.end()
    _check_blocks(file, messages)
    templated = _TEMPLATED_ROLE.search(file.text, body)
    return Turns(tuple(messages), history, None if templated is None else templated.start(), tools)


def insertion(file: FileText, messages: Sequence[Message], place: int, turns: Sequence[Turn]) -> Insertion:
    """Role lines with their texts in front of the role line of message ``place``.

    Raises:
        EditError: it has none.
    """
    start = file.index(_first_byte(messages, place))
    opening = None
    for found in _ANY_ROLE.finditer(file.text, 0, start):
        opening = found
    if opening is None or file.text[opening.end() : start].strip():
        raise EditError("this turn has no role line", location=file.at(start))
    text = "".join(f"{turn.role}:\n{turn.content}\n\n" for turn in turns)
    return Insertion(file.byte(opening.start()), text.replace("\n", file.eol).encode("utf-8"))


def _first_byte(messages: Sequence[Message], place: int) -> int:
    spans = [segment.span for segment in messages[place].segments] if 0 <= place < len(messages) else []
    if not spans or spans[0] is None:
        raise EditError("this turn has no place of its own in the file")
    return spans[0].start


def _message(file: FileText, role: str, start: int, end: int) -> Message:
    start, end = rawtext.trim(file.text, start, end, "\r\n")
    return Message(ROLES[role], (rawtext.segment(file, start, end),), file.line(start))


def _check_blocks(file: FileText, messages: list[Message]) -> None:
    for message in messages:
        open_blocks: list[str] = []
        for found in _BLOCK.finditer(message.text):
            if found[1] is None:
                open_blocks.append(found[2])
            elif not open_blocks or open_blocks.pop() != found[2]:
                open_blocks.append(found[2])
                break
        if open_blocks and len(messages) > 1:
            raise FormatError(
                f"the template's {{% {open_blocks[0]} %}} spans several turns",
                location=None if message.line is None else file.at(_index_of_line(file, message.line)),
                hint="open and close it inside one turn; turns are split before anything is filled in",
            )


def _index_of_line(file: FileText, line: int) -> int:
    return len("".join(file.text.splitlines(keepends=True)[: line - 1]))
