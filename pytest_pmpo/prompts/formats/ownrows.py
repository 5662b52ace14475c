"""Our own fixture rows inside somebody else's file, at the place their format leaves to extensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pytest_pmpo.prompts.fixtures import parse_rows, read_fixtures
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.paths import resolve
from pytest_pmpo.prompts.formats.references import read_at
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, written
from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.prompts.rows import TYPED_KEYS, Row


def own_fixtures(
    document: YamlDocument, fields: Mapping[str, yaml.Node], keys: Sequence[str], context: ParseContext
) -> tuple[Fixture, ...]:
    """The fixtures at ``keys`` → ``fixtures``: a list of rows, or the path of a file that holds them.

    Raises:
        FormatError: the path leads out of the repository, or to no file.
        FixtureError: with file and line, for a row that is malformed.
    """
    here: Mapping[str, yaml.Node] = fields
    for key in keys:
        node = here.get(key)
        if not isinstance(node, yaml.MappingNode):
            return ()
        here = document.fields(node)
    return listed_fixtures(document, here.get("fixtures"), context)


def listed_fixtures(document: YamlDocument, node: yaml.Node | None, context: ParseContext) -> tuple[Fixture, ...]:
    """As ``own_fixtures``, at the node itself."""
    if node is None or not context.wants_fixtures:
        return ()
    name = written(node)
    if name is not None:
        path = resolve(document.file.path, name)
        if path is None:
            raise document.error(f"{name!r} leads out of the repository", node)
        return read_fixtures(path, read_at(document, node, path, context).data)
    return parse_rows([row_at(document, item) for item in document.items(node, "fixtures")])


def row_at(document: YamlDocument, node: yaml.Node) -> Row:
    """One row of ours, its labels as they are written in the file."""
    fields = document.fields(node)
    data = {
        key: document.value(value) if key in TYPED_KEYS else _text(document, value) for key, value in fields.items()
    }
    return Row(
        {key: value for key, value in data.items() if value is not None},
        document.file.at(document.start(node)),
        {key: document.line(value) for key, value in fields.items()},
    )


def _text(document: YamlDocument, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return written(node)
    if isinstance(node, yaml.SequenceNode):
        return [_text(document, child) for child in node.value]
    return {key: _text(document, child) for key, child in document.fields(node).items()}
