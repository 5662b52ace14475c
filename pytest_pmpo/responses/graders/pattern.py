"""The response matches a regular expression."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any

from pytest_pmpo.errors import ConfigError, GraderError
from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.responses.graders.base import Grade

TIME_LIMIT = 1.0
"""Seconds a match may take; a pattern that backtracks without end is stopped there."""


@dataclass(frozen=True, slots=True)
class Regex:
    """Searches the response for ``pattern`` (the ``regex`` package's syntax, a superset of ``re``)."""

    pattern: str
    time_limit: float = TIME_LIMIT

    def __post_init__(self) -> None:
        compiled(self.pattern)

    @property
    def identity(self) -> str:
        """``regex(pattern)``."""
        return f"regex({self.pattern!r})"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """1 if the pattern is found, else 0."""
        found = search(self.pattern, response, self.time_limit, fixture)
        return Grade(float(found), "matches" if found else "no match")


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """The compiled pattern.

    Raises:
        ConfigError: if it is no regular expression.
    """
    try:
        regex: Any = importlib.import_module("regex")  # 20 ms; only users of this grader pay
    except ImportError as error:
        raise ConfigError(
            "a grader's pattern needs the package regex", hint="pip install pytest-pmpo[graders]"
        ) from error
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ConfigError(f"{pattern!r} is no regular expression: {error}") from error


def search(pattern: str, text: str, time_limit: float, fixture: Fixture) -> bool:
    """Whether the pattern occurs in the text.

    Raises:
        GraderError: if the search takes longer than ``time_limit`` seconds.
    """
    try:
        return compiled(pattern).search(text, timeout=time_limit) is not None
    except TimeoutError as error:
        raise GraderError(
            f"pattern {pattern!r} took longer than {time_limit:g} s on a response to fixture {fixture.id!r}",
            location=fixture.location,
            hint="the pattern backtracks without end: make its repetitions possessive, or anchor it",
        ) from error
