"""What a proposal gains in a heat of the train fixtures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pmpo.optimize.strategies.pmpo import heat_gain
from pytest_pmpo.prompts.model import Expected, Fixture

LIGHT = Fixture("light", {"input": "x"}, Expected("yes"))
HEAVY = replace(LIGHT, id="heavy", weight=9.0)


def test_a_gain_is_a_weighted_mean_of_what_each_fixture_gains() -> None:
    assert heat_gain([LIGHT, HEAVY], [1.0, 2.0], [0.0, 1.5], without=()) == pytest.approx((1 * 1.0 + 9 * 0.5) / 10)


def test_a_proposal_that_quotes_a_fixture_is_compared_by_the_same_scale() -> None:
    """The same gain everywhere is the same gain, whichever fixtures are left out and whatever they weigh."""
    gains = {heat_gain([LIGHT, HEAVY], [1.0, 1.0], [0.5, 0.5], without=w) for w in ((), ("light",), ("heavy",))}
    assert gains == {0.5}


def test_a_proposal_that_quotes_the_whole_heat_gains_nothing_in_it() -> None:
    assert heat_gain([LIGHT, HEAVY], [1.0, 1.0], [0.1, 0.1], without=("light", "heavy")) == 0.0
