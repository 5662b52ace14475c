"""A row that is plainly right, told without pydantic: importing that takes longer than reading a hundred prompts.

``RowModel`` says what a row may hold and explains what is wrong with one. A row all of whose values are what it would
keep as they are needs no more than to be recognised; every other one is left to it. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pytest_pmpo.prompts.rowmodel import TurnModel


@dataclass(frozen=True, slots=True)
class PlainRow:
    """The fields of ``RowModel``, with its defaults."""

    id: str | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)
    input: Any = None
    prompt: Any = None
    expected: str | list[str] | None = None
    expected_output: str | list[str] | None = None
    ideal: str | list[str] | None = None
    prefix: str | None = None
    chosen: str | list[str] | None = None
    rejected: str | list[str] | None = None
    choices: list[str] | None = None
    gold: int | str | None = None
    history: tuple[TurnModel, ...] = ()
    group: str | None = None
    weight: float = 1.0
    tags: tuple[str, ...] = ()
    split: Literal["train", "selection", "heldout"] | None = None


def plain_row(data: Mapping[str, Any]) -> PlainRow | None:
    """The row, or None where ``RowModel`` has to look at it."""
    for key, value in data.items():
        is_plain = _PLAIN.get(key)
        if is_plain is None or not is_plain(value):
            return None
    return PlainRow(**data)


def _text(value: object) -> bool:
    if type(value) is not str:
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def _texts(value: object) -> bool:
    return type(value) is list and all(map(_text, value))


def _answers(value: object) -> bool:
    return _text(value) or _texts(value)


def _variables(value: object) -> bool:
    return type(value) is dict and all(map(_text, value))


def _given(value: object) -> bool:
    return value is not None


_PLAIN: Mapping[str, Callable[[object], bool]] = {
    "id": _text,
    "vars": _variables,
    "input": _given,
    "prompt": _given,
    "expected": _answers,
    "expected_output": _answers,
    "ideal": _answers,
    "prefix": _text,
    "chosen": _answers,
    "rejected": _answers,
    "choices": _texts,
    "group": _text,
}
