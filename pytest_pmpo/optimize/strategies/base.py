"""The protocol of a strategy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pytest_pmpo.optimize.records import Step
from pytest_pmpo.optimize.study import Study


class Strategy(Protocol):
    """Decides what is tried and what is kept. Given the same study it walks the same path: that is what makes a run
    resumable, so a strategy draws only from ``study.rng`` and looks at no clock."""

    @property
    def name(self) -> str:
        """As it is asked for: ``pmpo``, ``ape``."""
        ...

    @property
    def settings(self) -> str:
        """Everything its path depends on besides the study, as text; part of the request's digest."""
        ...

    def rounds(self, study: Study) -> Iterator[Step]:
        """One step per round, without end unless nothing new can be tried; whoever runs it counts the rounds."""
        ...
