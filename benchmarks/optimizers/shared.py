"""One model for many runs: each run is a thread, and what waits at the same time is scored or written as one batch.

Writing is bound by latency: a step takes as long for sixty answers as for four. A strategy that asks one question at a
time would leave a GPU idle; twenty runs of it side by side do not. Runs wait for each other, so their seconds are no
measure, and what a run samples depends on who asks beside it: the same command gives other texts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pytest_pmpo.errors import PmpoError
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import Backend, Generation, Generator, Progress, SamplingSettings, Tokenizer
from pytest_pmpo.scoring.records import EncodedSequence

LINGER = 0.3
"""Seconds that a question waits for others to join it; writing a batch takes about a second."""


class Model(Backend, Generator, Protocol):
    """What scores and writes."""


@dataclass(slots=True, eq=False)
class _Order:
    """What one run wants: sequences scored (``how`` is None) or conversations answered once each."""

    how: SamplingSettings | None
    items: Sequence[Any]
    since: float
    results: Sequence[Any] | None = None
    error: Exception | None = None

    @property
    def is_open(self) -> bool:
        return self.results is None and self.error is None


class SharedModel:
    """Serves all that waits together: scoring first, for it is short, then the answers that can be sampled together.

    Whichever waiting thread finds the model free serves everybody; there is no thread of its own.

    Args:
        model: used by one thread at a time.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._turn = threading.Condition()
        self._busy = False
        self._runs = 0
        self._waiting: list[_Order] = []

    @contextmanager
    def run(self) -> Iterator[Backend]:
        """The model as one run sees it; answers are not begun before all runs inside wait, or ``LINGER`` is over."""
        with self._turn:
            self._runs += 1
        try:
            yield _View(self)
        finally:
            with self._turn:
                self._runs -= 1
                self._turn.notify_all()

    def serve(self, how: SamplingSettings | None, items: Sequence[Any]) -> Sequence[Any]:
        """One result per item; see ``_Order``. Blocks; raises what the model raised for these items.

        An answer's seed is that of the order that waited longest.
        """
        order = _Order(how, items, time.monotonic())
        with self._turn:
            self._waiting.append(order)
            self._turn.notify_all()
        while order.is_open:
            self._serve_all_or_wait(order)
        if order.error is not None:
            raise order.error
        return order.results or ()

    def _serve_all_or_wait(self, order: _Order) -> None:
        with self._turn:
            self._turn.wait_for(lambda: not order.is_open or self._next(), LINGER / 10)
            batch = self._next() if order.is_open else []
            if not batch:
                return
            self._waiting = [other for other in self._waiting if other not in batch]
            self._busy = True
        try:
            self._fill(batch)
        finally:
            for other in batch:  # whatever came up, nobody is left waiting
                if other.is_open:
                    other.error = RuntimeError("the run that asked the model for all has failed")
            with self._turn:
                self._busy = False
                self._turn.notify_all()

    def _next(self) -> list[_Order]:
        """What may be begun now."""
        if self._busy or not self._waiting:
            return []
        scoring = [order for order in self._waiting if order.how is None]
        if scoring:
            return scoring
        oldest = self._waiting[0]
        if len(self._waiting) < self._runs and time.monotonic() - oldest.since < LINGER:
            return []
        return [order for order in self._waiting if _alike(order, oldest)]

    def _fill(self, batch: Sequence[_Order]) -> None:
        try:
            self._ask(batch)
        except (PmpoError, RuntimeError):  # whose fault it is shows when each is asked for on its own
            for order in batch:
                try:
                    self._ask([order])
                except (PmpoError, RuntimeError) as error:
                    order.error = error

    def _ask(self, batch: Sequence[_Order]) -> None:
        items, how = [item for order in batch for item in order.items], batch[0].how
        found: Sequence[Any]
        found = self.model.score(items) if how is None else [row[0] for row in self.model.generate(items, how)]
        start = 0
        for order in batch:
            end = start + len(order.items)
            order.results = found[start:end]
            start = end


def _alike(one: _Order, other: _Order) -> bool:
    if one.how is None or other.how is None:
        return one.how is other.how
    return replace(one.how, seed=0) == replace(other.how, seed=0)


class _View:
    """A run's own: a tokenizer is not for several threads."""

    def __init__(self, shared: SharedModel) -> None:
        self._shared = shared
        self.tokenizer: Tokenizer = deepcopy(shared.model.tokenizer)
        self.context_length = shared.model.context_length
        self.description = shared.model.description

    def score(
        self, sequences: Sequence[EncodedSequence], *, progress: Progress | None = None
    ) -> list[tuple[float, ...]]:
        return list(self._shared.serve(None, sequences))

    def generate(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int = 1,
        progress: Progress | None = None,
    ) -> list[tuple[Generation, ...]]:
        asked = [turns for turns in conversations for _ in range(samples)]
        written = self._shared.serve(settings, asked)
        return [tuple(written[i : i + samples]) for i in range(0, len(written), samples)]
