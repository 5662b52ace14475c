"""The pieces of a LangChain prompt file: templates, few-shot examples, chat messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import yaml

from pytest_pmpo.errors import FormatError, Location, PmpoError, TemplateError
from pytest_pmpo.prompts.formats import yamledit
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.chat import ROLES
from pytest_pmpo.prompts.formats.documents import compose_file
from pytest_pmpo.prompts.formats.filetext import FileText, decode
from pytest_pmpo.prompts.formats.messages import text_line
from pytest_pmpo.prompts.formats.paths import resolve
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, written
from pytest_pmpo.prompts.model import Engine, Expected, Fixture, Message, Note, Prompt, Role, Segment
from pytest_pmpo.prompts.render import render

_ENGINES: Mapping[str, Engine] = {"f-string": "fstring", "jinja2": "jinja2", "mustache": "mustache"}
_CLASSES: Mapping[str, str] = {
    "PromptTemplate": "prompt",
    "FewShotPromptTemplate": "few_shot",
    "ChatPromptTemplate": "chat",
}
_TURNS: Mapping[str, Role] = {"System": "system", "Human": "user", "AI": "assistant"}
_MAX_EXAMPLES = 1000
_MAX_EXAMPLE_TEXT = 2**20


@dataclass(frozen=True, slots=True)
class Part:
    """A template: its segments, its language, and the line it begins on."""

    segments: tuple[Segment, ...]
    engine: Engine
    line: int | None
    notes: tuple[Note, ...] = ()

    @property
    def text(self) -> str:
        """The whole template."""
        return "".join(segment.text for segment in self.segments)


def unwrap(document: YamlDocument, node: yaml.Node) -> tuple[str, Mapping[str, yaml.Node]]:
    """What a node is (``prompt``, ``few_shot``, ``chat``, or a class name) and its fields, in either form.

    Raises:
        FormatError: it is no mapping, or of a kind we do not know.
    """
    fields = document.fields(node)
    if "lc" not in fields or not isinstance(fields.get("kwargs"), yaml.MappingNode):
        kind = written(fields.get("_type")) or ("chat" if "messages" in fields else "prompt")
        return kind, fields
    names = document.value(fields.get("id"))
    name = str(names[-1]) if isinstance(names, list) and names else ""
    return _CLASSES.get(name, name), document.fields(fields["kwargs"])


def read_part(document: YamlDocument, node: yaml.Node, context: ParseContext) -> Part:
    """A ``prompt`` or a ``few_shot`` template.

    Raises:
        FormatError: it is another kind, it has no template, or a file it names cannot be read.
    """
    kind, fields = unwrap(document, node)
    if kind == "prompt":
        segment, line = _template(document, node, fields, "template", context)
        return Part((segment,), _engine(document, fields), line)
    if kind == "few_shot":
        return _few_shot(document, node, fields, context)
    raise document.error(f"a LangChain prompt of type {kind!r} is not supported", node)


def _engine(document: YamlDocument, fields: Mapping[str, yaml.Node]) -> Engine:
    name = written(fields.get("template_format")) or "f-string"
    if name not in _ENGINES:
        raise document.error(f"the template format {name!r} is not supported", fields["template_format"])
    return _ENGINES[name]


def _template(
    document: YamlDocument, node: yaml.Node, fields: Mapping[str, yaml.Node], key: str, context: ParseContext
) -> tuple[Segment, int | None]:
    """``key``, or the .txt file that ``key_path`` names."""
    if key in fields:
        return yamledit.segment(document, fields[key]), text_line(document, fields[key])
    name = written(fields.get(f"{key}_path"))
    if name is None:
        raise document.error(f"there is no {key}", node)
    if not name.endswith(".txt"):
        raise document.error(f"{key}_path {name!r} is not a .txt file", fields[f"{key}_path"])
    file = _file(document, fields[f"{key}_path"], name, context)
    return Segment(file.text, editable=False, path=file.path), None


def _file(document: YamlDocument, node: yaml.Node, name: str, context: ParseContext) -> FileText:
    """A file by its path from the prompt's folder, or from the repository's root, where LangChain is mostly run."""
    paths = [path for path in (resolve(document.file.path, name), resolve("root", name)) if path]
    if not paths:
        raise document.error(f"{name!r} leads out of the repository", node)
    problem = ""
    for path in dict.fromkeys(paths):
        try:
            return decode(path, context.read(path))
        except FormatError:
            raise
        except PmpoError as error:
            problem = problem or error.message
    raise document.error(f"{name!r} cannot be read: {problem}", node)


def _few_shot(document: YamlDocument, node: yaml.Node, fields: Mapping[str, yaml.Node], context: ParseContext) -> Part:
    if "example_selector" in fields and written(fields["example_selector"]) != "":
        raise document.error("an example selector picks examples by code, which is never run", node)
    engine = _engine(document, fields)
    separator = written(fields.get("example_separator"))
    separator = "\n\n" if separator is None else separator
    pieces: list[Segment] = []
    line: int | None = None
    if "prefix" in fields or "prefix_path" in fields:
        prefix, line = _template(document, node, fields, "prefix", context)
        pieces.append(prefix)
    pieces += [Segment(text, editable=False) for text in _examples(document, node, fields, context)]
    suffix, last = _template(document, node, fields, "suffix", context)
    pieces = [piece for piece in (*pieces, suffix) if piece.text]
    joined: list[Segment] = []
    for piece in pieces:
        joined += [Segment(separator, editable=False), piece] if joined and separator else [piece]
    return Part(tuple(joined), engine, line if line is not None else last)


def _examples(
    document: YamlDocument, node: yaml.Node, fields: Mapping[str, yaml.Node], context: ParseContext
) -> Iterator[str]:
    """Every example through the example template. As in LangChain, the result is template text once more."""
    template = _example_template(document, node, fields, context)
    examples = fields.get("examples")
    if examples is None:
        raise document.error("there are no examples", node)
    home = document
    name = written(examples)
    if name is not None:
        home = compose_file(_file(document, examples, name, context))
        examples = home.root
    items = home.items(examples, "examples") if examples is not None else []
    if len(items) > _MAX_EXAMPLES:
        raise home.error(f"more than {_MAX_EXAMPLES} examples", examples)
    if template.engine == "jinja2":
        raise document.error("an example template in Jinja is refused, as LangChain does", node)
    total = 0
    prompt = Prompt(document.file.path, "langchain", template.engine, (Message("user", template.segments),), "")
    for number, item in enumerate(items, 1):
        values = home.value(item)
        if not isinstance(values, dict):
            raise home.error("an example should be a mapping", item)
        try:
            (turn,) = render(prompt, Fixture(str(number), values, Expected("")))
        except TemplateError as error:
            raise home.error(f"example {number} does not fit its template: {error.message}", item) from error
        total += len(turn.content)
        if total > _MAX_EXAMPLE_TEXT:
            raise home.error(f"the examples make more than {_MAX_EXAMPLE_TEXT:,} characters", item)
        yield turn.content


def _example_template(
    document: YamlDocument, node: yaml.Node, fields: Mapping[str, yaml.Node], context: ParseContext
) -> Part:
    if "example_prompt" in fields:
        return read_part(document, fields["example_prompt"], context)
    name = written(fields.get("example_prompt_path"))
    if name is None:
        raise document.error("there is no example_prompt", node)
    other = compose_file(_file(document, fields["example_prompt_path"], name, context))
    if other.root is None:
        raise other.error("the example prompt is empty")
    return read_part(other, other.root, context)


# --- chats -----------------------------------------------------------------------------------------------------------

Chat = tuple[tuple[Message, ...], int | None, Engine, tuple[Note, ...]]


def read_chat(document: YamlDocument, fields: Mapping[str, yaml.Node], context: ParseContext) -> Chat:
    """The turns of a chat, where earlier turns go, and its template language.

    Raises:
        FormatError: there are no messages, or one of a kind that cannot be scored.
    """
    if "messages" not in fields:
        raise document.error("there are no messages")
    messages: list[tuple[Message, bool]] = []
    engines: set[Engine] = set()
    history: int | None = None
    notes: list[Note] = []
    items = document.items(fields["messages"], "messages")
    for number, item in enumerate(items):
        kind, inner = unwrap(document, item)
        if kind == "MessagesPlaceholder":
            history = len(messages)
            continue
        role = _role(document, item, kind, inner)
        if role is None and number > 0:
            what = f"LangChain's loader reads the first message only; {len(items) - number} more left out"
            notes.append(Note(what, document.file.at(document.start(item))))
            break
        part = _message_part(document, item, kind, inner, context)
        engines.add(part.engine)
        fixed = kind.endswith("Message")  # a message, not a template of one
        messages.append((Message(role or "user", part.segments, part.line), fixed))
    engines.discard("none")
    if len(engines) > 1:
        raise document.error("the messages mix template formats", fields["messages"])
    engine = engines.pop() if engines else "none"
    turns = (_fixed(document, message, engine) if fixed else message for message, fixed in messages)
    return tuple(turns), history, engine, tuple(notes)


def _role(document: YamlDocument, node: yaml.Node, kind: str, fields: Mapping[str, yaml.Node]) -> Role | None:
    """The role of a message; None where the file does not say it."""
    for name, role in _TURNS.items():
        if kind in (f"{name}MessagePromptTemplate", f"{name}Message"):
            return role
    said = written(fields.get("role")) or written(fields.get("type"))
    if said is None:
        return None
    if said.lower() not in ROLES:
        raise document.error(f"{said!r} is not a role", node)
    return ROLES[said.lower()]


def _message_part(
    document: YamlDocument, node: yaml.Node, kind: str, fields: Mapping[str, yaml.Node], context: ParseContext
) -> Part:
    if "prompt" in fields:
        if isinstance(fields["prompt"], yaml.SequenceNode):
            parts = [read_part(document, item, context) for item in fields["prompt"].value]
            segments = tuple(segment for part in parts for segment in part.segments)
            return Part(segments, parts[0].engine if parts else "none", parts[0].line if parts else None)
        return read_part(document, fields["prompt"], context)
    content = fields.get("content")
    if content is None:
        raise document.error("this message has neither prompt nor content", node)
    segment = yamledit.segment(document, content)
    return Part((segment,), "none" if kind.endswith("Message") else "fstring", text_line(document, content))


def _fixed(document: YamlDocument, message: Message, engine: Engine) -> Message:
    """A message that is no template, in a chat whose others are: its signs of that language are escaped."""
    text = message.text
    if engine == "fstring":
        text = text.replace("{", "{{").replace("}", "}}")
    elif engine != "none" and ("{{" in text or "{%" in text):
        where = None if message.line is None else Location(document.file.path, message.line)
        raise FormatError(f"a fixed message holds {engine} signs, which would be filled in", location=where)
    if text == message.text:
        return message
    return replace(message, segments=(Segment(text, editable=False),))
