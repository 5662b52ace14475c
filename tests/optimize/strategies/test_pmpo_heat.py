"""What a proposal gains in a heat of the train fixtures, and runs that are stopped between heats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.strategies.pmpo import HEATS, SHORTEST_HEAT, heat_gain
from pytest_pmpo.prompts.model import Expected, Fixture
from pytest_pmpo.scoring.backends.fake import FakeBackend

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


def test_a_run_stopped_in_its_heats_ends_like_one_that_was_not(
    make_request: Callable[..., OptimizeRequest], fixtures: tuple[Fixture, ...], backend: FakeBackend, tmp_path: Path
) -> None:
    many = tuple(
        replace(fixture, id=f"{fixture.id}/{n}", vars={"input": f"{fixture.vars['input']} {n}"})
        for n in "abc"
        for fixture in fixtures
    )
    calm = run(make_request(fixtures=many, journals=tmp_path / "calm"))
    assert len(calm.splits["train"]) // HEATS >= SHORTEST_HEAT
    once, total = backend.sequences_scored, calm.spent.forward_tokens
    endings = []
    for share in (0.3, 0.5, 0.7, 0.9, None):
        limit = None if share is None else int(share * total)
        stopped = run(make_request(fixtures=many, budget=Budget(rounds=3, forward_tokens=limit)))
        endings.append(stopped.ending)
        assert limit is None or stopped.spent.forward_tokens <= limit
    assert endings == ["budget"] * 4 + ["rounds"]
    assert (stopped.winner, stopped.verdict) == (calm.winner, calm.verdict)
    assert [row.best for row in stopped.rounds] == [row.best for row in calm.rounds]
    assert backend.sequences_scored - once == once, "nothing was scored twice"
