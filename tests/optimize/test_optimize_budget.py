"""Limits are refused before they are crossed, and what is kept for the held-out check stays kept."""

from __future__ import annotations

import pytest

from pytest_pmpo.errors import BudgetError, ConfigError
from pytest_pmpo.optimize.budget import Budget, Ledger, Spent


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_forward_pass_that_does_not_fit_is_refused() -> None:
    ledger = Ledger(Budget(forward_tokens=100))
    ledger.pay_forward(60, 0, 1.0)
    ledger.require_forward(40)
    with pytest.raises(BudgetError, match=r"needs 41 forward tokens, but 60 of 100 are spent"):
        ledger.require_forward(41)


def test_the_reserve_is_for_the_held_out_check_alone() -> None:
    ledger = Ledger(Budget(forward_tokens=100))
    ledger.reserved_forward = 30
    with pytest.raises(BudgetError, match="30 are kept for the held-out check"):
        ledger.require_forward(80)
    ledger.require_forward(80, from_reserve=True)


def test_generated_tokens_are_bounded_by_the_length_asked_for() -> None:
    ledger = Ledger(Budget(generated_tokens=1000))
    ledger.pay_generation(600, 1.0)
    ledger.require_generation(400)
    with pytest.raises(BudgetError, match="400 of 1,000 are left"):
        ledger.require_generation(401)


def test_a_step_that_would_outlast_the_time_limit_is_refused() -> None:
    clock = Clock()
    ledger = Ledger(Budget(minutes=1), clock=clock)
    ledger.pay_forward(100, 0, 10.0)
    ledger.require_forward(500)
    clock.now += 30
    with pytest.raises(BudgetError, match="needs about 50 s, but 30 s"):
        ledger.require_forward(500)


def test_time_spent_before_an_interruption_counts() -> None:
    clock = Clock()
    ledger = Ledger(Budget(minutes=1), Spent(seconds=59.0), clock)
    clock.now += 2
    with pytest.raises(BudgetError):
        ledger.require_forward(1)


def test_without_limits_everything_fits() -> None:
    ledger = Ledger(Budget())
    ledger.require_forward(10**12)
    ledger.require_generation(10**12)
    assert ledger.seconds_left is None


@pytest.mark.parametrize("limits", [{"rounds": 0}, {"forward_tokens": -1}, {"minutes": 0.0}])
def test_a_limit_must_be_positive(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="give a positive number"):
        Budget(**limits)


def test_limits_read_as_a_sentence() -> None:
    assert str(Budget(5, 10_000, 200, 3)) == "5 rounds, 10,000 forward tokens, 200 generated tokens, 3 minutes"
