"""Fixture files → rows with the line each stands on: what YAML, JSON Lines, JSON and CSV (``rows_*.py``) share.

A fixture file is data from whoever opened the pull request. What two readers could understand differently is refused: a
key given twice, a tag, text that is not UTF-8. And nothing is re-spelt on the way:

- YAML scalars without quotes follow ``formats/yamldoc.py``: ``true``, ``false``, ``null`` and numbers that would be
  written back with the same characters are typed; ``yes``, ``no``, ``on``, ``1:30``, ``007``, ``1.50`` and
  ``2026-01-31`` stay text (YAML 1.1 would make them booleans, 90, 7, 1.5 and a date).
- What is text by meaning (labels, ``id``, ``group``, ``tags``: every key outside ``TYPED_KEYS``) is kept as it is
  written in the file: ``expected: 1.50`` is the text ``1.50``, ``expected: true`` the text ``true``. An unquoted
  ``null`` (or nothing) there counts as not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_pmpo.errors import FixtureError, Location

TYPED_KEYS = frozenset({"vars", "history", "weight", "gold", "input", "prompt"})
"""Row keys whose values keep their types; under every other key, scalars are the text in the file."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fixture as it is written.

    Attributes:
        data: key → value.
        location: the row's first line.
        lines: key → line, where the reader knows it.
    """

    data: Mapping[str, Any]
    location: Location
    lines: Mapping[str, int] = field(default_factory=dict)

    def at(self, key: str) -> Location:
        """Where ``key`` stands, else where the row does."""
        return Location(self.location.path, self.lines.get(key, self.location.line))


def decode(path: str, data: bytes) -> str:
    """``data`` as text: UTF-8, a byte order mark tolerated.

    Raises:
        FixtureError: naming line and byte offset of what is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise FixtureError(
            f"the file is {'UTF-16' if utf16 else 'not UTF-8'}: byte 0x{data[error.start]:02x} at offset {error.start}",
            location=Location(path, data.count(b"\n", 0, error.start) + 1),
            hint="save the file as UTF-8",
        ) from error


def with_defaults(defaults: Row | None, rows: Iterable[Row]) -> Iterator[Row]:
    """``rows`` with what ``defaults`` says where they say nothing; ``vars`` are filled in one by one."""
    if defaults is None:
        yield from rows
        return
    if "id" in defaults.data:
        raise FixtureError("defaults cannot set an id: it is one fixture's", location=defaults.at("id"))
    for row in rows:
        data = {**defaults.data, **row.data}
        common, own = defaults.data.get("vars"), row.data.get("vars")
        if isinstance(common, Mapping) and isinstance(own, Mapping):
            data["vars"] = {**common, **own}
        yield Row(data, row.location, row.lines)


def check_top_keys(path: str, lines: Mapping[str, int]) -> None:
    """Refuse a file whose top mapping holds anything but ``defaults`` and ``fixtures``."""
    for key, line in lines.items():
        if key not in ("defaults", "fixtures"):
            raise FixtureError(
                f"unknown key {key!r} at the top of the file",
                location=Location(path, line),
                hint="a fixture file is a list of fixtures, or a mapping with 'defaults' and 'fixtures'",
            )
    if "fixtures" not in lines:
        raise FixtureError("the file has no 'fixtures'", location=Location(path, 1))


def kind_of(value: Any) -> str:
    """What to call ``value`` in an error."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), "a number")
