"""Replacing the middle of a quoted text."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def splice(
    units: Sequence[str], value: str, text: str, decode: Callable[[str], str], encode: Callable[[str], str]
) -> str:
    """``text`` as it stands between quotes, keeping the old spelling of what it shares with ``value`` at either end.

    Args:
        units: the old source between the quotes, cut into characters and escapes.
        value: what the units mean together.
        text: what the result is to mean.
        decode: the meaning of one unit.
        encode: how new text is spelled.
    """
    meant = [decode(unit) for unit in units]
    if "".join(meant) != value:
        return encode(text)
    head, at = 0, 0
    while head < len(units) and text.startswith(meant[head], at):
        at += len(meant[head])
        head += 1
    tail, end = len(units), len(text)
    while tail > head and end - len(meant[tail - 1]) >= at and text.endswith(meant[tail - 1], at, end):
        end -= len(meant[tail - 1])
        tail -= 1
    return "".join(units[:head]) + encode(text[at:end]) + "".join(units[tail:])
