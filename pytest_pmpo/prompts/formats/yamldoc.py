"""YAML as data and as places in the file, from one pass, safe on hostile input.

Scalars follow the YAML 1.2 core schema, as the tools do that wrote these files (js-yaml, go-yaml): ``yes`` and ``on``
are text, and so are dates. A number stays a number only where writing it back gives the same characters; ``007`` and
``1.10`` keep their text, because a prompt shows characters. Tags never construct anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import yaml

from pytest_pmpo.errors import FormatError
from pytest_pmpo.prompts.formats.filetext import FileText

MAX_DEPTH = 100
MAX_VALUES = 200_000
"""Values a document may hold with every alias written out; stops alias bombs before anything walks them."""

PLAIN = "tag:pmpo,plain"
"""Tag of a scalar without quotes and without a tag: what it means is for ``scalar`` to say."""
_NULL = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]+\Z")
_PROPERTIES = re.compile(r"(?:[&!][^\s]*\s+)+")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the base is chosen at run time
    """Composes nodes; a plain scalar without a tag is marked as such and resolved by us."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {  # noqa: RUF012  # PyYAML's own name
        None: [(PLAIN, re.compile(""))]
    }


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A composed document.

    Attributes:
        file: the file it stands in.
        offset: index in ``file.text`` of the document's first character.
        root: the top node, or None for an empty document.
        shared: ids of nodes that an alias repeats; an edit there would change two places.
    """

    file: FileText
    offset: int
    root: yaml.Node | None
    shared: frozenset[int]

    def start(self, node: yaml.Node) -> int:
        """Index in the file's text where a node begins, its anchor and tag left out."""
        at = self.offset + _index(node)
        properties = _PROPERTIES.match(self.file.text, at)
        return properties.end() if properties else at

    def end(self, node: yaml.Node) -> int:
        """Index behind the last character of a scalar; blank lines that do not belong to its value stay outside."""
        start, end = self.start(node), self.offset + (node.end_mark.index if node.end_mark else 0)
        if not is_block(node):
            return max(start, end)
        source = self.file.text[start:end]
        header, _, body = source.partition("\n")
        if "+" in header.split("#")[0]:
            trimmed = re.sub(r"\r?\n\Z", "", source)
        else:
            trimmed = _without_blank_end(source) if body.strip() and node.value.strip("\n") else header.rstrip("\r")
        return start + len(trimmed)

    def line(self, node: yaml.Node) -> int:
        """1-based line of a node."""
        return self.file.line(self.offset + _index(node))

    def error(self, message: str, node: yaml.Node | None = None, hint: str | None = None) -> FormatError:
        """A FormatError at a node."""
        at = self.offset if node is None else self.offset + _index(node)
        return FormatError(message, location=self.file.at(at), hint=hint)

    def fields(self, node: yaml.Node) -> dict[str, yaml.Node]:
        """The keys of a mapping and their nodes; ``<<`` is merged.

        Raises:
            FormatError: the node is no mapping, or a key stands there twice.
        """
        if not isinstance(node, yaml.MappingNode):
            raise self.error("this should be a mapping", node)
        found: dict[str, yaml.Node] = {}
        merged: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.tag == PLAIN and key.value == "<<":
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in sources:
                    for name, inner in self.fields(source).items():
                        merged.setdefault(name, inner)
                continue
            name = key.value if isinstance(key, yaml.ScalarNode) else str(plain(key))
            if name in found:
                raise self.error(f"the key {name!r} stands here twice", key)
            found[name] = value
        return merged | found

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        """The entries of a sequence.

        Raises:
            FormatError: the node is no sequence.
        """
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(f"{what} should be a list", node)
        return list(node.value)

    def value(self, node: yaml.Node | None) -> Any:
        """A node as plain data."""
        return None if node is None else plain(node)


