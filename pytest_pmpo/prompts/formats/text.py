"""Plain prompt files: ``.md``, ``.txt``, ``.j2``, ``.jinja``, ``.jinja2``.

The whole file is one Jinja template. How it becomes turns:

* it uses a variable or a block → one user turn;
* it uses none, so nothing of a fixture could reach the model → it is taken for instructions: a system turn, followed by
  a user turn that holds the fixture's ``input``.

Front matter (YAML between ``---`` lines) may say otherwise: ``role: user`` or ``role: system`` (a system turn is always
followed by the ``input`` turn), ``engine:`` (``jinja2``, ``literal``, ``fstring``, ``none``), ``name:``, ``inputs:``
(name → default). Line ends before and behind the text are not part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, get_args

from pytest_pmpo.errors import FormatError
from pytest_pmpo.prompts.formats import frontmatter, rawtext, yamldoc
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.filetext import FileText, decode, is_blank
from pytest_pmpo.prompts.model import Engine, Message, Prompt, PromptSuite, Role, Segment, Variable

SUFFIXES = (".md", ".markdown", ".txt", ".j2", ".jinja", ".jinja2")
_NOT_PROMPTS = re.compile(
    r"(readme|changelog|contributing|license|licence|code_of_conduct|security|notice|authors|history|todo|"
    r"(dev-|test-)?requirements.*|constraints.*)(\..*)?\Z",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"\{\{|\{%")
_FIRST_KEY = re.compile(r"\s*(?:#.*\n\s*)*[A-Za-z_][\w.-]*[ \t]*:(?:\s|\Z)")
INPUT_TURN = Message("user", (Segment("{{ input }}", editable=False, style="implied"),))
"""The turn that carries a fixture's ``input`` behind a system prompt that uses no variable."""


def is_document(name: str) -> bool:
    """Whether a file of that name is one of a repository's own papers, and no prompt."""
    return _NOT_PROMPTS.match(name) is not None


class TextFormat:
    """One template per file; see the module's docstring."""

    name = "text"

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        """By suffix; README, LICENSE, requirements and the like are not prompts."""
        name = path.name.lower()
        if is_document(name) or re.search(r"\.fixtures\.[a-z]+\Z", name):
            return False
        return name.endswith(SUFFIXES)

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        """One prompt, no fixtures: those are in a sidecar.

        Raises:
            FormatError: not UTF-8, empty, or front matter that does not parse.
        """
        file = decode(path, data)
        metadata, body = _front_matter(file)
        return (PromptSuite(read_template(file, body, metadata, self.name), ()),)

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        """The text itself, with the file's line ends."""
        return rawtext.encode_segment(segment, text, data, decode(prompt.path, data))


def read_template(file: FileText, body: int, metadata: Mapping[str, Any], format_name: str) -> Prompt:
    """The prompt of a file whose text from character ``body`` on is one template.

    Raises:
        FormatError: the text is empty, or ``role`` or ``engine`` is not one of ours.
    """
    start, end = rawtext.trim(file.text, body, len(file.text), "\r\n")
    if is_blank(file.text[start:end]):
        raise FormatError("the prompt is empty", location=file.at(start))
    segment = rawtext.segment(file, start, end)
    engine = _one_of(file, metadata, "engine", get_args(Engine), "jinja2")
    implied = "user" if _TEMPLATE.search(segment.text) or engine == "fstring" else "system"
    role = _one_of(file, metadata, "role", ("system", "user"), implied)
    first = Message(_role(role), (segment,), file.line(start))
    path = PurePosixPath(file.path)
    return Prompt(
        path=file.path,
        format=format_name,
        engine=engine,  # type: ignore[arg-type]  # checked against Engine's own values above
        messages=(first, INPUT_TURN) if role == "system" else (first,),
        digest=file.digest,
        name=str(metadata.get("name") or path.name.split(".")[0]),
        inputs=_inputs(metadata.get("inputs")),
        metadata=dict(metadata),
    )


def _front_matter(file: FileText) -> tuple[dict[str, Any], int]:
    if not re.match(r"(?:[ \t]*\r?\n)*---[ \t]*\r?\n", file.text):
        return {}, 0
    try:
        matter = frontmatter.split(file)
    except FormatError:
        return {}, 0  # a rule at the top of a text, not front matter
    if matter is None or not _FIRST_KEY.match(file.text[matter.start : matter.end]):
        return {}, 0
    document = yamldoc.compose(file, matter.start, matter.end)
    if document.root is None:
        return {}, matter.body
    return {name: document.value(node) for name, node in document.fields(document.root).items()}, matter.body


def _one_of(file: FileText, metadata: Mapping[str, Any], key: str, allowed: tuple[str, ...], default: str) -> str:
    value = metadata.get(key, default)
    if value not in allowed:
        raise FormatError(
            f"{key}: {value!r} is not one of {', '.join(allowed)}",
            location=file.at(0),
        )
    return str(value)


def _role(role: str) -> Role:
    return "system" if role == "system" else "user"


def _inputs(declared: Any) -> dict[str, Variable]:
    if isinstance(declared, list):
        return {str(name): Variable(str(name)) for name in declared}
    if not isinstance(declared, dict):
        return {}
    return {name: Variable(name, default=value, has_default=value is not None) for name, value in declared.items()}
