"""Rows from CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from pytest_pmpo.errors import FixtureError, Location
from pytest_pmpo.prompts.rows import TYPED_KEYS, Row
from pytest_pmpo.prompts.rows_json import TYPED, WRITTEN, JsonText

CSV_KEYS: frozenset[str] = frozenset(
    {"id", "expected", "expected_output", "ideal", "prefix", "chosen", "rejected", "choices", "gold"}
    | {"history", "group", "weight", "tags", "split"}
)
"""CSV columns that are a row key; every other column is a variable."""


def csv_rows(path: str, text: str) -> Iterator[Row]:
    """One row per CSV record; the first record names the columns."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            first, line = line, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = _header(path, first, cells)
            else:
                yield _csv_row(path, first, header, cells)
    except csv.Error as error:
        raise FixtureError(f"the file is not CSV: {error}", location=Location(path, line)) from error


def _header(path: str, line: int, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(names) == 1 and (sign := next((sign for sign in ";\t" if sign in names[0]), None)) is not None:
        shown = "tabs" if sign == "\t" else f"{sign!r}"
        raise FixtureError(
            f"the columns are parted by {shown}, not by commas",
            location=Location(path, line),
            hint="save the table as CSV with commas",
        )
    for name in names:
        if not name or names.count(name) > 1:
            what = f"column {name!r} is there twice" if name else "a column has no name"
            raise FixtureError(what, location=Location(path, line))
    return names


def _csv_row(path: str, line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise FixtureError(
            f"the row has {len(cells)} cells, the header {len(header)}",
            location=Location(path, line),
            hint="put a cell that holds a comma or a line break in double quotes",
        )
    location = Location(path, line)
    data: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        if name not in CSV_KEYS:
            variables[name.removeprefix("vars.")] = cell
        elif cell:
            data[name] = _cell(location, name, cell)
    return Row({**data, "vars": variables} if variables else data, location)


def _cell(location: Location, name: str, cell: str) -> Any:
    if name in ("choices", "tags", "history") and cell.lstrip().startswith("["):
        source = JsonText(location.path, cell, location.line or 1)
        value = source.value(TYPED if name in TYPED_KEYS else WRITTEN)
        source.end()
        return value
    if name == "choices":
        return [choice.strip() for choice in cell.split("|")]
    return cell
