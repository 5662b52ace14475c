"""The published JSON Schemas say what the readers do. ``PMPO_WRITE_SCHEMAS=1`` writes them anew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_pmpo.config.settings import Settings
from pytest_pmpo.errors import FixtureError
from pytest_pmpo.prompts import schemas
from pytest_pmpo.prompts.fixtures import read_fixtures

FOLDER = Path(schemas.__file__).parent
MADE: Mapping[str, Any] = {
    schemas.FIXTURES: schemas.fixtures_schema(),
    schemas.SETTINGS: schemas.settings_schema(Settings.model_json_schema()),
}


@pytest.mark.parametrize("name", MADE)
def test_the_published_schema_is_the_one_the_models_make(name: str) -> None:
    if os.environ.get("PMPO_WRITE_SCHEMAS"):
        (FOLDER / name).write_text(schemas.written(MADE[name]), encoding="utf-8")
    assert (FOLDER / name).read_text("utf-8") == schemas.written(MADE[name]), "run with PMPO_WRITE_SCHEMAS=1"
    assert schemas.read_schema(name) == MADE[name]


def accepts(name: str, value: Any) -> bool:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schemas.read_schema(name))
    return bool(jsonschema.Draft202012Validator(schemas.read_schema(name)).is_valid(value))


GOOD = [
    "- {vars: {q: a}, expected: A}",
    "- {vars: {q: 1}, expected: true}",
    "- {input: a, ideal: [A], id: 7, group: g, weight: 2, tags: [a, b], split: train}",
    "- {vars: {q: a}, prefix: 1.50}",
    "- {vars: {q: a}, chosen: [a, b], rejected: c}",
    "- {prompt: [{role: user, content: x}], chosen: [{role: assistant, content: y}], rejected: z}",
    "- {vars: {q: a}, choices: ['yes', 'no'], gold: 0}",
    "- {vars: {q: a}, choices: [1, 2], expected: 2, history: [{role: user, content: 3}]}",
    "defaults: {vars: {lang: en}, tags: x}\nfixtures:\n  - {vars: {q: a}, expected: A}",
]
BAD = [
    "- {vars: {q: a}, expcted: A}",
    "- {vars: [a], expected: A}",
    "- {vars: {q: a}, expected: A, weight: 0}",
    "- {vars: {q: a}, expected: A, split: test}",
    "- {vars: {q: a}, expected: A, history: [{role: boss, content: x}]}",
    "defaults: {id: x}\nfixtures:\n  - {vars: {q: a}, expected: A}",
    "fixtures:\n  - {vars: {q: a}, expected: A}\nmore: 1",
    "- hello",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_reader_takes_the_schema_takes(text: str) -> None:
    assert read_fixtures("a.fixtures.yaml", text.encode())
    assert accepts(schemas.FIXTURES, yaml.safe_load(text))


@pytest.mark.parametrize("text", BAD)
def test_what_the_schema_refuses_the_reader_refuses(text: str) -> None:
    with pytest.raises(FixtureError):
        read_fixtures("a.fixtures.yaml", text.encode())
    assert not accepts(schemas.FIXTURES, yaml.safe_load(text))


@pytest.mark.parametrize(
    ("table", "good"),
    [
        ({}, True),
        ({"prompts": ["prompts"], "models": ["smollm2-135m"], "tolerance": 0.05, "hard_break": False}, True),
        ({"model": "a"}, True),
        ({"model": "a", "models": ["b"]}, False),
        ({"promts": ["x"]}, False),
        ({"tolerance": -1}, False),
        ({"override": [{"paths": ["a/**"], "strict": True}]}, True),
        ({"override": [{"strict": True}]}, False),
    ],
)
def test_settings_are_checked_as_pydantic_checks_them(table: dict[str, Any], good: bool) -> None:
    assert accepts(schemas.SETTINGS, table) is good
    if good:
        Settings.model_validate(table)
    else:
        with pytest.raises(ValueError, match=r"."):
            Settings.model_validate(table)


def test_every_key_is_described_for_the_person_who_completes_it() -> None:
    fixture = schemas.read_schema(schemas.FIXTURES)["$defs"]["Fixture"]["properties"]
    settings = schemas.read_schema(schemas.SETTINGS)["properties"]
    assert [name for name, value in (fixture | settings).items() if not value.get("description")] == []
