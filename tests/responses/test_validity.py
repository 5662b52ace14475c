"""The validity of a bank, where the truth is known."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import ttest_1samp

from pytest_pmpo.responses.validity import Drawn, leave_one_out, p_value

OUTCOMES = {"right": 1.0, "wrong": 0.0}


def made(chances: dict[str, float], fixtures: int = 150, draws: int = 4, seed: int = 1) -> dict[str, list[Drawn]]:
    """A bank of a model that answers right with a known chance under each proposal."""
    rng = random.Random(seed)
    bank: dict[str, list[Drawn]] = {}
    for i in range(fixtures):
        rows = []
        for proposal, chance in chances.items():
            for _ in range(draws):
                right = rng.random() < chance
                log_p = {name: math.log(p if right else 1 - p) for name, p in chances.items()}
                rows.append(Drawn(proposal, float(right), log_p))
        bank[f"f{i}"] = rows
    return bank


def test_a_bank_that_covers_everything_points_the_right_way() -> None:
    found = leave_one_out(made({"a": 0.3, "b": 0.5, "c": 0.7}))
    assert found is not None
    assert len(found.differing) == 6
    assert all(pair.right for pair in found.differing)
    assert all(pair.coverage > 0.9 for pair in found.pairs)
    assert found.error < 0.08
    assert "6 of 6 differences point the right way" in found.sentence()


def test_equal_prompts_are_seldom_called_different() -> None:
    alarms = pairs = 0
    for seed in range(30):
        found = leave_one_out(made({"a": 0.5, "b": 0.5, "c": 0.5}, fixtures=60, seed=seed))
        assert found is not None
        alarms += sum(pair.decided for pair in found.pairs)
        pairs += len(found.pairs)
    # their likelihoods are equal, so every estimated difference is exactly 0
    assert alarms == 0
    assert pairs == 180


def test_a_left_out_prompt_the_rest_does_not_cover_is_not_decided() -> None:
    far: dict[str, list[Drawn]] = {f"f{i}": [] for i in range(40)}
    rng = random.Random(2)
    for rows in far.values():
        for proposal in "ab":
            for _ in range(3):
                right = rng.random() < (0.5 if proposal == "a" else 0.9)
                own = -1.0
                other = -30.0
                rows.append(Drawn(proposal, float(right), {name: own if name == proposal else other for name in "ab"}))
    found = leave_one_out(far)
    assert found is not None
    assert all(pair.coverage < 0.01 for pair in found.pairs)
    assert not any(pair.decided for pair in found.pairs)


def test_one_proposal_or_one_fixture_is_not_enough() -> None:
    assert leave_one_out(made({"a": 0.5})) is None
    assert leave_one_out(made({"a": 0.5, "b": 0.6}, fixtures=1)) is None


def test_the_p_value_is_that_of_a_paired_t_test() -> None:
    differences = [0.1, 0.2, -0.1, 0.4, 0.3]
    assert p_value(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue)
    assert p_value([0.0, 0.0]) == 1.0
    assert p_value([0.5, 0.5, 0.5]) == 0.0
