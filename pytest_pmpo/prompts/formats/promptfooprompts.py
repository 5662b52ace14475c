"""The ``prompts`` of a promptfoo file: inline texts, files, globs, chats; several per file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import yaml

from pytest_pmpo.errors import FormatError
from pytest_pmpo.prompts.formats import rawtext, yamledit
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.documents import compose_file
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.formats.jsondoc import compose_json
from pytest_pmpo.prompts.formats.messages import read_messages, text_line
from pytest_pmpo.prompts.formats.references import code_in, is_remote, paths_of, read_at
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, compose, written
from pytest_pmpo.prompts.model import Message, Note, Segment

_FILE_SUFFIXES = (".txt", ".md", ".j2", ".json", ".jsonl", ".yaml", ".yml", ".csv")
_LOOKS_LIKE_FILE = re.compile(r"[\w@.*?/\\ \[\]-]+\Z")
_CHAT_JSON = re.compile(r"\s*(?:\[\s*\{|\{\s*\"messages\")")
_CHAT_YAML = re.compile(r"\s*-\s*(?:role|content)\s*:")
_SEPARATOR = re.compile(r"^---[ \t]*\r?$\n?", re.MULTILINE)
_MAX_PROMPTS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One prompt: how it may be called, and its turns."""

    label: str
    messages: tuple[Message, ...]
    labelled: bool = False
    identifier: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What a test's ``prompts`` filter may call it."""
        return (self.label, self.identifier, "".join(message.text for message in self.messages))


def read_entries(
    document: YamlDocument, node: yaml.Node, context: ParseContext
) -> tuple[tuple[Entry, ...], tuple[Note, ...]]:
    """Every prompt that is text, and a note on each that is code or lies in the network.

    Raises:
        FormatError: a file is not there, out of the repository, or not what its suffix says.
    """
    entries: list[Entry] = []
    refused: list[Note] = []
    for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        found = _entry(document, item, context)
        for one in found:
            if isinstance(one, Note):
                refused.append(one)
            else:
                entries.append(one)
        if len(entries) > _MAX_PROMPTS:
            raise document.error(f"more than {_MAX_PROMPTS} prompts", node)
    return _distinct(entries), tuple(refused)


def _distinct(entries: list[Entry]) -> tuple[Entry, ...]:
    """Prompts with one label each: their place in the list where they have none, and a number behind a repeated one.

    A label never comes from the text: base and head are matched by it.
    """
    seen: dict[str, int] = {}
    distinct = []
    for place, entry in enumerate(entries, 1):
        label = entry.label or str(place)
        seen[label] = seen.get(label, 0) + 1
        distinct.append(replace(entry, label=label if seen[label] == 1 else f"{label}-{seen[label]}"))
    return tuple(distinct)


def _entry(document: YamlDocument, node: yaml.Node, context: ParseContext) -> Iterator[Entry | Note]:
    label, source, identifier = "", node, ""
    if isinstance(node, yaml.MappingNode):
        fields = document.fields(node)
        label = written(fields.get("label")) or ""
        identifier = written(fields.get("id")) or ""
        chosen = fields.get("raw", fields.get("id"))
        if chosen is None:
            raise document.error("this prompt has neither raw nor id", node)
        source = chosen
    text = written(source)
    if text is None:
        raise document.error("this prompt is not text", source)
    where = document.file.at(document.start(source))
    code = code_in(text) if "\n" not in text else None
    if code is not None:
        yield Note(f"prompt {text!r} is code, which is never run", where)
    elif is_remote(text):
        yield Note(f"prompt {label or text!r} lies in the network", where)
    elif text.startswith("file://") or (_is_file(text) and "raw" not in _keys(document, node)):
        for path in paths_of(document, source, text, context):
            if code_in(path):
                yield Note(f"prompt {path!r} is code, which is never run", where)
                continue
            yield from _file_entries(read_at(document, source, path, context), label, identifier)
    else:
        yield Entry(label or identifier, _inline(document, source, text), bool(label or identifier), identifier)


