"""Numbers as reports write them."""

from __future__ import annotations

import math

import pytest

from pytest_pmpo.report.text import change, number


@pytest.mark.parametrize(
    ("value", "alone", "as_change"),
    [
        (0.0, "0.000", "+0.000"),
        (-0.0, "0.000", "+0.000"),
        (-0.0004, "0.000", "+0.000"),
        (-0.0006, "−0.001", "−0.001"),
        (1.5, "1.500", "+1.500"),
        (-math.inf, "−∞", "−∞"),
    ],
)
def test_nothing_has_no_minus_sign(value: float, alone: str, as_change: str) -> None:
    assert (number(value), change(value)) == (alone, as_change)
