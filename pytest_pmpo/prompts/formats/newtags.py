"""Turns added to a dotprompt template: role tags with their texts."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pmpo.errors import EditError
from pytest_pmpo.prompts.formats.base import Insertion
from pytest_pmpo.prompts.formats.bracetags import Tag, tags
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.model import Message, Turn

_NAMES = {"assistant": "model"}


def tag_insertion(file: FileText, messages: Sequence[Message], place: int, turns: Sequence[Turn]) -> Insertion:
    """In front of the role tag that opens message ``place``. White space beside a tag is part of a turn, so none is
    added: a text stands between its tags as it is.

    Raises:
        EditError: the message has no role tag in this file, or a history tag says where earlier turns go.
    """
    first = messages[place].segments[0] if 0 <= place < len(messages) and messages[place].segments else None
    if first is None or first.span is None or first.path is not None:
        raise EditError("this turn has no place of its own in the file", location=file.at(0))
    start = file.index(first.span.start)
    opening: Tag | None = None
    for tag in tags(file.text):
        if tag.kind == "tag" and tag.inner.split(None, 1)[:1] == ["history"]:
            raise EditError("a history tag says where earlier turns go", location=file.at(tag.start))
        if tag.end <= start and tag.kind == "tag" and tag.inner.split(None, 1)[:1] == ["role"]:
            opening = tag
    if opening is None or file.text[opening.end : start].strip():
        raise EditError("this turn has no role tag", location=file.at(start))
    text = "".join(f'{{{{role "{_NAMES.get(turn.role, turn.role)}"}}}}{turn.content}' for turn in turns)
    return Insertion(file.byte(opening.start), text.replace("\n", file.eol).encode("utf-8"))
