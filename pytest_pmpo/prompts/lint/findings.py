"""The record of this stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_pmpo.errors import Location

Severity = Literal["error", "warning", "note"]
"""``error``: the prompt cannot be judged, or should not be merged. ``warning``: look at it. ``note``: good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a rule found.

    Attributes:
        rule: the rule's id, as in ``RULES``.
        severity: how bad it is.
        message: one sentence; hostile text in it is shortened and quoted.
        location: where, as near as it is known.
    """

    rule: str
    severity: Severity
    message: str
    location: Location | None = None


def line(finding: Finding) -> str:
    """``path:12: error: … [rule]``, the form that editors and problem matchers read."""
    where = f"{finding.location}: " if finding.location else ""
    return f"{where}{finding.severity}: {finding.message} [{finding.rule}]"


def quoted(text: str, length: int = 40) -> str:
    """The beginning of a text, on one line, in quotes."""
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= length else flat[: length - 1] + "…")
