"""The sign-flip test and its inversion, against flipping every sign by brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_pmpo.gate import signflip

whole = st.integers(-6, 6)
clusters = st.lists(st.tuples(whole, st.integers(1, 4)), min_size=1, max_size=9)


def brute_force_p(sums: np.ndarray, weights: np.ndarray, delta: float) -> float:
    """Share of all sign patterns whose sum of residuals reaches the observed one."""
    residuals = sums - delta * weights
    observed = residuals.sum()
    flipped = [
        sum(s * r for s, r in zip(signs, residuals, strict=True)) for signs in product((1, -1), repeat=len(sums))
    ]
    return float(np.mean([value >= observed - 1e-9 for value in flipped]))


def arrays(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([float(a) for a, _ in pairs]), np.array([float(w) for _, w in pairs])


@given(clusters)
def test_p_value_is_that_of_flipping_every_sign(pairs: list[tuple[int, int]]) -> None:
    sums, weights = arrays(pairs)
    means = signflip.all_subset_means(sums, weights)
    assert signflip.p_value(means) == pytest.approx(brute_force_p(sums, weights, 0.0), abs=1e-12)


@settings(max_examples=60)
@given(clusters, st.sampled_from([0.5, 0.25, 0.1, 0.05, 0.025]))
def test_lower_bound_is_where_flipping_every_sign_stops_rejecting(pairs: list[tuple[int, int]], level: float) -> None:
    sums, weights = arrays(pairs)
    bound = signflip.lower_bound(signflip.all_subset_means(sums, weights), level)
    if np.isinf(bound):
        assert 2.0 ** -len(pairs) > level
        return
    assert brute_force_p(sums, weights, bound - 1e-6) <= level
    assert brute_force_p(sums, weights, bound + 1e-6) > level


def test_subset_means_of_three_clusters_by_hand() -> None:
    means = signflip.all_subset_means(np.array([1.0, 4.0, 0.0]), np.array([1.0, 2.0, 1.0]))
    by_hand = [1 / 1, 4 / 2, 0 / 1, 5 / 3, 1 / 2, 4 / 3, 5 / 4]
    np.testing.assert_allclose(means, sorted(by_hand))


def test_differences_that_cancel_are_a_tie_in_spite_of_rounding() -> None:
    sums = np.array([0.1, 0.2, -0.3])  # 0.1 + 0.2 - 0.3 = 5.6e-17 in floating point
    means = signflip.all_subset_means(sums, np.ones(3))
    assert np.count_nonzero(means == 0.0) == 1
    assert signflip.p_value(means) == (1 + 4) / 8  # {}, {-.3}, {.1,-.3}, {.2,-.3} and the tie {all}


def test_all_of_one_sign_gives_the_smallest_p_and_its_smallest_value_as_bound() -> None:
    means = signflip.all_subset_means(np.arange(1.0, 9.0), np.ones(8))
    assert signflip.p_value(means) == 2.0**-8
    assert signflip.lower_bound(means, 2.0**-8) == 1.0


def test_a_level_finer_than_the_test_can_reach_has_no_bound() -> None:
    means = signflip.all_subset_means(np.ones(4), np.ones(4))
    assert signflip.lower_bound(means, 0.05) == -np.inf
    assert signflip.lower_bound(means, 2.0**-4) == 1.0


def test_mirrored_means_are_those_of_the_opposite_differences() -> None:
    sums, weights = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 1.0])
    np.testing.assert_allclose(
        signflip.mirrored(signflip.all_subset_means(sums, weights)), signflip.all_subset_means(-sums, weights)
    )


def test_drawn_subsets_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(0)
    sums, weights = rng.normal(0.3, 1, 16), rng.uniform(0.5, 2, 16)
    every = signflip.all_subset_means(sums, weights)
    drawn = signflip.drawn_subset_means(sums, weights, 40_000, np.random.default_rng(1))
    assert len(drawn) == 40_000
    assert signflip.p_value(drawn) == pytest.approx(signflip.p_value(every), abs=0.01)
    for level in (0.2, 0.05, 0.01):
        assert signflip.lower_bound(drawn, level) == pytest.approx(signflip.lower_bound(every, level), abs=0.02)


def test_drawn_p_value_is_never_zero() -> None:
    drawn = signflip.drawn_subset_means(np.ones(60), np.ones(60), 999, np.random.default_rng(1))
    assert signflip.p_value(drawn) == 1 / 1000


def test_an_empty_drawn_subset_counts_against_both_sides() -> None:
    drawn = signflip.drawn_subset_means(np.array([1.0, 2.0]), np.ones(2), 4000, np.random.default_rng(1))
    empty = int(np.isneginf(drawn).sum())
    assert 800 < empty < 1200  # a quarter of the subsets of two
    assert int(np.isneginf(signflip.mirrored(drawn)).sum()) == empty
