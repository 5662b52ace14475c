"""Runs that share a model get what they would get alone, in fewer calls of the model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmarks.optimizers.shared import SharedModel
from pytest_pmpo.errors import NumericsError
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import Backend, SamplingSettings
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.records import EncodedSequence

RUNS = 6
GREEDY = SamplingSettings(temperature=0.0, max_new_tokens=12)


class _Counted(FakeBackend):
    """Notes how many items each call brought, and that no two calls overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self._alone = threading.Lock()

    def score(self, sequences: Sequence[EncodedSequence], **options: Any) -> list[tuple[float, ...]]:
        assert self._alone.acquire(blocking=False)
        try:
            self.calls.append(len(sequences))
            if any(sequence.label == "broken" for sequence in sequences):
                raise NumericsError("broken: the model gave nan at target token 1")
            return super().score(sequences)
        finally:
            self._alone.release()

    def generate(self, conversations: Sequence[Sequence[Turn]], settings: SamplingSettings, **options: Any) -> Any:
        assert self._alone.acquire(blocking=False)
        try:
            self.calls.append(len(conversations))
            return super().generate(conversations, settings, **options)
        finally:
            self._alone.release()


def _sequence(number: int, label: str = "fine") -> EncodedSequence:
    return EncodedSequence(tuple(f"run {number} says yes".encode()), 12, label)


def _together(model: FakeBackend, work: Any) -> list[Any]:
    """What ``work(view, number)`` gives for each run; all are inside before one begins."""
    shared, inside = SharedModel(model), threading.Barrier(RUNS)

    def run(number: int) -> Any:
        with shared.run() as view:
            inside.wait()
            return work(view, number)

    with ThreadPoolExecutor(RUNS) as pool:
        return [future.result() for future in [pool.submit(run, number) for number in range(RUNS)]]


def test_each_run_gets_its_own_losses() -> None:
    model = _Counted()
    found = _together(model, lambda view, number: [view.score([_sequence(number)] * (number + 1)) for _ in range(3)])
    for number, rows in enumerate(found):
        assert rows == [FakeBackend().score([_sequence(number)] * (number + 1))] * 3


def test_questions_of_all_runs_are_written_as_one_batch_and_come_back_to_who_asked() -> None:
    def ask(view: Any, number: int) -> Any:
        return view.generate([[Turn("user", f"{number} {n}")] for n in range(2)], GREEDY, samples=3)

    model = _Counted()
    found = _together(model, ask)
    assert model.calls == [RUNS * 2 * 3]
    for number, rows in enumerate(found):
        alone = ask(FakeBackend(), number)
        assert [[answer.text for answer in row] for row in rows] == [[answer.text for answer in row] for row in alone]


def test_questions_of_other_settings_are_written_apart() -> None:
    def ask(view: Any, number: int) -> int:
        settings = SamplingSettings(temperature=0.0, max_new_tokens=3 + number % 2)
        return len(view.generate([[Turn("user", "yes yes yes yes")]], settings)[0][0].tokens)

    model = _Counted()
    assert _together(model, ask) == [3, 4] * (RUNS // 2)
    assert model.calls == [RUNS // 2] * 2


def test_a_run_that_fails_takes_no_other_with_it() -> None:
    def work(view: Backend, number: int) -> object:
        if number == 2:
            with pytest.raises(NumericsError, match="broken: the model gave nan"):
                view.score([_sequence(number, "broken")])
            return None
        return view.score([_sequence(number)])

    found = _together(_Counted(), work)
    assert [rows is None for rows in found] == [number == 2 for number in range(RUNS)]


def test_a_question_does_not_wait_for_a_run_that_asks_nothing() -> None:
    shared = SharedModel(_Counted())
    with shared.run(), shared.run() as view:
        generator: Any = view
        assert len(generator.generate([[Turn("user", "hello")]], GREEDY)) == 1
