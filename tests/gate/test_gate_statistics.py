"""Comparison of base and head: signs, weights, groups, determinism, degenerate cases, power."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from pytest_pmpo.gate import bootstrap, power, statistics
from pytest_pmpo.gate.pairing import effective_tolerance
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy
from pytest_pmpo.gate.skewness import Moments
from pytest_pmpo.gate.statistics import Clusters, compare
from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, PromptScore

Score = Callable[..., PromptScore]
ACCURACY = MetricInfo("response-bank", "accuracy", direction="higher", proxy=False, scale="absolute")


def unit(values: np.ndarray) -> Clusters:
    return Clusters(values, np.ones(len(values)))


def test_difference_is_positive_where_a_loss_rises(score: Score) -> None:
    assert statistics.compare(score([1.0, 2.0]), score([1.5, 2.5]), Policy()).delta == pytest.approx(0.5)


def test_difference_is_positive_where_an_accuracy_falls(score: Score) -> None:
    base, head = score([0.9, 0.8], metric=ACCURACY), score([0.8, 0.7], metric=ACCURACY)
    assert statistics.compare(base, head, Policy()).delta == pytest.approx(0.1)


def test_means_and_difference_are_weighted(score: Score) -> None:
    weights = [3.0, 1.0]
    c = statistics.compare(score([1.0, 2.0], weights=weights), score([2.0, 2.0], weights=weights), Policy())
    assert (c.base_mean, c.head_mean, c.delta) == pytest.approx((1.25, 2.0, 0.75))


def test_todays_weights_hold_for_both_versions(score: Score) -> None:
    c = statistics.compare(score([1.0, 2.0]), score([2.0, 2.0], weights=[3.0, 1.0]), Policy())
    assert c.base_mean == pytest.approx(1.25)


def test_a_group_is_one_draw(score: Score) -> None:
    rng = np.random.default_rng(0)
    base = [1.0] * 40
    head = [1 + d for d in np.repeat(rng.normal(0.1, 0.1, 8), 5)]
    groups = [f"g{i // 5}" for i in range(40)]
    alone = statistics.compare(score(base), score(head), Policy())
    grouped = statistics.compare(score(base, groups=groups), score(head, groups=groups), Policy())
    assert (alone.clusters, grouped.clusters) == (40, 8)
    assert grouped.delta == pytest.approx(alone.delta)
    assert grouped.lower_bound < alone.lower_bound
    assert grouped.detectable > 2 * alone.detectable


def test_repeating_a_group_member_changes_no_p_value(score: Score) -> None:
    once = statistics.compare(score([1.0] * 6), score([1.1, 1.2, 0.9, 1.3, 1.05, 1.2]), Policy())
    doubled = [v for v in [1.1, 1.2, 0.9, 1.3, 1.05, 1.2] for _ in range(2)]
    groups = [str(i // 2) for i in range(12)]
    twice = statistics.compare(score([1.0] * 12, groups=groups), score(doubled, groups=groups), Policy())
    assert twice.p_worse == once.p_worse
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


def test_below_twenty_clusters_signs_are_flipped_from_twenty_on_bca_joins() -> None:
    rng = np.random.default_rng(0)
    assert statistics.bound(unit(rng.normal(size=19)), 0.05).method == "sign-flip, exact"
    assert statistics.bound(unit(rng.normal(size=20)), 0.05).method == "BCa bootstrap and sign-flip"


def test_exact_p_value_is_scipys_permutation_test() -> None:
    d = np.random.default_rng(3).normal(0.4, 1, 10)
    exact = stats.permutation_test((d,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf)
    assert statistics.bound(unit(d), 0.05).p_worse == pytest.approx(exact.pvalue)


def test_bca_ends_are_scipys() -> None:
    d = np.random.default_rng(3).gamma(2, size=40)
    ends = bootstrap.bca(d, np.ones(40), 0.01, 9999, np.random.default_rng(5))
    two_sided = stats.bootstrap((d,), np.mean, n_resamples=9999, rng=np.random.default_rng(5)).confidence_interval
    assert (ends.low, ends.high) == pytest.approx((two_sided.low, two_sided.high), abs=0.02)
    one_sided = stats.bootstrap(
        (d,), np.mean, confidence_level=0.99, alternative="greater", n_resamples=9999, rng=np.random.default_rng(6)
    ).confidence_interval
    assert ends.lower_bound == pytest.approx(one_sided.low, abs=0.03)


def test_one_sided_ends_enclose_less_than_the_interval_at_one_verdict_and_more_at_ten() -> None:
    d = unit(np.random.default_rng(0).normal(size=40))
    alone, shared = statistics.bound(d, 0.05), statistics.bound(d, 0.005)
    assert alone.low == shared.low
    assert shared.lower_bound < alone.low < alone.lower_bound < alone.upper_bound < alone.high < shared.upper_bound


@pytest.mark.parametrize("n", [12, 60])
def test_equal_inputs_give_equal_results(score: Score, n: int) -> None:
    rng = np.random.default_rng(n)
    base, head = score(list(rng.normal(2, 1, n))), score(list(rng.normal(2, 1, n)))
    assert statistics.compare(base, head, Policy()) == statistics.compare(base, head, Policy())


@pytest.mark.parametrize("n", [8, 30])
def test_opposite_differences_give_opposite_ends(n: int) -> None:
    d = np.random.default_rng(n).normal(0.2, 1, n)
    up, down = statistics.bound(unit(d), 0.05), statistics.bound(unit(-d), 0.05)
    assert up.lower_bound == pytest.approx(-down.upper_bound, abs=0.03)
    assert up.low == pytest.approx(-down.high, abs=0.03)


@pytest.mark.parametrize("n", [1, 2, 8, 19, 20, 50])
def test_nothing_moved(score: Score, n: int) -> None:
    c = statistics.compare(score([1.0] * n), score([1.0] * n), Policy())
    assert (c.delta, c.p_worse) == (0.0, 1.0)
    assert c.low in (0.0, -math.inf)
    assert c.high in (0.0, math.inf)
    assert (c.low == 0.0) == (n >= 6)  # 2^-5 > 0.025: five fixtures cannot give a 95 % interval


@pytest.mark.parametrize("n", [8, 20, 50])
def test_all_differences_equal_have_ends_without_width(score: Score, n: int) -> None:
    c = statistics.compare(score([1.0] * n), score([1.25] * n), Policy())
    assert (c.low, c.high, c.lower_bound, c.upper_bound) == pytest.approx((0.25,) * 4)
    assert c.detectable == 0.0


def test_equal_differences_of_unequal_weights_have_ends_without_width(score: Score) -> None:
    weights = [1.0 + 0.37 * i for i in range(25)]
    c = statistics.compare(score([0.1] * 25, weights=weights), score([0.2] * 25, weights=weights), Policy())
    assert (c.low, c.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("n", [8, 20, 50])
def test_one_fixture_that_moved_is_not_significant(score: Score, n: int) -> None:
    c = statistics.compare(score([1.0] * n), score([1.0] * (n - 1) + [1.9]), Policy())
    assert c.p_worse == pytest.approx(0.5, abs=0.02)
    assert c.lower_bound <= 0 < c.delta
    assert math.isfinite(c.detectable)


def test_one_cluster_can_say_nothing(score: Score) -> None:
    groups = ["one"] * 30
    c = statistics.compare(score([1.0] * 30, groups=groups), score([2.0] * 30, groups=groups), Policy())
    assert (c.clusters, c.lower_bound, c.upper_bound, c.detectable) == (1, -math.inf, math.inf, math.inf)


def test_skewness_against_the_verdict_lowers_the_bound_below_students() -> None:
    d = np.array([0.2, 0.25, 0.3, 0.2, 0.3, 0.25, 0.2, -0.6])
    student = d.mean() - stats.t.ppf(0.95, 7) * d.std(ddof=1) / math.sqrt(8)
    assert Moments.of(d, np.ones(8)).lower_bound(0.05) < student


def test_bound_without_skewness_is_students() -> None:
    d = np.array([-0.3, -0.1, 0.0, 0.1, 0.3]) + 0.5
    student = d.mean() - stats.t.ppf(0.95, 4) * d.std(ddof=1) / math.sqrt(5)
    assert Moments.of(d, np.ones(5)).lower_bound(0.05) == pytest.approx(student)


def test_halls_bound_solves_halls_equation() -> None:
    d = np.random.default_rng(1).gamma(1.0, size=30)  # skewed to the right: counted once
    n, mean, s = 30, d.mean(), d.std(ddof=1)
    bound = Moments.of(d, np.ones(n)).lower_bound(0.05)
    gamma = stats.skew(d, bias=False)
    big_s = (mean - bound) / s
    g = big_s + gamma * big_s**2 / 3 + gamma**2 * big_s**3 / 27 + gamma / (6 * n)
    assert math.sqrt(n) * g == pytest.approx(stats.t.ppf(0.95, n - 1))


def test_tolerance_is_a_share_of_the_base_or_absolute_and_at_least_the_noise_floor(score: Score) -> None:
    loss, accuracy = score([2.0]), score([0.5], metric=ACCURACY)
    assert effective_tolerance(Policy(tolerance=0.02), loss, 2.0) == pytest.approx(0.04)
    assert effective_tolerance(Policy(tolerance=0.02), accuracy, 0.5) == 0.02
    assert effective_tolerance(Policy(tolerance=0.02, noise_floor=0.1), loss, 2.0) == 0.1


def test_minimum_detectable_effect_is_millers_with_the_allowance() -> None:
    t = stats.t.ppf(0.95, 99) + stats.t.ppf(0.8, 99)
    allowance = 1 + 3.3 * stats.norm.ppf(0.95) ** 2 / 1000
    assert power.detectable(0.1, 100, 0.05) == pytest.approx(0.1 * t * allowance)


def test_needed_clusters_is_the_first_number_that_sees_the_effect() -> None:
    needed = power.needed_clusters(1.0 / math.sqrt(12), 12, 0.05, 0.5)
    assert needed is not None
    assert power.detectable(1 / math.sqrt(needed), needed, 0.05) <= 0.5
    assert power.detectable(1 / math.sqrt(needed - 1), needed - 1, 0.05) > 0.5


def test_needed_fixtures_grow_with_the_size_of_the_groups(score: Score) -> None:
    rng = np.random.default_rng(0)
    head = [1 + d for d in np.repeat(rng.normal(0.0, 0.2, 8), 5)]
    c = statistics.compare(score([1.0] * 40), score(head, groups=[f"g{i // 5}" for i in range(40)]), Policy())
    assert c.needed is not None
    assert c.needed % 5 == 0
    assert c.needed > 40


def test_too_few_clusters_for_the_level_detect_nothing() -> None:
    assert power.detectable(0.1, 4, 0.05) == math.inf
    assert power.detectable(0.1, 5, 0.05) < math.inf
    assert [power.fewest_clusters(level) for level in (0.5, 0.25, 0.05, 0.005, 0.03125)] == [1, 2, 5, 8, 5]


def test_no_number_of_fixtures_sees_nothing() -> None:
    assert power.needed_clusters(0.1, 10, 0.05, 0.0) is None
    assert power.needed_clusters(0.1, 10, 0.05, 1e-9) is None


def _banked(values: Sequence[float], bias: float) -> PromptScore:
    metric = MetricInfo("response-bank", "accuracy", "higher", proxy=False, scale="absolute")
    rows = tuple(
        FixtureScore(f"case-{i}", Measurement(value, details={"bias": bias})) for i, value in enumerate(values)
    )
    return PromptScore("p.md", metric, rows)


def test_a_small_banks_bias_widens_every_end_and_no_number_of_fixtures_averages_it_away() -> None:
    rng = np.random.default_rng(2)
    base, head = rng.random(40), rng.random(40)
    plain = compare(_banked(base, 0.03), _banked(head, 0.03), Policy())
    wide = compare(_banked(base, 0.03), _banked(head, -0.02), Policy())
    assert (plain.systematic, wide.systematic) == (0, pytest.approx(0.05))
    assert wide.delta == plain.delta
    for name, sign in (("low", -1), ("lower_bound", -1), ("high", 1), ("upper_bound", 1), ("detectable", 1)):
        assert getattr(wide, name) == pytest.approx(getattr(plain, name) + sign * 0.05)
    assert wide.needed is None  # the tolerance is below what the bank may be off by


def test_a_regression_a_small_bank_may_have_made_up_is_inconclusive_and_says_so() -> None:
    base = [1.0] * 30
    head = [0.9 + 0.001 * i for i in range(30)]
    assert decide(_banked(head, 0.0), _banked(base, 0.0), Policy(), model="m").status == "regressed"
    verdict = decide(_banked(head, -0.1), _banked(base, 0.0), Policy(), model="m")
    assert verdict.status == "inconclusive"
    assert "so small a bank may itself be off by 10 points, which more responses would narrow" in verdict.reason
