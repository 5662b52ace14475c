"""The protocol of a reporter."""

from __future__ import annotations

from typing import Protocol

from pytest_pmpo.report.records import Report


class Reporter(Protocol):
    """Turns a whole run into the text of a file. Pure: equal runs give equal text."""

    def __call__(self, report: Report) -> str:
        """The text, ready to be written as UTF-8."""
        ...
