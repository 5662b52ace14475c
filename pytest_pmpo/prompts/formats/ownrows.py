"""Our own fixture rows inside somebody else's file, at the place their format leaves to extensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from pytest_pmpo.errors import FixtureError
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, written
from pytest_pmpo.prompts.model import Expected, Fixture


def own_fixtures(
    document: YamlDocument, fields: Mapping[str, yaml.Node], keys: Sequence[str], context: ParseContext
) -> tuple[Fixture, ...]:
    """The rows under ``keys`` → ``fixtures``; nothing where there is no such key."""
    here: Mapping[str, yaml.Node] = fields
    for key in keys:
        node = here.get(key)
        if not isinstance(node, yaml.MappingNode):
            return ()
        here = document.fields(node)
    if "fixtures" not in here:
        return ()
    fixtures = []
    for number, item in enumerate(document.items(here["fixtures"], "fixtures"), 1):
        row = document.fields(item)
        expected = written(row.get("expected"))
        if not expected:
            raise FixtureError(f"fixture {number} has no label", location=document.file.at(document.start(item)))
        values = document.value(row["vars"]) if "vars" in row else {}
        fixtures.append(
            Fixture(str(number), values, Expected(expected), location=document.file.at(document.start(item)))
        )
    return tuple(fixtures)
