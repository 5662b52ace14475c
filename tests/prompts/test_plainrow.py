"""Rows told without pydantic: the same fixtures as with it, and only where nothing is wrong."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_pmpo.prompts.plainrow import PlainRow, plain_row
from pytest_pmpo.prompts.rowmodel import RowModel

TEXT = st.one_of(st.sampled_from(["", "a", "é", "\ud800"]), st.text(max_size=5))
VALUE = st.one_of(
    TEXT, st.lists(TEXT, max_size=3), st.dictionaries(st.one_of(TEXT, st.integers()), TEXT, max_size=2), st.integers(),
    st.floats(), st.booleans(), st.none(), st.just([{"role": "user", "content": "x"}]), st.just({"a": [1, {}]}),
)  # fmt: skip
ROW = st.dictionaries(st.sampled_from([*RowModel.model_fields, "expectd"]), VALUE, max_size=5)


def fields(row: Any) -> dict[str, Any]:
    return {name: as_list(getattr(row, name)) for name in RowModel.model_fields}


def as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_the_fields_and_their_defaults_are_the_models() -> None:
    assert [field.name for field in dataclasses.fields(PlainRow)] == list(RowModel.model_fields)
    assert fields(PlainRow()) == fields(RowModel())


@given(ROW)
def test_a_plain_row_is_one_the_model_takes_as_it_is(row: dict[str, Any]) -> None:
    plain = plain_row(row)
    if plain is not None:
        assert fields(plain) == fields(RowModel.model_validate(row))


@pytest.mark.parametrize(
    "row",
    [
        {"vars": {"text": "Ja, schön"}, "expected": "ham"},
        {"id": "a", "vars": {"n": 1, "deep": {"x": [None]}}, "choices": ["a", "b"], "expected": "a", "group": "g"},
        {"input": [{"role": "user", "content": "x"}], "chosen": "a", "rejected": ["b", "c"]},
    ],
)
def test_usual_rows_are_plain(row: dict[str, Any]) -> None:
    assert plain_row(row) is not None


@pytest.mark.parametrize("row", [{"expected": 1}, {"expectd": "a"}, {"vars": {1: "a"}}, {"id": True}, {"prefix": None}])
def test_what_has_to_be_converted_or_explained_is_left_to_the_model(row: dict[str, Any]) -> None:
    assert plain_row(row) is None
    try:
        RowModel.model_validate(row)
    except ValidationError:
        return
    assert fields(RowModel.model_validate(row)) != row


def test_plain_rows_import_no_pydantic() -> None:
    code = (
        "import sys\n"
        "from pytest_pmpo.prompts.fixtures import read_fixtures\n"
        "assert len(read_fixtures('a.fixtures.yaml', b'- {vars: {x: a}, expected: b}')) == 1\n"
        "assert 'pydantic' not in sys.modules\n"
        "read_fixtures('a.fixtures.yaml', b'- {vars: {x: a}, expected: b, weight: 2}')\n"
        "assert 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
