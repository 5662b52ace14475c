"""The records between promptfoo's tests and our fixtures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_pmpo.errors import FormatError, Location

MAX_CASES = 20_000
"""Tests a file may unfold to; a matrix of lists grows quickly."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """``type`` and ``value`` of an assertion; ``is_code`` where the value is a program."""

    kind: str
    value: Any = None
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One test.

    Attributes:
        location: where it stands.
        vars: variables by name, with their types; a list is a matrix until ``unfold``.
        written: the same as text, where they are scalars.
        asserts: its own, then those of the default test.
        prompts: labels or ids of the prompts it is for; empty for all.
        expands: whether lists among the variables are matrices.
    """

    location: Location
    vars: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    asserts: tuple[Assertion, ...] = ()
    prompts: tuple[str, ...] = ()
    expands: bool = True

    def over(self, default: Case) -> Case:
        """This test with what ``default`` says where it says nothing."""
        return replace(
            self,
            vars={**default.vars, **self.vars},
            written={**{k: v for k, v in default.written.items() if k not in self.vars}, **self.written},
            asserts=(*self.asserts, *default.asserts),
            prompts=self.prompts or default.prompts,
            expands=self.expands and default.expands,
        )

    def unfold(self) -> Iterator[Case]:
        """One test for every combination of the values in the lists among its variables.

        Raises:
            FormatError: there are more than ``MAX_CASES``.
        """
        lists = {name: value for name, value in self.vars.items() if isinstance(value, list) and self.expands}
        total = 1
        for values in lists.values():
            total *= len(values)
            if total > MAX_CASES:
                raise FormatError(f"this test unfolds to more than {MAX_CASES} cases", location=self.location)
        for chosen in itertools.product(*lists.values()):
            picked = dict(zip(lists, chosen, strict=True))
            text = {name: str(value) for name, value in picked.items() if isinstance(value, str | int | float)}
            yield replace(self, vars={**self.vars, **picked}, written={**self.written, **text})