def _keys(document: YamlDocument, node: yaml.Node) -> frozenset[str]:
    return frozenset(document.fields(node)) if isinstance(node, yaml.MappingNode) else frozenset()


def _is_file(text: str) -> bool:
    return (
        text.lower().endswith(_FILE_SUFFIXES) and _LOOKS_LIKE_FILE.match(text) is not None and " " not in text.strip()
    )


def _inline(document: YamlDocument, node: yaml.Node, text: str) -> tuple[Message, ...]:
    chat = _chat(document.file.path, text)
    if chat is None:
        return (Message("user", (yamledit.segment(document, node),), text_line(document, node)),)
    # a chat inside a scalar is encoded twice: its texts have no bytes of their own
    line = text_line(document, node)
    return tuple(Message(m.role, tuple(replace(s, span=None, editable=False) for s in m.segments), line) for m in chat)


def _chat(path: str, text: str) -> tuple[Message, ...] | None:
    """The turns of a text that is itself a JSON or YAML chat, or None."""
    file = FileText(path, b"", text)
    try:
        if _CHAT_JSON.match(text) and '"role"' in text:
            inner = compose_json(file)
        elif _CHAT_YAML.match(text):
            inner = compose(file)
        else:
            return None
        return _messages_of(inner)
    except FormatError as error:
        raise FormatError(
            f"a chat that cannot be read before it is filled in: {error.message}", location=error.location
        ) from None


def _messages_of(document: YamlDocument) -> tuple[Message, ...]:
    root = document.root
    if isinstance(root, yaml.MappingNode):
        root = document.fields(root).get("messages")
    if root is None:
        raise document.error("there are no messages")
    return read_messages(document, root)


def _file_entries(file: FileText, label: str, identifier: str) -> Iterator[Entry]:
    suffix = PurePosixPath(file.path).suffix.lower()
    if suffix in (".json", ".yaml", ".yml"):
        messages = _elsewhere(_messages_of(compose_file(file)), file)
        yield Entry(label or file.path, messages, bool(label), identifier or file.path)
        return
    if suffix == ".csv":
        yield from _csv_entries(file, identifier)
        return
    pieces = list(_pieces(file, suffix))
    for number, (start, end) in enumerate(pieces, 1):
        name = label or file.path
        unique = f"{name}#{number}" if len(pieces) > 1 else name
        chat = _chat(file.path, file.text[start:end])
        if chat is None:
            segment = rawtext.segment(file, start, end)
            chat = (Message("user", (segment,), file.line(start)),)
        yield Entry(unique, _elsewhere(chat, file), bool(label), identifier or file.path)


def _pieces(file: FileText, suffix: str) -> Iterator[tuple[int, int]]:
    """Character ranges of the prompts in a text file: parted by ``---`` lines in .txt, by line in .jsonl."""
    if suffix == ".jsonl":
        cuts = [(m.start(), m.end()) for m in re.finditer(r"\r?\n", file.text)]
    else:
        cuts = [(m.start(), m.end()) for m in _SEPARATOR.finditer(file.text)] if suffix == ".txt" else []
    start = 0
    for cut, behind in [*cuts, (len(file.text), len(file.text))]:
        a, b = rawtext.trim(file.text, start, cut, None)
        if a < b:
            yield a, b
        start = behind


def _elsewhere(messages: tuple[Message, ...], file: FileText) -> tuple[Message, ...]:
    def moved(segment: Segment) -> Segment:
        return replace(segment, editable=False, path=file.path)

    return tuple(replace(m, segments=tuple(map(moved, m.segments)), line=None) for m in messages)


def _csv_entries(file: FileText, identifier: str) -> Iterator[Entry]:
    try:
        rows = list(csv.DictReader(io.StringIO(file.text, newline="")))
    except csv.Error as error:
        raise FormatError(f"the CSV does not parse: {error}", location=file.at(0)) from None
    for number, row in enumerate(rows, 1):
        text = (row.get("prompt") or "").strip()
        if text:
            message = Message("user", (Segment(text, editable=False, path=file.path),))
            label = row.get("label") or ""
            yield Entry(label or f"{file.path}#{number}", (message,), bool(label), identifier or file.path)
