"""Size checks for the operations of a template whose result, or whose time, can be far larger than what goes in.

Each check gets the operation's own arguments and raises ``LimitError`` before the operation runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any

from jinja2.runtime import Undefined

from pytest_pmpo.prompts.budget import MAX_VALUE, LimitError, weight

MAX_CHARS = MAX_VALUE * 8
_MAX_WIDTH = 1_000
_MAX_BITS = 2**16
_MAX_COMPARISONS = 2**28

REFUSED_METHODS = frozenset({"encode", "to_bytes", "from_bytes", "translate", "maketrans", "strftime"})
"""Methods no prompt needs and whose result cannot be sized simply."""

_WIDE = re.compile(r"\d{4,}")
_PERCENT = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d+)?(?:\.(\*|\d+))?")


def check(chars: float) -> None:
    """Refuse a text of ``chars`` characters if no prompt can need one as long."""
    if chars > MAX_CHARS:
        raise LimitError("the template makes a value larger than a prompt can need")


def check_spec(spec: str) -> None:
    """Refuse a format specification with a width or precision of four digits or more."""
    if _WIDE.search(spec):
        raise LimitError(f"the format {spec[:40]!r} asks for a width no prompt can need")


def check_operator(operator: str, left: Any, right: Any) -> None:
    """Size ``left operator right``."""
    if operator == "*":
        _product(left, right)
    elif operator == "**":
        _power(left, right)
    elif operator == "%":
        _percent(left, right)
    elif operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
        check(8 * (weight(left) + weight(right)))


def _product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _bits(left.bit_length() + right.bit_length())
        return
    for sequence, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(sequence, Sized):
            check(8 * weight(sequence) * times)


def _power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        _bits(left.bit_length() * right)


def _bits(bits: int) -> None:
    if bits > _MAX_BITS:
        raise LimitError("the template computes a number larger than a prompt can need")


def _percent(left: Any, right: Any) -> None:
    if not isinstance(left, str | bytes):
        return
    text = left if isinstance(left, str) else left.decode("latin-1")
    fields = 0
    for match in _PERCENT.finditer(text):
        fields += 1
        if any(number == "*" or (number and len(number) > 3) for number in match.groups()):
            raise LimitError(f"the format {match[0][:40]!r} asks for a width no prompt can need")
    # a tuple's items are used once each; one value, or a mapping, may be printed by every field
    check(len(text) + 8 * weight(right) * (1 if isinstance(right, tuple) else fields))


def _width(value: Any, limit: int = _MAX_WIDTH) -> None:
    if isinstance(value, int) and abs(value) > limit:
        raise LimitError(f"{value if abs(value) < 10**12 else 'a number'} is more than a prompt can need there")


def _count(value: Any) -> int:
    return len(value) if isinstance(value, Sized) else MAX_VALUE


def _replace(text: Any, old: Any, new: Any, count: Any = None) -> None:
    text, old, new = str(text), str(old), str(new)
    found = len(text) + 1 if not old else text.count(old)
    check(len(text) + found * len(new))


def _join(parts: Any, separator: Any) -> None:
    check(_count(parts) * len(str(separator)))


def _strip(text: Any, chars: Any = None) -> None:
    if isinstance(chars, str):
        _width(len(chars))


def _search_back(text: str, part: Any = None, *_: Any) -> None:
    # CPython searches from the right in O(len(text) * len(part))
    if isinstance(part, str) and len(text) * len(part) > _MAX_COMPARISONS:
        raise LimitError("the template searches longer than a prompt can need")


def _pad(text: str, width: Any = 0, *_: Any) -> None:
    _width(width, MAX_CHARS)


def _expandtabs(text: str, tabsize: Any = 8) -> None:
    if isinstance(tabsize, int):
        check(len(text) + text.count("\t") * tabsize)


METHODS: Mapping[str, Callable[..., None]] = {
    "center": _pad,
    "ljust": _pad,
    "rjust": _pad,
    "zfill": _pad,
    "expandtabs": _expandtabs,
    "replace": _replace,
    "join": lambda text, parts: _join(parts, text),
    "strip": _strip,
    "lstrip": _strip,
    "rstrip": _strip,
    "rfind": _search_back,
    "rindex": _search_back,
    "rsplit": _search_back,
    "rpartition": _search_back,
}
"""Checks of text methods: they get the text, then the method's own arguments."""


def check_method(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Size the call of a bound text method."""
    text = getattr(function, "__self__", None) if not isinstance(function, Undefined) else None
    if isinstance(text, str):
        guard = METHODS.get(getattr(function, "__name__", ""))
        if guard is not None:
            guard(text, *args, **kwargs)


def _indent(text: Any, width: Any = 4, *_: Any, **__: Any) -> None:
    size = len(width) if isinstance(width, str) else width
    if isinstance(size, int):
        _width(size)
        check(len(str(text)) + (str(text).count("\n") + 1) * size)


def _wordwrap(text: Any, width: Any = 79, break_long_words: Any = True, wrapstring: Any = None, *_: Any) -> None:
    size = len(str(text))
    pieces = size // max(1, width if isinstance(width, int) else 1)
    check(size + pieces * len(str(wrapstring or "")))
    if size * pieces > _MAX_COMPARISONS:  # a long word is cut piece by piece, each cut copying the rest
        raise LimitError("the template wraps longer than a prompt can need")


def _batch(value: Any, linecount: Any, fill_with: Any = None) -> None:
    _width(linecount, MAX_VALUE)
    if fill_with is not None and isinstance(linecount, int):
        check(8 * weight(fill_with) * linecount)


def _slice(value: Any, slices: Any, fill_with: Any = None) -> None:
    _width(slices, MAX_VALUE)


def _round(value: Any, precision: Any = 0, method: Any = "common") -> None:
    _width(precision, 100)


def _tojson(value: Any, indent: Any = None) -> None:
    _width(len(indent) if isinstance(indent, str) else indent, 16)


def _sum(iterable: Any, attribute: Any = None, start: Any = 0) -> None:
    if not isinstance(start, int | float):  # lists would be added one to another in quadratic time
        raise LimitError("sum adds numbers only")


def _join_filter(value: Any, d: Any = "", attribute: Any = None) -> None:
    if str(d):
        _join(value if isinstance(value, Iterable) else (), d)


FILTERS: Mapping[str, Callable[..., None]] = {
    "batch": _batch,
    "center": lambda value, width=80: _width(width, MAX_CHARS),
    "format": lambda value, *args, **kwargs: _percent(str(value), kwargs or args),
    "indent": _indent,
    "join": _join_filter,
    "replace": lambda s, old, new, count=None: _replace(s, old, new, count),
    "round": _round,
    "slice": _slice,
    "sum": _sum,
    "tojson": _tojson,
    "trim": lambda value, chars=None: _strip(value, chars),
    "wordwrap": _wordwrap,
}
"""Checks of filters by name, with the filters' own parameter names."""
