"""OpenAI-style message lists in JSON or YAML: a list of ``role`` and ``content``, or a mapping with ``messages``.

Text with ``{{`` is a Jinja template, as such files are mostly filled; a mapping may say ``engine:`` instead, carry
``name:``, and hold our own ``fixtures:``. Where the last turn is the assistant's, it is the answer: the turns before it
are the prompt, and it is the label of a fixture without variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import get_args

import yaml

from pytest_pmpo.errors import FixtureError, Location
from pytest_pmpo.prompts.fixtures import Row, check_unique, parse_rows
from pytest_pmpo.prompts.formats import yamledit
from pytest_pmpo.prompts.formats.base import Insertion, ParseContext
from pytest_pmpo.prompts.formats.chat import empty_prompt, message_role
from pytest_pmpo.prompts.formats.documents import compose_file
from pytest_pmpo.prompts.formats.filetext import decode
from pytest_pmpo.prompts.formats.implied import with_implied
from pytest_pmpo.prompts.formats.newturns import list_insertion
from pytest_pmpo.prompts.formats.ownrows import listed_fixtures
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, is_block, written
from pytest_pmpo.prompts.model import Engine, Fixture, Message, Prompt, PromptSuite, Segment, Turn

_NAME = re.compile(r"\.(messages|chat|prompt)\.(json|ya?ml)\Z")
_JSON = re.compile(rb'\s*(\{\s*"(?:messages|name)"|\[\s*\{\s*"(?:role|content)")')
_YAML = re.compile(rb"(?:\s*#[^\n]*\n)*[ \t]*-\s+(?:role|content)[ \t]*:")


class MessagesFormat:
    """Reads message lists."""

    name = "messages"

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        """By name (``x.messages.json``, ``x.chat.yaml``, ``x.prompt.json``), or by how the file begins."""
        name = path.name.lower()
        if _NAME.search(name):
            return True
        if name.endswith(".json"):
            return bool(_JSON.match(head)) and b'"role"' in head
        return name.endswith((".yaml", ".yml")) and bool(_YAML.match(head)) and b"role:" in head

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        """One prompt, with the fixtures under ``fixtures`` and the answer of its own last turn.

        Raises:
            FormatError: the file does not parse, or a message is malformed or holds anything but text.
            FixtureError: a fixture in the file is malformed.
        """
        file = decode(path, data)
        document = compose_file(file)
        if document.root is None:
            raise empty_prompt(file)
        mapping = isinstance(document.root, yaml.MappingNode)
        fields = document.fields(document.root) if mapping else {}
        if mapping and "messages" not in fields:
            raise document.error("there are no messages", document.root)
        messages = read_messages(document, fields.get("messages", document.root))
        messages, answer = _split_answer(document, messages, context)
        if not any(message.text.strip() for message in messages):
            raise empty_prompt(file)
        metadata = {key: document.value(node) for key, node in fields.items() if key not in _READ}
        engine = _engine(document, fields, messages)
        prompt = Prompt(
            path=path,
            format=self.name,
            engine=engine,
            messages=messages,
            digest=file.digest,
            name=written(fields.get("name")) or PurePosixPath(path).name.split(".")[0],
            inputs=with_implied({}, messages, engine),
            metadata=metadata,
        )
        fixtures = (*answer, *listed_fixtures(document, fields.get("fixtures"), context))
        check_unique(fixtures)
        return (PromptSuite(prompt, fixtures),)

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        """The text in the style its scalar has."""
        return yamledit.encode_segment(segment, text, data, prompt.path)

    def insertion(self, prompt: Prompt, data: bytes, place: int, turns: Sequence[Turn]) -> Insertion:
        """Entries of the list."""
        document = compose_file(decode(prompt.path, data))
        if document.root is None:
            raise document.error("the file is empty")
        root = document.root
        messages = document.fields(root)["messages"] if isinstance(root, yaml.MappingNode) else root
        return list_insertion(document, messages, place, turns)


_READ = ("messages", "name", "engine", "fixtures")


def read_messages(document: YamlDocument, node: yaml.Node) -> tuple[Message, ...]:
    """The turns of a list of ``role`` and ``content``.

    Raises:
        FormatError: it is no such list, or a content holds anything but text.
    """
    return tuple(_message(document, item) for item in document.items(node, "the messages"))


def _message(document: YamlDocument, node: yaml.Node) -> Message:
    fields = document.fields(node)
    role = message_role(document, written(fields.get("role")), fields.get("role", node))
    content = fields.get("content")
    if content is None:
        raise document.error("this message has no content", node)
    segments = _segments(document, content)
    return Message(role, segments, text_line(document, content))


def _segments(document: YamlDocument, content: yaml.Node) -> tuple[Segment, ...]:
    if not isinstance(content, yaml.SequenceNode):
        return (yamledit.segment(document, content),)
    return tuple(_part(document, part) for part in content.value)


def _part(document: YamlDocument, node: yaml.Node) -> Segment:
    fields = document.fields(node)
    kind = written(fields.get("type")) or "text"
    if kind not in ("text", "input_text", "output_text") or "text" not in fields:
        raise document.error(f"this content is of type {kind!r}: only text can be scored", node)
    return yamledit.segment(document, fields["text"])


def text_line(document: YamlDocument, node: yaml.Node) -> int:
    """1-based line of a scalar's first line of text; in a block scalar that is the one below its header."""
    return document.line(node) + int(is_block(node))


def _split_answer(
    document: YamlDocument, messages: tuple[Message, ...], context: ParseContext
) -> tuple[tuple[Message, ...], tuple[Fixture, ...]]:
    if not messages or messages[-1].role != "assistant":
        return messages, ()
    *before, last = messages
    where = Location(document.file.path, last.line)
    if not last.text.strip() or not context.wants_fixtures:
        return tuple(before), ()
    if any("{{" in message.text for message in messages):
        raise FixtureError(
            "the last turn is the assistant's, so it is the answer, but the messages are templates",
            location=where,
            hint="end with the user's turn and put answers into a sidecar",
        )
    return tuple(before), parse_rows([Row({"vars": {}, "expected": last.text}, where)])


def _engine(document: YamlDocument, fields: Mapping[str, yaml.Node], messages: tuple[Message, ...]) -> Engine:
    name = written(fields.get("engine"))
    if name is not None and name not in get_args(Engine):
        raise document.error(f"{name!r} is not one of {', '.join(get_args(Engine))}", fields["engine"])
    if name is not None:
        return name  # type: ignore[return-value]  # checked against Engine's own values
    return "jinja2" if any("{{" in message.text for message in messages) else "none"
