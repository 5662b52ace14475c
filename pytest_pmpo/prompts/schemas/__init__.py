"""JSON Schemas (2020-12) for editors.

``fixtures.schema.json`` is for sidecar files, ``settings.schema.json`` for the table ``[tool.pmpo]`` of a
``pyproject.toml`` and for all of a ``pmpo.toml``.

They are made from the models that read these files, and checked in; a test says when they are out of date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

FIXTURES = "fixtures.schema.json"
SETTINGS = "settings.schema.json"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALAR = ["string", "number", "boolean"]


def read_schema(name: str) -> dict[str, Any]:
    """A published schema by its file name."""
    schema: dict[str, Any] = json.loads(files(__package__).joinpath(name).read_text("utf-8"))
    return schema


def written(schema: Mapping[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def fixtures_schema() -> dict[str, Any]:
    """The schema of a sidecar: a list of fixtures, or ``defaults`` and ``fixtures``."""
    from pytest_pmpo.prompts.rowmodel import RowModel
    from pytest_pmpo.prompts.rows import TYPED_KEYS

    row = RowModel.model_json_schema(ref_template="#/$defs/{model}")
    definitions = row.pop("$defs", {})
    for name, value in row["properties"].items():
        _plain(value)
        if name not in TYPED_KEYS:
            _as_written(value)
    row["properties"]["tags"] = {"anyOf": [row["properties"]["tags"], {"type": "string"}], "description": "Free words."}
    for definition in definitions.values():
        _as_written(definition["properties"].get("content", {}))
        for value in definition["properties"].values():
            _plain(value)
    row |= {"title": "Fixture", "description": "One labelled input, with exactly one kind of label."}
    return {
        "$schema": _DRAFT,
        "$id": "urn:pytest-pmpo:fixtures",
        "title": "Fixtures of a prompt (pytest-pmpo)",
        "oneOf": [
            {"type": "array", "items": {"$ref": "#/$defs/Fixture"}},
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["fixtures"],
                "properties": {
                    "defaults": {
                        "allOf": [{"$ref": "#/$defs/Fixture"}, {"not": {"required": ["id"]}}],
                        "description": "What every fixture says that does not say it itself; vars key by key.",
                    },
                    "fixtures": {"type": "array", "items": {"$ref": "#/$defs/Fixture"}},
                },
            },
        ],
        "$defs": {"Fixture": row, **definitions},
    }


def settings_schema(model: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of ``[tool.pmpo]``, from what pydantic says of the settings (this stage does not know them)."""
    schema: dict[str, Any] = json.loads(json.dumps(model))
    schema.pop("title", None)
    tables = [schema, *schema.get("$defs", {}).values()]
    for table in tables:
        if "models" in table.get("properties", {}):
            one = {"type": "string", "minLength": 1}
            table["properties"]["model"] = {
                "anyOf": [one, {"type": "array", "items": one, "minItems": 1}],
                "description": "Short for models.",
            }
            table["not"] = {"required": ["model", "models"]}
        for value in table.get("properties", {}).values():
            _plain(value)
    return {"$schema": _DRAFT, "$id": "urn:pytest-pmpo:settings", "title": "Settings of pytest-pmpo", **schema}


def _plain(value: dict[str, Any]) -> None:
    value.pop("title", None)
    if value.get("default", 0) is None:
        value.pop("default")


def _as_written(value: Any) -> None:
    """Text is what stands in the file: ``expected: true`` is the text ``true``, so an editor should not mind it."""
    if isinstance(value, list):
        for item in value:
            _as_written(item)
    elif isinstance(value, dict):
        if value.get("type") == "string" and "enum" not in value and "const" not in value:
            value["type"] = _SCALAR
        for item in value.values():
            _as_written(item)
