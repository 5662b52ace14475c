"""A run as JSON, whole enough to make every other report from it later (``pmpo report``).

The document is the ``Report`` record, field by field, under ``run``; ``json_schema()`` describes it. ``schema`` is
raised whenever a field changes its meaning or goes; new fields come without. JSON has no infinity, so the ends of an
interval that has none are the strings ``"Infinity"`` and ``"-Infinity"``, as in Protocol Buffers' JSON.

A file that comes from an untrusted job is data: reading it checks every field and size, and runs nothing.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import pytest_pmpo
from pytest_pmpo.errors import ConfigError, Location
from pytest_pmpo.report.records import Report

SCHEMA: Literal[1] = 1

MOST_BYTES = 64 << 20
"""A larger file is refused: it is not a report of ours."""


class Document(BaseModel):
    """The JSON document."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    version: Literal[1] = Field(SCHEMA, alias="schema", description="Version of this format.")
    tool: str = Field(description="What wrote it, with its version.")
    run: Report


def render(report: Report) -> str:
    """The run as indented JSON, keys in the order of the records."""
    text = json.dumps(to_plain(report), indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") + "\n"  # YAML can smuggle half a character


def parse(data: bytes, path: str = "report.json") -> Report:
    """The run that ``render`` wrote.

    Args:
        data: the file's bytes.
        path: its name, for the error.

    Raises:
        ConfigError: if it is not such a document, is of another schema, or is larger than 64 MiB.
    """
    location = Location(path)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{len(data):,} bytes are too many for a report", location=location)
    try:
        return Document.model_validate_json(data).run
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ConfigError(
            f"not a report of this version: {where}: {first['msg']}",
            location=location,
            hint="write it with pytest --pmpo-json FILE, or pmpo check --json FILE, of the same version of pytest-pmpo",
        ) from error


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Document.model_json_schema(mode="serialization"),
    }


def to_plain(report: Report) -> dict[str, Any]:
    """The document as plain Python data, for a process boundary that takes no classes."""
    document = Document(schema=SCHEMA, tool=f"pytest-pmpo {pytest_pmpo.__version__}", run=report)
    plain: dict[str, Any] = _without_infinity(document.model_dump(mode="json"))
    return plain


def _without_infinity(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_infinity(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_without_infinity(value) for value in data]
    if isinstance(data, float) and math.isinf(data):
        return "Infinity" if data > 0 else "-Infinity"
    return data


def from_plain(data: object) -> Report:
    """The inverse of ``to_plain``, for this package's own processes; a mismatch is a bug and keeps pydantic's error."""
    return Document.model_validate(data).run
