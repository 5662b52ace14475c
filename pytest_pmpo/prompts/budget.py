"""What rendering one message may cost, and what a value weighs.

A unit is a quarter of a loop pass, one slot of a container, or 8 characters of text: some tenths of a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2.utils import Namespace

MAX_WORK = 2**21
"""Units one message may cost in all."""
MAX_VALUE = 2**17
"""Units one value may weigh: 1 Mi characters, or 128 Ki items."""
MAX_SECONDS = 2.0
"""CPU seconds of the rendering thread one message may take."""
_MAX_DEPTH = 100
_LOOK_EVERY = 2**10


class LimitError(Exception):
    """A template asks for more time or memory than a prompt can need, or prints what is not text."""


class Budget:
    """What one message may still spend. The work decides; the clock only catches what the work undercounts."""

    __slots__ = ("_deadline", "_next_look", "work")

    def __init__(self) -> None:
        self.work = 0
        self._next_look = _LOOK_EVERY
        self._deadline = time.thread_time() + MAX_SECONDS

    def pay(self, units: int) -> None:
        """Add ``units`` of work.

        Raises:
            LimitError: when the work or the time is used up.
        """
        self.work += units
        if self.work > MAX_WORK:
            raise LimitError("the template does more work than a prompt can need")
        if self.work >= self._next_look:
            self._next_look = self.work + _LOOK_EVERY
            if time.thread_time() > self._deadline:
                raise LimitError(f"the template takes more than {MAX_SECONDS:g} s")


_budget: ContextVar[Budget | None] = ContextVar("pmpo_template_budget", default=None)


@contextmanager
def bounded() -> Iterator[Budget]:
    """A fresh budget for what runs inside, in this thread."""
    budget = Budget()
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)


def pay(units: int) -> None:
    """Charge the budget in force.

    Raises:
        LimitError: when it is used up, or where there is none: a template only runs inside ``bounded``.
    """
    budget = _budget.get()
    if budget is None:
        raise LimitError("a template may only run inside bounded()")
    budget.pay(units)


def weight(value: Any) -> int:
    """Units ``value`` weighs, a container with all it holds (what is held twice counts twice).

    Raises:
        LimitError: above ``MAX_VALUE``, or nested more than 100 deep.
    """
    units = 0
    level = [value]
    for _ in range(_MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            units += _own_weight(item, below)
            if units + len(below) > MAX_VALUE:
                raise LimitError("a value in the template is larger than a prompt can need")
        if not below:
            return units
        level = below
    raise LimitError("a value in the template nests too deeply")


def _own_weight(value: Any, below: list[Any]) -> int:
    """Units of ``value`` without its parts, which are put into ``below``."""
    if isinstance(value, str | bytes):
        return 1 + len(value) // 8
    if isinstance(value, int):
        return 1 + value.bit_length() // 64
    if isinstance(value, range):  # small itself, but whatever takes it goes through all of it
        return 1 + len(value)
    if isinstance(value, Namespace):  # a mutable cell: values can hide in it
        value = object.__getattribute__(value, "_Namespace__attrs")
    if isinstance(value, Mapping):
        below.extend(value)
        below.extend(value.values())
    elif isinstance(value, list | tuple | AbstractSet):
        below.extend(value)
    return 1


def sized(value: Any) -> Any:
    """``value`` itself, after paying for its weight."""
    pay(weight(value))
    return value
