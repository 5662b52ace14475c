"""The response is JSON that fits a schema and has the right fields."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_pmpo.errors import ConfigError, GraderError
from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.responses.graders.base import Grade, expected_text
from pytest_pmpo.responses.graders.pattern import TIME_LIMIT, search

MAX_LENGTH = 200_000
MISSING = object()
_FENCE = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL)


@dataclass(frozen=True)
class JsonAnswer:
    """Parses the response (whole, or its last fenced block), checks the schema, compares fields.

    Attributes:
        schema: a JSON Schema; None accepts any JSON. References to other documents are not followed.
        fields: names of fields (``a.b`` for nested ones) that must equal those of the expected answer, itself JSON;
            empty compares every field of the expected answer, if that is a JSON object.
        compare: False checks the schema alone and looks at no expected answer.

    The grade is the share of fields that are right, and 0 where the response is no JSON or breaks the schema.
    """

    schema: Mapping[str, Any] | None = None
    fields: tuple[str, ...] = ()
    compare: bool = True
    time_limit: float = field(default=TIME_LIMIT, compare=False)

    def __post_init__(self) -> None:
        if self.schema is not None:
            _check_schema(self.schema)

    @property
    def identity(self) -> str:
        """``json``, with the digest of its schema and its fields."""
        parts = []
        if self.schema is not None:
            text = json.dumps(self.schema, sort_keys=True)
            parts.append(f"schema={hashlib.sha256(text.encode()).hexdigest()[:12]}")
        if self.fields:
            parts.append(f"fields={list(self.fields)!r}")
        if not self.compare:
            parts.append("schema only")
        return f"json({', '.join(parts)})" if parts else "json"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """Share of right fields; 0 for no JSON or a broken schema."""
        value = parse(response)
        if value is MISSING:
            return Grade(0.0, "no JSON")
        problem = self._schema_problem(value, fixture)
        if problem is not None:
            return Grade(0.0, problem)
        if not self.compare:
            return Grade(1.0, "fits the schema")
        return self._compare(value, fixture)

    def _compare(self, value: Any, fixture: Fixture) -> Grade:
        expected = parse(expected_text(fixture, "json"))
        if expected is MISSING:
            raise GraderError(
                f"the expected answer of fixture {fixture.id!r} is no JSON",
                location=fixture.location,
                hint="write the label as JSON, or grade the schema alone",
            )
        names = self.fields or (tuple(expected) if isinstance(expected, dict) else ())
        if not names:
            return Grade(float(_equal(value, expected)), "the whole value")
        wrong = [name for name in names if not _equal(_at(value, name), _at(expected, name))]
        return Grade(1 - len(wrong) / len(names), f"wrong: {', '.join(wrong)}" if wrong else "all fields right")

    def _schema_problem(self, value: Any, fixture: Fixture) -> str | None:
        if self.schema is None:
            return None
        try:
            error = next(self._validator(fixture).iter_errors(value), None)
        except _module("referencing.exceptions").Unresolvable as failure:
            raise GraderError(f"the JSON schema cannot be used: {failure}", location=fixture.location) from failure
        except RecursionError as failure:
            raise GraderError("the JSON schema refers to itself without end", location=fixture.location) from failure
        return None if error is None else f"breaks the schema at {error.json_path}"

    def _validator(self, fixture: Fixture) -> Any:
        jsonschema = _module("jsonschema")

        def pattern(validator: Any, wanted: str, instance: Any, schema: Any) -> Iterator[Any]:
            if isinstance(instance, str) and not search(wanted, instance, self.time_limit, fixture):
                yield jsonschema.ValidationError("does not match its pattern")

        # patterns run on hostile text, so they run with a time limit; a registry of its own fetches nothing
        kind = jsonschema.validators.validator_for(self.schema, default=jsonschema.Draft202012Validator)
        bounded = jsonschema.validators.extend(kind, {"pattern": pattern})
        return bounded(self.schema, registry=_module("referencing").Registry())


def parse(text: str) -> Any:
    """The JSON value of a text: the whole of it, or its last fenced block; ``MISSING`` where there is none."""
    if len(text) > MAX_LENGTH:
        return MISSING
    for candidate in (text, *reversed(_FENCE.findall(text))):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    return MISSING


def _check_schema(schema: Mapping[str, Any]) -> None:
    if "patternProperties" in json.dumps(schema):
        raise ConfigError(
            "patternProperties is not supported in a grader's schema",
            hint="its patterns would run on the model's text without a time limit; use propertyNames with pattern",
        )
    jsonschema = _module("jsonschema")
    try:
        jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigError(f"the grader's JSON schema is invalid: {error.message}") from error


def _module(name: str) -> Any:
    """jsonschema and what it stands on, imported by those who use a schema."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            "a grader's schema needs the package jsonschema", hint="pip install pytest-pmpo[graders]"
        ) from error


def _at(value: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


def _equal(given: Any, wanted: Any) -> bool:
    if isinstance(given, bool) or isinstance(wanted, bool):
        return given is wanted
    if isinstance(given, str) and isinstance(wanted, str):
        return given.strip().casefold() == wanted.strip().casefold()
    return bool(given == wanted)
