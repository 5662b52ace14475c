"""Rows from JSON and JSON Lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pytest_pmpo.errors import FixtureError, Location
from pytest_pmpo.prompts.rows import TYPED_KEYS, Row, check_top_keys, kind_of, with_defaults


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(f"key {key!r} is given twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> float | str:
    """A number, where writing it back gives the same characters: a prompt shows ``1.50``, not 1.5."""
    number = float(text)
    return number if repr(number) == text else text


TYPED = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_number)
WRITTEN = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=str, parse_float=str)
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonText:
    """A JSON text read piece by piece, so that each row's line is known."""

    def __init__(self, path: str, text: str, first_line: int = 1) -> None:
        self._path, self._text, self._first = path, text, first_line
        self._at = 0
        self._counted, self._line = 0, first_line

    def here(self) -> Location:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return Location(self._path, self._line)

    def peek(self) -> str:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at : self._at + 1]

    def take(self, *expected: str) -> str:
        sign = self.peek()
        if sign not in expected or not sign:
            found = repr(sign) if sign else "the end of the file"
            raise FixtureError(f"expected {' or '.join(expected)}, found {found}", location=self.here())
        self._at += 1
        return sign

    def value(self, decoder: json.JSONDecoder = TYPED) -> Any:
        self.peek()
        try:
            found, self._at = decoder.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            line = self._first + error.lineno - 1
            raise FixtureError(f"the file is not JSON: {error.msg}", location=Location(self._path, line)) from error
        except ValueError as error:
            raise FixtureError(f"the file cannot be read: {error}", location=self.here()) from error
        return found

    def row(self) -> Row:
        self.peek()
        location, start = self.here(), self._at
        typed = self.value()
        if not isinstance(typed, dict):
            raise FixtureError(f"a fixture is a mapping, not {kind_of(typed)}", location=location)
        self._at = start
        written = self.value(WRITTEN)
        data = {k: v if k in TYPED_KEYS else _as_written(written[k]) for k, v in typed.items()}
        return Row({k: v for k, v in data.items() if v is not None}, location)

    def rows(self) -> Iterator[Row]:
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.row()
            if self.take(",", "]") == "]":
                return

    def end(self) -> None:
        if self.peek():
            raise FixtureError("there is more text after the end of the JSON value", location=self.here())


def _as_written(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_written(item) for key, item in value.items()}
    return value


def json_rows(path: str, text: str) -> Iterator[Row]:
    """Rows of a JSON list, or of a mapping with ``defaults`` and ``fixtures``."""
    source = JsonText(path, text)
    if source.peek() != "{":
        rows = list(source.rows())
        source.end()
        return iter(rows)
    return _json_mapping(path, source)


def _json_mapping(path: str, source: JsonText) -> Iterator[Row]:
    lines: dict[str, int] = {}
    defaults: Row | None = None
    rows: list[Row] = []
    source.take("{")
    while source.peek() != "}":
        location, key = source.here(), source.value()
        if not isinstance(key, str) or key in lines:
            raise FixtureError(f"key {key!r} is given twice or is not text", location=location)
        lines[key] = location.line or 1
        source.take(":")
        if key == "fixtures":
            rows = list(source.rows())
        elif key == "defaults":
            defaults = source.row()
        else:
            source.value()
        if source.peek() != "}":
            source.take(",")
    source.take("}")
    source.end()
    check_top_keys(path, lines)
    return with_defaults(defaults, iter(rows))


def jsonl_rows(path: str, text: str) -> Iterator[Row]:
    """One row a line; blank lines are skipped."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            source = JsonText(path, line, number)
            row = source.row()
            source.end()
            yield row
