"""LangChain prompts saved as YAML or JSON: ``prompt``, ``few_shot``, ``chat``, and the serialised ``lc: 1`` form.

Everything is read as data. f-strings are formatted without attribute or index access. LangChain's own loader refuses
Jinja since CVE-2023-36281; here it runs in the sandbox. Paths stay in the repository (CVE-2026-34070).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pytest_pmpo.errors import EditError
from pytest_pmpo.prompts.formats import braces as braces  # makes the engine known
from pytest_pmpo.prompts.formats import yamledit
from pytest_pmpo.prompts.formats.base import Insertion, ParseContext
from pytest_pmpo.prompts.formats.chat import empty_prompt
from pytest_pmpo.prompts.formats.documents import compose_file
from pytest_pmpo.prompts.formats.filetext import decode
from pytest_pmpo.prompts.formats.langchainparts import Part, read_chat, read_part, unwrap
from pytest_pmpo.prompts.formats.newturns import list_insertion
from pytest_pmpo.prompts.formats.ownrows import own_fixtures
from pytest_pmpo.prompts.formats.yamldoc import written
from pytest_pmpo.prompts.model import Message, Prompt, PromptSuite, Segment, Turn, Variable

_TYPE = re.compile(rb"(?:^|[{,])[ \t]*\"?_type\"?[ \t]*:[ \t]*[\"']?(prompt|few_shot|chat)\b", re.MULTILINE)
_PARTS = re.compile(rb"\"?(input_variables|template|template_path)\"?[ \t]*:")
_LC = re.compile(rb"\"?lc\"?[ \t]*:[ \t]*1\b")
_READ = (
    *("template", "prefix", "suffix", "examples", "example_prompt", "messages"),
    *("partial_variables", "input_variables"),
)


class LangChainFormat:
    """Reads LangChain's saved prompts."""

    name = "langchain"

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        """A YAML or JSON file with ``_type``, with ``input_variables`` and a template, or with ``lc: 1``."""
        if not path.name.lower().endswith((".json", ".yaml", ".yml")):
            return False
        parts = set(_PARTS.findall(head))
        if _TYPE.search(head) or (b"input_variables" in parts and len(parts) > 1):
            return True
        return bool(_LC.search(head)) and b"PromptTemplate" in head

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        """One prompt, with the fixtures under ``metadata`` → ``pmpo`` → ``fixtures``.

        Raises:
            FormatError: the file does not parse, a part is missing, a path leads out of the repository, or a kind of
                message or selector cannot be scored.
        """
        file = decode(path, data)
        document = compose_file(file)
        if document.root is None:
            raise empty_prompt(file)
        kind, fields = unwrap(document, document.root)
        if kind == "chat":
            messages, history, engine, notes = read_chat(document, fields, context)
        else:
            part = read_part(document, document.root, context)
            messages, history, engine, notes = (_turn(part),), None, part.engine, part.notes
        if not any(message.text.strip() for message in messages):
            raise empty_prompt(file)
        metadata: dict[str, Any] = {key: document.value(node) for key, node in fields.items() if key not in _READ}
        if history is not None:
            metadata["history_index"] = history
        prompt = Prompt(
            path=path,
            format=self.name,
            engine=engine,
            messages=messages,
            digest=file.digest,
            name=written(fields.get("name")) or PurePosixPath(path).name.split(".")[0],
            inputs=_inputs(document.value(fields.get("partial_variables"))),
            metadata=metadata,
            notes=notes,
        )
        return (PromptSuite(prompt, own_fixtures(document, fields, ("metadata", "pmpo"), context)),)

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        """The text in the style its scalar has."""
        return yamledit.encode_segment(segment, text, data, prompt.path)

    def insertion(self, prompt: Prompt, data: bytes, place: int, turns: Sequence[Turn]) -> Insertion:
        """Entries of a chat's ``messages``, where those are written as role and content.

        Raises:
            EditError: no chat, or one with a place for earlier turns, before or behind which examples might belong.
        """
        file = decode(prompt.path, data)
        document = compose_file(file)
        kind, fields = unwrap(document, document.root) if document.root is not None else ("", {})
        if kind != "chat" or "history_index" in prompt.metadata:
            raise EditError("turns can only be added to a chat without a messages placeholder", location=file.at(0))
        return list_insertion(document, fields["messages"], place, turns)


def _turn(part: Part) -> Message:
    return Message("user", part.segments, part.line)


def _inputs(partial: Any) -> Mapping[str, Variable]:
    values = partial if isinstance(partial, dict) else {}
    return {name: Variable(name, default=value, has_default=True) for name, value in values.items()}
