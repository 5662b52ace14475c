"""Fixtures are split the same way every time, groups stay whole, and too few of them stop the run."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.errors import Location, OptimizeError
from pytest_pmpo.optimize.splits import MIN_HELDOUT, split, too_few_to_prove
from pytest_pmpo.prompts.model import Expected, Fixture


def make(n: int) -> list[Fixture]:
    return [Fixture(f"f{i}", {"input": i}, Expected("a"), location=Location("p.yaml", i + 1)) for i in range(n)]


@given(st.integers(8, 80), st.integers(0, 5))
def test_every_fixture_is_in_one_part_and_held_out_can_prove_something(n: int, seed: int) -> None:
    fixtures = make(n)
    parts = split(fixtures, seed)
    everything = [f.id for part in (parts.train, parts.selection, parts.heldout) for f in part]
    assert sorted(everything) == sorted(f.id for f in fixtures)
    assert len(parts.heldout) >= MIN_HELDOUT
    assert parts.train
    assert parts.selection
    assert too_few_to_prove(parts) is None


def test_thirty_fixtures_are_twelve_eight_ten() -> None:
    parts = split(make(30))
    assert (len(parts.train), len(parts.selection), len(parts.heldout)) == (12, 8, 10)


def test_the_order_of_the_file_does_not_matter() -> None:
    fixtures = make(20)
    shuffled = random.Random(1).sample(fixtures, 20)
    assert {f.id for f in split(fixtures).heldout} == {f.id for f in split(shuffled).heldout}


def test_another_seed_is_another_split() -> None:
    assert split(make(40), 0).heldout != split(make(40), 1).heldout


def test_a_fixture_that_names_its_part_keeps_it() -> None:
    fixtures = [replace(f, split="heldout") if i < 6 else f for i, f in enumerate(make(20))]
    assert {f"f{i}" for i in range(6)} <= {f.id for f in split(fixtures).heldout}


def test_a_group_stays_in_one_part() -> None:
    fixtures = [replace(f, group=f"g{i // 3}") for i, f in enumerate(make(30))]
    parts = split(fixtures)
    groups = [{f.group for f in part} for part in (parts.train, parts.selection, parts.heldout)]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_below_eight_the_run_stops_and_says_why() -> None:
    with pytest.raises(OptimizeError, match="7 fixtures are too few") as caught:
        split(make(7))
    assert "add 1 or more" in str(caught.value)
    assert str(caught.value).startswith("p.yaml:1:")


def test_no_held_out_fixture_is_an_error() -> None:
    fixtures = [replace(f, split="train") if i else replace(f, split="selection") for i, f in enumerate(make(10))]
    with pytest.raises(OptimizeError, match="no held-out fixture"):
        split(fixtures)


def test_a_group_torn_between_parts_is_an_error() -> None:
    fixtures = make(10)
    fixtures[0] = replace(fixtures[0], group="g", split="train")
    fixtures[1] = replace(fixtures[1], group="g", split="heldout")
    with pytest.raises(OptimizeError, match="group 'g' name different parts"):
        split(fixtures)


def test_four_held_out_groups_can_prove_nothing() -> None:
    fixtures = [replace(f, split="heldout", group=f"g{i % 4}") if i < 8 else f for i, f in enumerate(make(16))]
    assert "4 independent held-out fixtures" in (too_few_to_prove(split(fixtures)) or "")


@pytest.mark.parametrize("seed", range(6))
def test_right_answers_are_spread_evenly(seed: int) -> None:
    fixtures = [replace(f, label=Expected("yes" if i % 2 else "no")) for i, f in enumerate(make(30))]
    parts = split(fixtures, seed)
    for part in (parts.train, parts.selection, parts.heldout):
        yes = sum(f.label == Expected("yes") for f in part)
        assert abs(yes - len(part) / 2) <= 1
