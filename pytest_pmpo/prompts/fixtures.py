"""Rows → fixtures: one label each, checked, with an id that stays.

A row's variables are under ``vars`` (in CSV: every column that is not a row key). For data sets that exist already, a
row may also say ``input`` or ``prompt`` (a variable of that name, or a conversation whose last user message is that
variable and whose earlier turns are the history), ``ideal`` or ``expected_output`` (``expected``), and answers as lists
of messages, as in OpenAI evals, DeepEval, DSPy and Hugging Face preference sets.

Labels are text as it is written in the file (see ``rows.py``). With ``choices``, ``expected`` is the text of one of
them; a number that is no choice's text is its position, from 0. ``gold`` as a number is always a position.

An id that is not given is made from the input, not from the position: adding a fixture in the middle of a file must not
hand its stored responses or its baseline to another one.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_pmpo.errors import FixtureError, Location
from pytest_pmpo.prompts.labels import label_of
from pytest_pmpo.prompts.model import Fixture, Role, Turn
from pytest_pmpo.prompts.plainrow import PlainRow, plain_row
from pytest_pmpo.prompts.rows import Row, decode
from pytest_pmpo.prompts.rows_csv import csv_rows
from pytest_pmpo.prompts.rows_json import json_rows, jsonl_rows
from pytest_pmpo.prompts.rows_yaml import yaml_rows

if TYPE_CHECKING:
    from pydantic import ValidationError

    from pytest_pmpo.prompts.rowmodel import RowModel, TurnModel

__all__ = ["SUFFIXES", "Row", "check_unique", "flat_row", "parse_rows", "read_fixtures", "read_rows"]

_READERS: Mapping[str, Callable[[str, str], Iterator[Row]]] = {
    "yaml": yaml_rows,
    "yml": yaml_rows,
    "jsonl": jsonl_rows,
    "json": json_rows,
    "csv": csv_rows,
}
SUFFIXES = tuple(_READERS)
"""File name suffixes fixtures are read from."""

MAX_DEPTH = 64
"""Lists and mappings a variable may nest."""

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "tool": "tool",
}


def read_fixtures(path: str, data: bytes) -> tuple[Fixture, ...]:
    """The fixtures of a sidecar file; none where it holds none.

    Raises:
        FixtureError: with file and line.
    """
    return parse_rows(read_rows(path, data))


def read_rows(path: str, data: bytes) -> tuple[Row, ...]:
    """The rows of a fixture file, by the file name's last suffix.

    YAML and JSON hold a list of rows, or a mapping ``{defaults: {…}, fixtures: […]}``; ``defaults`` fills in what a row
    does not say (``vars`` key by key). JSON Lines hold one row a line. CSV has a header: columns named like a row key
    are that, every other column is a variable (``vars.NAME`` where a variable is named like a row key), an empty cell
    under a row key is not given, and cells of ``choices``, ``tags`` and ``history`` may hold a JSON list.

    Raises:
        FixtureError: with file and line.
    """
    text = decode(path, data)
    suffix = path.rsplit(".", 1)[-1].lower()
    reader = _READERS.get(suffix)
    if reader is None:
        raise FixtureError(f"fixtures cannot be read from .{suffix} files", location=Location(path))
    try:
        return tuple(reader(path, text))
    except RecursionError as error:
        raise FixtureError("the file nests too deeply", location=Location(path)) from error


def parse_rows(rows: Sequence[Row]) -> tuple[Fixture, ...]:
    """Check ``rows`` and make fixtures of them, in order.

    Raises:
        FixtureError: with file and line, for an unknown key, a label that is missing, empty, doubled or does not fit, a
            value of the wrong kind, or an id that exists already.
    """
    fixtures = [_fixture(row) for row in rows]
    seen: dict[str, int] = {}
    named = []
    for fixture in fixtures:
        if not fixture.id:
            made = _made_id(fixture)
            seen[made] = seen.get(made, 0) + 1
            fixture = replace(fixture, id=made if seen[made] == 1 else f"{made}-{seen[made]}")
        named.append(fixture)
    check_unique(named)
    return tuple(named)


def check_unique(fixtures: Iterable[Fixture]) -> None:
    """Refuse two fixtures with one id.

    Raises:
        FixtureError: naming both places.
    """
    seen: dict[str, Location | None] = {}
    for fixture in fixtures:
        if fixture.id in seen:
            raise FixtureError(
                f"fixture id {fixture.id!r} exists already",
                location=fixture.location,
                hint=f"first at {seen[fixture.id]}",
            )
        seen[fixture.id] = fixture.location


def flat_row(data: Mapping[str, Any], location: Location, label_keys: Sequence[str]) -> Row:
    """A row from test data that mixes variables and label in one mapping, as GitHub's ``testData`` does.

    The first of ``label_keys`` that is there becomes ``expected``; everything else is a variable.
    """
    label = next((key for key in label_keys if key in data), None)
    variables = {key: value for key, value in data.items() if key != label}
    return Row({"vars": variables} if label is None else {"vars": variables, "expected": data[label]}, location)


def _fixture(row: Row) -> Fixture:
    model = _validated(row)
    variables, history = _inputs(row, model)
    if model.id is not None and (not model.id.strip() or "\n" in model.id):
        raise FixtureError("the id is blank or has a line break", location=row.at("id"))
    return Fixture(
        id=model.id or "",
        vars=variables,
        label=label_of(row, model),
        history=history,
        group=model.group,
        weight=model.weight,
        tags=tuple(model.tags),
        split=model.split,
        location=row.location,
    )


def _validated(row: Row) -> RowModel | PlainRow:
    plain = plain_row(row.data)
    if plain is not None:
        return plain
    from pydantic import ValidationError

    from pytest_pmpo.prompts.rowmodel import RowModel

    try:
        return RowModel.model_validate(dict(row.data))
    except ValidationError as error:
        raise _readable(row, error, tuple(RowModel.model_fields)) from error


def _readable(row: Row, error: ValidationError, keys: Sequence[str]) -> FixtureError:
    first = error.errors(include_url=False, include_input=False)[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        close = difflib.get_close_matches(key, keys, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "template variables go under 'vars'"
        return FixtureError(f"unknown key {key!r}", location=row.at(key), hint=hint)
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("list[", "function-", "str")))
    what = first["msg"].removeprefix("Value error, ")
    return FixtureError(f"{where}: {what[:1].lower()}{what[1:]}", location=row.at(key))


# --- inputs ----------------------------------------------------------------------------------------------------------


def _inputs(row: Row, model: RowModel | PlainRow) -> tuple[dict[str, Any], tuple[Turn, ...]]:
    variables = dict(model.vars)
    history = tuple(_turn(turn) for turn in model.history)
    for name in ("input", "prompt"):
        value = getattr(model, name)
        if value is None:
            continue
        if name in variables:
            raise FixtureError(f"{name!r} is given twice: as a key and under vars", location=row.at(name))
        turns = _conversation(value)
        if turns:
            if history:
                raise FixtureError(f"{name!r} is a conversation, and there is a history too", location=row.at(name))
            history, value = _split_conversation(row, name, turns)
        variables[name] = value
    _check_text(row, variables)
    return variables, history


def _turn(turn: TurnModel) -> Turn:
    return Turn(_ROLES[turn.role], turn.content)


def _conversation(value: Any) -> list[Turn]:
    """``value`` as turns, if it is a list of messages; else nothing."""
    messages = value if isinstance(value, list) else []
    if not all(isinstance(m, dict) and isinstance(m.get("content"), str) and m.get("role") in _ROLES for m in messages):
        return []
    return [Turn(_ROLES[message["role"]], message["content"]) for message in messages]


def _split_conversation(row: Row, name: str, turns: list[Turn]) -> tuple[tuple[Turn, ...], str]:
    *history, last = turns
    if last.role != "user":
        raise FixtureError(f"the conversation under {name!r} does not end with a user message", location=row.at(name))
    if any(turn.role == "system" for turn in history):
        raise FixtureError(
            f"the conversation under {name!r} has a system message",
            location=row.at(name),
            hint="instructions belong in the prompt under test",
        )
    return tuple(history), last.content


def _check_text(row: Row, value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise FixtureError(f"a variable nests more than {MAX_DEPTH} deep", location=row.at("vars"))
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise FixtureError(
                f"a variable holds text that is not Unicode: {error.reason}", location=row.at("vars")
            ) from error
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_text(row, key, depth + 1)
            _check_text(row, item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_text(row, item, depth + 1)


def _made_id(fixture: Fixture) -> str:
    """A readable word or two of the first text variable, then six hex digits over all variables and the history."""
    content = [fixture.vars, [(turn.role, turn.content) for turn in fixture.history]]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:6]
    first = next((value for value in fixture.vars.values() if isinstance(value, str)), "")
    words = re.sub(r"[^a-z0-9]+", "-", first[:80].lower()).strip("-")[:24].strip("-")
    return f"{words}-{digest}" if words else digest
