"""Strict minimum, acceptance above the noise, and the Pareto pool."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.optimize.records import Candidate
from pytest_pmpo.optimize.selection import Acceptance, ParetoPool, strict_best
from pytest_pmpo.prompts.model import Message, Prompt, Segment


def candidate(name: str) -> Candidate:
    return Candidate(Prompt("p.md", "text", "none", (Message("user", (Segment(name),)),), "digest"), name)


def test_the_paper_replaces_only_on_a_strictly_lower_loss() -> None:
    assert strict_best([2.0, 1.0, 1.0], 1.5) == 1
    assert strict_best([2.0, 1.5], 1.5) is None
    assert strict_best([], 1.5) is None


def test_a_gain_below_the_noise_floor_is_no_gain() -> None:
    accept = Acceptance(noise_floor=0.01, standard_errors=0)
    assert not accept.improves([0.995, 0.995], [1.0, 1.0], [1, 1])
    assert accept.improves([0.98, 0.98], [1.0, 1.0], [1, 1])


def test_a_gain_must_exceed_its_own_standard_error() -> None:
    accept = Acceptance(noise_floor=1e-4, standard_errors=1.0)
    assert not accept.improves([0.0, 2.0, 1.0, 0.6], [1.0, 1.0, 1.0, 1.0], [1, 1, 1, 1])
    assert accept.improves([0.8, 0.9, 0.9, 0.8], [1.0, 1.0, 1.0, 1.0], [1, 1, 1, 1])


def test_weights_count() -> None:
    accept = Acceptance(noise_floor=1e-4, standard_errors=0)
    assert accept.improves([0.5, 1.2], [1.0, 1.0], [1, 1])
    assert not accept.improves([0.5, 1.2], [1.0, 1.0], [1, 10])


def test_one_fixture_losing_more_than_the_hard_break_breaks() -> None:
    assert Acceptance(hard_break=1.0).breaks([0.1, 2.5], [1.0, 1.0])
    assert not Acceptance(hard_break=1.0).breaks([0.1, None], [1.0, 1.0])
    assert not Acceptance(hard_break=None).breaks([9.0], [1.0])


def test_who_is_best_somewhere_stays_and_who_is_dominated_goes() -> None:
    pool = ParetoPool()
    assert pool.add(candidate("a"), [1.0, 5.0])
    assert pool.add(candidate("b"), [5.0, 1.0])
    assert not pool.add(candidate("c"), [2.0, 2.0])
    assert pool.add(candidate("d"), [1.0, 1.0])
    assert [c.origin for c, _ in pool.members.values()] == ["d"]


def test_parents_are_drawn_by_how_often_they_are_best() -> None:
    pool = ParetoPool()
    pool.add(candidate("often"), [1.0, 1.0, 1.0, 9.0])
    pool.add(candidate("once"), [9.0, 9.0, 9.0, 1.0])
    rng = random.Random(0)
    draws = [pool.draw(rng).origin for _ in range(400)]
    assert draws.count("often") / 400 == pytest.approx(0.75, abs=0.08)


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=8))
def test_the_pool_always_holds_a_minimum_of_every_fixture(rows: list[list[int]]) -> None:
    pool = ParetoPool()
    for number, row in enumerate(rows):
        pool.add(candidate(str(number)), [float(x) for x in row])
    for column in range(3):
        assert min(losses[column] for _, losses in pool.members.values()) == min(row[column] for row in rows)
