"""GitHub Models ``.prompt.yml`` / ``.prompt.yaml`` (gh-models ``pkg/prompt`` and ``cmd/eval``).

Placeholders are literal: ``{{name}}`` without inner spaces, replaced as text. GitHub leaves one in place when the row
has no such key; here that is an error, since nobody means to measure it. Every key of a ``testData`` row is a
variable; the first of the configured label keys is the answer. Evaluators say how an answer is compared, so they say
what loss can score: see ``github_tests.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from pytest_pmpo.prompts.formats import yamledit
from pytest_pmpo.prompts.formats.base import Insertion, ParseContext
from pytest_pmpo.prompts.formats.chat import empty_prompt
from pytest_pmpo.prompts.formats.filetext import decode
from pytest_pmpo.prompts.formats.github_tests import read_rows
from pytest_pmpo.prompts.formats.messages import read_messages
from pytest_pmpo.prompts.formats.newturns import list_insertion
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, compose, written
from pytest_pmpo.prompts.model import Prompt, PromptSuite, Segment, Turn

_SUFFIXES = (".prompt.yml", ".prompt.yaml")
_KEYS = re.compile(rb"^(messages|model|modelParameters|testData|evaluators|responseFormat|jsonSchema):", re.MULTILINE)
_ROLE = re.compile(rb"^[ \t]*-[ \t]+role[ \t]*:", re.MULTILINE)
_ANOTHER = re.compile(r"\.(messages|chat)\.ya?ml\Z")
_READ = ("name", "messages", "testData")


class GitHubFormat:
    """Reads ``.prompt.yml``, and the same schema under other names when its keys give it away."""

    name = "github"

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        """By suffix, or a YAML mapping with ``messages`` that hold roles or stand beside another key of the schema."""
        name = path.name.lower()
        if name.endswith(_SUFFIXES):
            return True
        if not name.endswith((".yml", ".yaml")) or _ANOTHER.search(name):
            return False
        keys = set(_KEYS.findall(head))
        return b"messages" in keys and (len(keys) > 1 or _ROLE.search(head) is not None)

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        """One prompt with the rows of its ``testData``.

        Raises:
            FormatError: not YAML, no messages, or a message without role or content.
            FixtureError: a row without a label where other rows have one.
        """
        file = decode(path, data)
        document = compose(file)
        if document.root is None:
            raise empty_prompt(file)
        fields = document.fields(document.root)
        if "messages" not in fields:
            raise document.error("there are no messages", hint="a .prompt.yml file needs a list under `messages:`")
        messages = read_messages(document, fields["messages"])
        if not any(message.text.strip() for message in messages):
            raise empty_prompt(file, document.line(fields["messages"]))
        fixtures, notes = read_rows(document, fields, context)
        prompt = Prompt(
            path=path,
            format=self.name,
            engine="literal",
            messages=messages,
            digest=file.digest,
            name=written(fields.get("name")) or PurePosixPath(path).name.split(".")[0],
            metadata=_metadata(document, fields),
            notes=notes,
        )
        return (PromptSuite(prompt, fixtures),)

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        """The scalar re-written in its own YAML style where that can hold the text."""
        return yamledit.encode_segment(segment, text, data, prompt.path)

    def insertion(self, prompt: Prompt, data: bytes, place: int, turns: Sequence[Turn]) -> Insertion:
        """Entries of the list ``messages``."""
        document = compose(decode(prompt.path, data))
        return list_insertion(document, document.fields(_root(document))["messages"], place, turns)


def _root(document: YamlDocument) -> yaml.Node:
    if document.root is None:
        raise document.error("the file is empty")
    return document.root


def _metadata(document: YamlDocument, fields: Mapping[str, yaml.Node]) -> dict[str, Any]:
    metadata = {key: document.value(node) for key, node in fields.items() if key not in _READ}
    schema = metadata.get("jsonSchema")
    if isinstance(schema, str):
        try:
            metadata["jsonSchema"] = json.loads(schema)
        except (ValueError, RecursionError):
            metadata["jsonSchema"] = schema
    return metadata
