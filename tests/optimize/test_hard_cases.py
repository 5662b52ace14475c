"""The hardest fixtures come first, and rejected rounds move on to others."""

from __future__ import annotations

from pytest_pmpo.optimize.hard_cases import hardest
from pytest_pmpo.prompts.model import Expected, Fixture

FIXTURES = [Fixture(f"f{i}", {}, Expected("a")) for i in range(5)]
LOSSES = [1.0, 5.0, 3.0, 5.0, 2.0]


def ids(k: int, rejected: int = 0) -> list[str]:
    return [case.fixture.id for case in hardest(FIXTURES, LOSSES, k, rejected)]


def test_top_k_by_loss_with_ties_by_id() -> None:
    assert ids(3) == ["f1", "f3", "f2"]


def test_each_rejected_round_shows_the_next_ones_and_wraps() -> None:
    assert ids(3, 1) == ["f4", "f0", "f1"]
    assert ids(3, 5) == ids(3)


def test_asking_for_more_than_there_are_gives_all() -> None:
    assert len(ids(9)) == 5
    assert hardest([], [], 3) == ()
