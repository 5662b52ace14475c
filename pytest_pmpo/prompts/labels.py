"""The label of a row: which of the kinds it is, and that it is one of them only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_pmpo.errors import FixtureError
from pytest_pmpo.prompts.model import Choice, Expected, Label, Preference
from pytest_pmpo.prompts.rows import Row

if TYPE_CHECKING:
    from pytest_pmpo.prompts.plainrow import PlainRow
    from pytest_pmpo.prompts.rowmodel import RowModel, TurnModel

EXPECTED_KEYS = ("expected", "expected_output", "ideal")
"""Row keys that give the right answer."""
LABEL_KEYS = (*EXPECTED_KEYS, "prefix", "chosen", "rejected", "choices", "gold")
"""Row keys that are part of a label."""
ASSISTANT = frozenset({"assistant", "model", "ai"})
"""What data sets call the role that answers."""


def label_of(row: Row, model: RowModel | PlainRow) -> Label:
    """The one label of ``row``.

    Raises:
        FixtureError: if there is none, more than one, or one that is empty or does not fit.
    """
    given = [key for key in LABEL_KEYS if key in row.data]
    expected = [key for key in given if key in EXPECTED_KEYS]
    if len(expected) > 1:
        raise FixtureError(
            f"{expected[0]!r} and {expected[1]!r} both give the right answer", location=row.at(expected[1])
        )
    if model.choices is not None:
        _only(row, given, ("choices", "gold", *EXPECTED_KEYS))
        return _choice(row, model.choices, model.gold, _expected(row, model, expected))
    if "chosen" in given or "rejected" in given:
        _only(row, given, ("chosen", "rejected"))
        return _preference(row, _texts(row, "chosen", model.chosen), _texts(row, "rejected", model.rejected))
    if model.prefix is not None:
        _only(row, given, ("prefix",))
        return Expected(_filled(row, "prefix", model.prefix), prefix=True)
    if model.gold is not None:
        raise FixtureError("'gold' picks one of 'choices', and there are none", location=row.at("gold"))
    text = _expected(row, model, expected)
    if text is None:
        raise _unlabelled(row)
    return Expected(text)


def _only(row: Row, given: Sequence[str], allowed: Sequence[str]) -> None:
    for key in given:
        if key not in allowed:
            other = next(name for name in given if name in allowed)
            raise FixtureError(
                f"the fixture has two labels: {other!r} and {key!r}",
                location=row.at(key),
                hint="one label each: expected, prefix, chosen + rejected, or choices + expected",
            )


def _unlabelled(row: Row) -> FixtureError:
    variables = row.data.get("vars")
    names = [str(name) for name in variables] if isinstance(variables, Mapping) else []
    near = next((name for name in names if difflib.get_close_matches(name, LABEL_KEYS, n=1, cutoff=0.8)), None)
    hint = "say what the right answer is: expected, prefix, chosen + rejected, or choices + expected"
    if near is not None:
        hint += f"; is the variable {near!r} meant to be the label?"
    return FixtureError("the fixture has no label", location=row.location, hint=hint)


def _filled(row: Row, key: str, text: str) -> str:
    if not text.strip():
        raise FixtureError(f"{key!r} is empty", location=row.at(key))
    return text


def _expected(row: Row, model: RowModel | PlainRow, keys: Sequence[str]) -> str | None:
    value = getattr(model, keys[0]) if keys else None
    if isinstance(value, list):
        if len(value) != 1:
            raise FixtureError(
                f"{keys[0]!r} lists {len(value)} answers; one is scored",
                location=row.at(keys[0]),
                hint="make a fixture of each, in one group, or give them as 'chosen' against 'rejected'",
            )
        value = value[0]
    return None if value is None else _filled(row, keys[0], value)


def _texts(row: Row, key: str, value: str | list[str] | list[TurnModel] | None) -> tuple[str, ...]:
    if value is None:
        raise FixtureError(f"{key!r} is missing beside its counterpart", location=row.location)
    if isinstance(value, str):
        return (_filled(row, key, value),)
    texts = [item if isinstance(item, str) else item.content for item in value]
    turns = [item for item in value if not isinstance(item, str)]
    if turns and (len(turns) > 1 or turns[0].role not in ASSISTANT):
        raise FixtureError(
            f"{key!r} is a conversation, not one assistant message",
            location=row.at(key),
            hint="put the turns before the answer under 'history' or 'prompt'",
        )
    if not texts:
        raise FixtureError(f"{key!r} is empty", location=row.at(key))
    return tuple(_filled(row, key, text) for text in texts)


def _preference(row: Row, chosen: tuple[str, ...], rejected: tuple[str, ...]) -> Preference:
    both = set(chosen) & set(rejected)
    if both:
        raise FixtureError(f"{min(both)[:60]!r} is both chosen and rejected", location=row.at("rejected"))
    return Preference(chosen, rejected)


def _choice(row: Row, choices: list[str], gold: int | str | None, expected: str | None) -> Choice:
    for choice in choices:
        _filled(row, "choices", choice)
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise FixtureError("'choices' needs two answers or more, each once", location=row.at("choices"))
    if (gold is None) == (expected is None):
        raise FixtureError(
            "'choices' needs one of 'expected' and 'gold' to say which is right", location=row.at("choices")
        )
    key = "gold" if expected is None else next(k for k in EXPECTED_KEYS if k in row.data)
    answer = gold if expected is None else expected
    if isinstance(answer, str) and answer in choices:
        return Choice(tuple(choices), choices.index(answer))
    if isinstance(answer, int) or (answer is not None and re.fullmatch(r"[0-9]{1,6}", answer)):
        index = int(answer)
        if 0 <= index < len(choices):
            return Choice(tuple(choices), index)
    close = difflib.get_close_matches(str(answer), choices, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the choices are {', '.join(map(repr, choices[:10]))}"
    raise FixtureError(
        f"{key!r} is {str(answer)[:60]!r}, which is not one of the choices", location=row.at(key), hint=hint
    )
