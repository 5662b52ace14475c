"""New text for one YAML scalar: written in the style it has, checked by parsing the whole file again.

Every style offers one or more ways to write the text, nearest to the old bytes first; the first that parses back to
exactly the text, and leaves every other value of the file as it was, is taken. Double quotes can hold any text, so they
come last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from pytest_pmpo.errors import EditError, FormatError
from pytest_pmpo.prompts.formats import jsonstyle, yamlblock, yamlflow
from pytest_pmpo.prompts.formats.documents import compose_file, is_json
from pytest_pmpo.prompts.formats.filetext import FileText, decode
from pytest_pmpo.prompts.formats.rawtext import normalized, with_line_ends
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, is_text, scalar
from pytest_pmpo.prompts.formats.yamlplace import Place, printable
from pytest_pmpo.prompts.model import Segment

STYLES = {"|": "literal", ">": "folded", "'": "single", '"': "double"}
_WRITERS = {
    "literal": yamlblock.literal,
    "folded": yamlblock.folded,
    "flow": yamlflow.plain,
    "single": yamlflow.single,
    "double": yamlflow.double,
}
_NEAREST = {
    "literal": ("literal", "double"),
    "folded": ("folded", "literal", "double"),
    "flow": ("flow", "single", "literal", "double"),
    "single": ("single", "literal", "double"),
    "double": ("double",),
}


def segment(document: YamlDocument, node: yaml.Node) -> Segment:
    """A scalar as a segment; one that an alias repeats elsewhere cannot be edited.

    Raises:
        FormatError: the node is not a scalar.
    """
    if not isinstance(node, yaml.ScalarNode):
        raise document.error("this should be text", node)
    text = "" if scalar(node) is None else node.value
    style = STYLES.get(node.style or "", "flow")
    if id(node) in document.shared:
        return Segment(text, editable=False, style=style)
    return Segment(text, span=document.file.span(document.start(node), document.end(node)), style=style)


def encode_segment(segment: Segment, text: str, data: bytes, path: str) -> bytes:
    """The bytes for ``segment.span`` of a YAML (or JSON) file that parse back to ``text``.

    Raises:
        EditError: the segment is not a scalar of this file, or no style can hold the text there.
    """
    file = decode(path, data)
    document = compose_file(file)
    node = _find(document, segment)
    start, end = document.start(node), document.end(node)
    expected = _values(document, node, text)
    for candidate in _candidates(file, document, node, text):
        changed = file.text[:start] + candidate + file.text[end:]
        if _parses_to(path, changed, expected):
            return candidate.encode("utf-8")
    raise EditError("no YAML style can hold this text here", location=file.at(start))


def _find(document: YamlDocument, segment: Segment) -> yaml.ScalarNode:
    if segment.span is not None and document.root is not None:
        for node in _walk(document.root):
            if isinstance(node, yaml.ScalarNode) and document.file.byte(document.start(node)) == segment.span.start:
                return node
    raise EditError("this text has no place of its own in the file", location=document.file.at(0))


def _candidates(file: FileText, document: YamlDocument, node: yaml.ScalarNode, text: str) -> Iterator[str]:
    start = document.start(node)
    source = file.text[start : document.end(node)]
    place = Place(normalized(source), node.value, _indent(file.text, start))
    style = STYLES.get(node.style or "", "flow")
    if is_json(file):
        yield jsonstyle.encode(source, node.value, text)
        return
    for name in _NEAREST[style] if printable(text) else ("double",):
        for candidate in _WRITERS[name](place, text):
            yield with_line_ends(source, candidate, file.eol)


def _indent(text: str, start: int) -> int:
    """Columns to indent a block scalar that begins at ``start``: two more than its key, or in line with its dash."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    opening = re.match(r"[ ]*(?:[-?][ ]+)*", line)
    column = opening.end() if opening else 0
    return column if column and column == len(line) else column + 2


def _parses_to(path: str, text: str, expected: list[object]) -> bool:
    try:
        changed = compose_file(FileText(path, b"", text))
    except FormatError:
        return False
    return _values(changed) == expected


def _values(document: YamlDocument, edited: yaml.Node | None = None, text: str | None = None) -> list[object]:
    """Every value of a document in order, with its kind; the edited one as it should become."""
    values: list[object] = []
    for node in _walk(document.root) if document.root is not None else ():
        if node is edited:
            values.append(("text", text))
        elif isinstance(node, yaml.ScalarNode):
            values.append(("text", node.value) if is_text(node) else (type(scalar(node)).__name__, node.value))
        else:
            values.append((type(node).__name__, len(node.value)))
    return values


def _walk(node: yaml.Node) -> Iterator[yaml.Node]:
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        if isinstance(top, yaml.MappingNode):
            stack.extend(child for pair in reversed(top.value) for child in reversed(pair))
        elif isinstance(top, yaml.SequenceNode):
            stack.extend(reversed(top.value))