def compose(file: FileText, start: int = 0, end: int | None = None) -> YamlDocument:
    """The YAML document in ``file.text[start:end]``.

    Raises:
        FormatError: it does not parse, nests deeper than ``MAX_DEPTH``, holds more than ``MAX_VALUES`` values, or an
            alias contains itself.
    """
    text = file.text[start:end]
    try:
        _check_depth(text, file, start)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _syntax_error(error, file, start) from None
    shared = _check_size(root, file, start)
    return YamlDocument(file, start, root, shared)


def _check_depth(text: str, file: FileText, start: int) -> None:
    # The composer recurses on the C stack, so deep nesting must be found before it runs; the event stream is flat.
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if number > 2 * MAX_VALUES:
            raise FormatError(f"the YAML holds more than {MAX_VALUES} values", location=file.at(start + _index(event)))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise FormatError(
                    f"the YAML nests deeper than {MAX_DEPTH} levels", location=file.at(start + _index(event))
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_size(root: yaml.Node | None, file: FileText, start: int) -> frozenset[int]:
    measured: dict[int, tuple[int, int]] = {}  # node -> values and levels below it, aliases written out
    shared: set[int] = set()
    open_nodes: set[int] = set()

    def measure(node: yaml.Node) -> tuple[int, int]:
        if id(node) in measured:
            shared.add(id(node))
            return measured[id(node)]
        if id(node) in open_nodes:
            raise FormatError("a YAML alias contains itself", location=file.at(start + _index(node)))
        if isinstance(node, yaml.ScalarNode):
            return measured.setdefault(id(node), (1, 1))
        open_nodes.add(id(node))
        values, levels = 1, 1
        for child in _children(node):
            inner, depth = measure(child)
            values, levels = values + inner, max(levels, depth + 1)
        open_nodes.discard(id(node))
        if values > MAX_VALUES or levels > MAX_DEPTH + 1:
            raise FormatError(
                f"the YAML holds more than {MAX_VALUES} values or {MAX_DEPTH} levels once its aliases are written out",
                location=file.at(start + _index(node)),
            )
        measured[id(node)] = values, levels
        return measured[id(node)]

    if root is not None:
        measure(root)
    return frozenset(shared)


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    return chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value


def _syntax_error(error: yaml.YAMLError, file: FileText, start: int) -> FormatError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
    at = start + mark.index if mark is not None else start
    return FormatError(f"the YAML does not parse: {problem}", location=file.at(min(at, len(file.text))))


def _without_blank_end(source: str) -> str:
    """A text without the blank lines it ends with; spaces at the end of its last line stay."""
    visible = len(source.rstrip())
    line_end = source.find("\n", visible)
    return source if line_end < 0 else source[:line_end].removesuffix("\r")


def _index(marked: yaml.Node | yaml.Event) -> int:
    return marked.start_mark.index if marked.start_mark is not None else 0


def is_block(node: yaml.Node | None) -> bool:
    """Whether a node is a block scalar (``|`` or ``>``)."""
    return isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")


def plain(node: yaml.Node) -> Any:
    """A node as dict, list, str, int, float, bool or None. Unknown tags are ignored, never run."""
    if isinstance(node, yaml.ScalarNode):
        return scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [plain(child) for child in node.value]
    merged: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.tag == PLAIN and key.value == "<<":
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    merged = plain(source) | merged
            continue
        found[key.value if isinstance(key, yaml.ScalarNode) else repr(plain(key))] = plain(value)
    return merged | found


def scalar(node: yaml.ScalarNode) -> Any:
    """One scalar by the YAML 1.2 core schema; see the module's docstring for numbers."""
    text: str = node.value
    if node.tag != PLAIN:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text) and repr(float(text)) == text:
        return float(text)
    return text


def is_text(node: yaml.Node | None) -> bool:
    """Whether a node is a scalar that reads as text (not a number, a truth value or nothing)."""
    return isinstance(node, yaml.ScalarNode) and isinstance(scalar(node), str)


def written(node: yaml.Node | None) -> str | None:
    """A scalar as it is written, whatever it would resolve to; None for no scalar and for null."""
    if not isinstance(node, yaml.ScalarNode) or (node.tag == PLAIN and node.value in _NULL):
        return None
    text: str = node.value
    return text
