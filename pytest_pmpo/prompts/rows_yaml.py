"""Rows from YAML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from pytest_pmpo.errors import FixtureError, FormatError, Location
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, compose, written
from pytest_pmpo.prompts.rows import TYPED_KEYS, Row, check_top_keys, with_defaults


def yaml_rows(path: str, text: str) -> Iterator[Row]:
    """Rows of a YAML list, or of a mapping with ``defaults`` and ``fixtures``."""
    try:
        document = compose(FileText(path, text.encode(), text))
        return iter(_rows(document))
    except FormatError as error:
        raise FixtureError(error.message, location=error.location, hint=error.hint) from error


def yaml_row(document: YamlDocument, node: yaml.Node) -> Row:
    """One mapping of a YAML document as a row; formats use it for rows inside their own files.

    Raises:
        FormatError: the node is no mapping, or a key stands there twice.
    """
    fields = document.fields(node)
    require_colons(document, node)
    data = {key: document.value(value) if key in TYPED_KEYS else _text(value) for key, value in fields.items()}
    first = document.file.line(document.offset)
    return Row(
        {key: value for key, value in data.items() if value is not None},
        Location(document.file.path, first + _line(node)),
        {key: first + _line(value) for key, value in fields.items()},
    )


def require_colons(document: YamlDocument, node: yaml.Node) -> None:
    """Refuse ``{text: Give it back, please}``: YAML ends the text at the comma and takes the rest for a key.

    Raises:
        FormatError: at such a key.
    """
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            require_colons(document, item)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        require_colons(document, value)
        alone = isinstance(value, yaml.ScalarNode) and value.value == "" and not value.style
        if node.flow_style and alone and ":" not in _between(document, key, value):
            raise document.error(
                f"{key.value[:60]!r} stands alone between commas, so it is not part of the text before it",
                key,
                hint="put a text with commas in quotes",
            )


def _between(document: YamlDocument, key: yaml.Node, value: yaml.Node) -> str:
    start, end = document.offset + key.end_mark.index, document.offset + value.end_mark.index
    return document.file.text[start:end]


def _rows(document: YamlDocument) -> list[Row]:
    root = document.root
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        return [yaml_row(document, node) for node in document.items(root, "a fixture file")]
    fields = document.fields(root)
    check_top_keys(document.file.path, {key: _line(node) + 1 for key, node in fields.items()})
    defaults = yaml_row(document, fields["defaults"]) if "defaults" in fields else None
    rows = [yaml_row(document, node) for node in document.items(fields["fixtures"], "'fixtures'")]
    return list(with_defaults(defaults, rows))


def _line(node: yaml.Node) -> int:
    return node.start_mark.line if node.start_mark else 0


def _text(node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_text(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {key.value: _text(value) for key, value in node.value}
    return written(node)
