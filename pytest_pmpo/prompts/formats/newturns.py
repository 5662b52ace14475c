"""Turns added to a message list in YAML or JSON, spelled as the list spells the turn they go in front of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import yaml

from pytest_pmpo.errors import EditError, FormatError
from pytest_pmpo.prompts.formats import yamlblock, yamlflow
from pytest_pmpo.prompts.formats.base import Insertion
from pytest_pmpo.prompts.formats.documents import is_json
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, compose, written
from pytest_pmpo.prompts.formats.yamlplace import Place, printable
from pytest_pmpo.prompts.model import Turn

_DASH = re.compile(r"[ ]*-[ ]+\Z")
_ASSISTANT = {"human": "ai"}
"""What the model's turns are called where the user's have this name; else ``assistant``."""


def list_insertion(document: YamlDocument, messages: yaml.Node, place: int, turns: Sequence[Turn]) -> Insertion:
    """Where the turns go so that they stand in front of entry ``place`` of a list of ``role`` and ``content``.

    Raises:
        EditError: the list is not written so that an entry can be put in front of that one.
    """
    file = document.file
    items = document.items(messages, "messages")
    if not 0 <= place < len(items) or not {"role", "content"} <= document.fields(items[place]).keys():
        raise EditError("turns can only be put in front of a message with role and content", location=file.at(0))
    if id(messages) in document.shared or id(items[place]) in document.shared:
        raise EditError("an alias repeats this list", location=file.at(document.start(messages)))
    names = _names(document, items, place)
    named = [(names.get(turn.role, turn.role), turn.content) for turn in turns]
    if is_json(file) or (isinstance(messages, yaml.SequenceNode) and messages.flow_style):
        return _in_flow(document, items, place, named)
    return _in_block(document, items[place], named)


def _names(document: YamlDocument, items: Sequence[yaml.Node], place: int) -> dict[str, str]:
    """How this list calls user and assistant."""
    said = [written(document.fields(item).get("role")) or "" for item in items if isinstance(item, yaml.MappingNode)]
    user = said[place]
    known = [name for name in said if name.lower() in ("assistant", "ai", "model")]
    return {"user": user, "assistant": known[0] if known else _ASSISTANT.get(user.lower(), "assistant")}


def _in_block(document: YamlDocument, item: yaml.Node, turns: Sequence[tuple[str, str]]) -> Insertion:
    file = document.file
    start = document.start(item)
    line = file.text.rfind("\n", 0, start) + 1
    prefix = file.text[line:start]
    if not _DASH.match(prefix):
        raise EditError("this list is not written with one message below the other", location=file.at(start))
    pad = " " * len(prefix)
    entries = [f"{prefix}role: {role}\n{pad}content: {_scalar(text, len(prefix))}\n" for role, text in turns]
    return Insertion(file.byte(line), "".join(entries).replace("\n", file.eol).encode("utf-8"))


def _scalar(text: str, column: int) -> str:
    """A block where there are several lines, single quotes where there are double ones in the text, else double quotes,
    which hold any text."""
    if printable(text):
        fitting = yamlblock.literal if "\n" in text else yamlflow.single if '"' in text or "\\" in text else None
        for scalar in fitting(Place("", "", column + 2), text) if fitting else ():
            if _reads_back(f"{' ' * column}content: {scalar}\n", text):
                return scalar
    return next(iter(yamlflow.double(Place('""', "", 0), text)))


def _reads_back(source: str, text: str) -> bool:
    try:
        document = compose(FileText("turn.yaml", b"", source))
    except FormatError:
        return False
    return document.root is not None and document.value(document.root) == {"content": text}


def _in_flow(
    document: YamlDocument, items: Sequence[yaml.Node], place: int, turns: Sequence[tuple[str, str]]
) -> Insertion:
    file = document.file
    start, end = document.start(items[place]), _end(document, items[place])
    source = file.text[start:end]
    if not (source.startswith("{") and source.endswith("}")):
        raise EditError("turns can only be put in front of a message in braces", location=file.at(start))
    before = _end(document, items[place - 1]) if place else file.text.rfind("[", 0, start) + 1
    gap = "".join(re.findall(r"\s+\Z", file.text[before:start])) or ("" if is_json(file) and "," in source else " ")
    spell = _json_entry if is_json(file) else _flow_entry
    entries = "".join(f"{entry},{gap}" for entry in spell(file, source, turns))
    return Insertion(file.byte(start), entries.encode("utf-8"))


def _end(document: YamlDocument, node: yaml.Node) -> int:
    return document.offset + (node.end_mark.index if node.end_mark else 0)


def _json_entry(file: FileText, source: str, turns: Sequence[tuple[str, str]]) -> Iterator[str]:
    """With the line breaks and spaces of the entry that is there."""
    opening, closing = re.match(r"\{(\s*)", source), re.search(r"(\s*)\}\Z", source)
    lead, tail = (found[1] if found else "" for found in (opening, closing))
    colon, comma = re.search(r'"\s*:(\s*)', source), re.search(r',(\s*)"', source)
    space, between = (found[1] if found else " " for found in (colon, comma))
    ascii_only = "\\u" in file.text
    for role, text in turns:
        said, meant = (json.dumps(value, ensure_ascii=ascii_only) for value in (role, text))
        yield f'{{{lead}"role":{space}{said},{between}"content":{space}{meant}{tail}}}'


def _flow_entry(file: FileText, source: str, turns: Sequence[tuple[str, str]]) -> Iterator[str]:
    for role, text in turns:
        yield f'{{role: {role}, content: "{yamlflow.escape(text)}"}}'
