"""Importance sampling on spaces small enough to know the truth."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.scoring.metrics.importance import log_sum, mixture, self_normalised

OUTCOMES = ("a", "b", "c", "d")
GRADES = {"a": 1.0, "b": 0.0, "c": 1.0, "d": 0.0}
TARGET = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
FIRST = {"a": 0.7, "b": 0.1, "c": 0.1, "d": 0.1}
SECOND = {"a": 0.1, "b": 0.1, "c": 0.2, "d": 0.6}


def estimate(drawn, counts=(1, 1), limit=10.0):  # type: ignore[no-untyped-def]
    return self_normalised(
        [math.log(TARGET[y]) for y in drawn],
        [mixture([math.log(FIRST[y]), math.log(SECOND[y])], counts) for y in drawn],
        [GRADES[y] for y in drawn],
        limit,
    )


def test_every_outcome_in_its_proportion_gives_the_exact_value() -> None:
    drawn = [y for y in OUTCOMES for _ in range(round(100 * (FIRST[y] + SECOND[y]) / 2))]
    assert estimate(drawn).value == pytest.approx(0.4)
    assert estimate(drawn).coverage == pytest.approx(1.0)


def test_the_mean_over_many_banks_tends_to_the_truth() -> None:
    rng = random.Random(7)

    def bank(n: int) -> list[str]:
        first = rng.choices(OUTCOMES, [FIRST[y] for y in OUTCOMES], k=n)
        return first + rng.choices(OUTCOMES, [SECOND[y] for y in OUTCOMES], k=n)

    values = [estimate(bank(20), (20, 20)).value for _ in range(2000)]
    assert sum(values) / len(values) == pytest.approx(0.4, abs=0.02)


def test_the_variance_is_that_seen_over_many_banks() -> None:
    rng = random.Random(3)
    drawn = [rng.choices(OUTCOMES, [(FIRST[y] + SECOND[y]) / 2 for y in OUTCOMES], k=60) for _ in range(1500)]
    estimates = [estimate(y) for y in drawn]
    mean = sum(e.value for e in estimates) / len(estimates)
    seen = sum((e.value - mean) ** 2 for e in estimates) / len(estimates)
    assert sum(e.variance for e in estimates) / len(estimates) == pytest.approx(seen, rel=0.15)


def test_a_prompt_that_wrote_the_whole_bank_gets_the_plain_mean() -> None:
    log_p = [-3.0, -7.5, -0.2]
    result = self_normalised(log_p, log_p, [1, 0, 1], 10)
    assert result.value == pytest.approx(2 / 3)
    assert result.effective_sample_size == pytest.approx(3)
    assert result.coverage == pytest.approx(1)


def test_a_prompt_far_from_the_bank_is_seen_by_its_coverage_not_by_its_sample_size() -> None:
    result = self_normalised([-60.0] * 4, [-10.0] * 4, [1, 0, 0, 0], 10)
    assert result.effective_sample_size == pytest.approx(4)
    assert result.coverage < 1e-20


def test_coverage_caps_what_one_response_can_claim() -> None:
    assert self_normalised([0.0, -90.0], [-50.0, -50.0], [1, 0], 10).coverage == pytest.approx(5)


log_densities = st.floats(-1e6, 0, allow_nan=False)


@given(
    st.lists(st.tuples(log_densities, log_densities, st.floats(0, 1)), min_size=1, max_size=12), st.floats(-500, 500)
)
def test_the_value_stays_within_the_grades_and_ignores_a_common_factor(rows, shift) -> None:  # type: ignore[no-untyped-def]
    p, q, c = zip(*rows, strict=True)
    result = self_normalised(p, q, c, 10)
    assert min(c) <= result.value <= max(c)
    assert 0 <= result.variance <= 1
    assert 1 - 1e-9 <= result.effective_sample_size <= len(rows) * (1 + 1e-9)
    moved = self_normalised([x + shift for x in p], q, c, 10)
    assert moved.value == pytest.approx(result.value, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-50, 0), st.floats(-50, 0), st.floats(0, 1)), min_size=1, max_size=6))
def test_the_order_of_responses_does_not_matter(rows) -> None:  # type: ignore[no-untyped-def]
    values = [self_normalised(*zip(*order, strict=True), 10).value for order in itertools.permutations(rows)]
    assert max(values) - min(values) < 1e-12


def test_responses_of_thousands_of_tokens_do_not_underflow() -> None:
    result = self_normalised([-90_000.0, -90_001.0], [-90_000.5, -90_000.5], [1, 0], 10)
    assert result.value == pytest.approx(1 / (1 + math.exp(-1)))


def test_the_mixture_weighs_proposals_by_their_draws_and_leaves_out_those_without() -> None:
    assert mixture([math.log(0.2), math.log(0.6)], (3, 1)) == pytest.approx(math.log(0.3))
    assert mixture([math.log(0.2), math.nan], (3, 0)) == pytest.approx(math.log(0.2))
    with pytest.raises(ValueError, match="at least one draw"):
        mixture([0.0], (0,))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_log_probability_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        self_normalised([bad, -1.0], [-1.0, -1.0], [1, 0], 10)


def test_log_sum_does_not_overflow() -> None:
    assert log_sum([1000.0, 1000.0]) == pytest.approx(1000 + math.log(2))
    assert log_sum([-math.inf]) == -math.inf


@given(st.lists(st.tuples(st.floats(-40, 40), st.sampled_from([0.0, 0.25, 1.0])), min_size=2, max_size=9))
def test_the_bias_is_the_jackknifes(rows: list[tuple[float, float]]) -> None:
    def mean(kept: list[tuple[float, float]]) -> float:
        top = max(w for w, _ in kept)
        return sum(math.exp(w - top) * c for w, c in kept) / sum(math.exp(w - top) for w, _ in kept)

    k = len(rows)
    corrected = k * mean(rows) - (k - 1) * sum(mean(rows[:j] + rows[j + 1 :]) for j in range(k)) / k
    result = self_normalised([w for w, _ in rows], [0.0] * k, [c for _, c in rows], 10)
    assert result.value - result.bias == pytest.approx(min(max(corrected, 0.0), 1.0), abs=1e-9)


def test_less_its_bias_the_mean_over_small_banks_is_nearer_to_the_truth() -> None:
    rng = random.Random(11)
    banks = [rng.choices(OUTCOMES, [FIRST[y] for y in OUTCOMES], k=6) for _ in range(4000)]
    found = [estimate(drawn, (1, 0)) for drawn in banks]
    plain = sum(e.value for e in found) / len(found)
    corrected = sum(e.value - e.bias for e in found) / len(found)
    assert abs(corrected - 0.4) < 0.5 * abs(plain - 0.4)


def test_one_response_or_one_grade_has_no_bias_to_speak_of() -> None:
    assert self_normalised([-3.0], [-1.0], [1.0], 10).bias == 0
    assert self_normalised([-3.0, -9.0], [-1.0, -1.0], [0.5, 0.5], 10).bias == 0
