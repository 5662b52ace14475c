"""The rule table of the gate, row by row, and what a verdict says."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest

from pytest_pmpo.errors import FixtureError, NumericsError, PmpoError
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.gate.wording import amount
from pytest_pmpo.scoring.records import MetricInfo, PromptScore

Score = Callable[..., PromptScore]
ACCURACY = MetricInfo("response-bank", "accuracy", direction="higher", proxy=False, scale="absolute")
LOSS = MetricInfo("cross-entropy", "nats/token")
WOBBLE = [0.01, -0.02, 0.015, 0.005, -0.01, 0.02, -0.005, 0.0, 0.012, -0.008, 0.004, -0.016]


def judged(score: Score, shift: float, policy: Policy | None = None, *, spread: float = 1.0, n: int = 12) -> Verdict:
    """Base loss 1.0 everywhere; head = base + shift + a small wobble, so 0.01 is one percent."""
    wobble = [spread * WOBBLE[i % 12] for i in range(n)]
    return decide(score([1.0 + shift + w for w in wobble]), score([1.0] * n), policy or Policy(), model="tiny")


def test_same_template_is_unchanged_whatever_the_numbers(score: Score) -> None:
    verdict = decide(score([9.0]), score([1.0]), Policy(), model="tiny", unchanged=True)
    assert (verdict.status, verdict.failed, verdict.comparison) == ("unchanged", False, None)
    assert verdict.head_mean == 9.0


def test_no_base_is_new_and_passes_even_when_strict(score: Score) -> None:
    verdict = decide(score([9.0]), None, Policy(strict=True), model="tiny")
    assert (verdict.status, verdict.failed, verdict.fixtures) == ("new", False, ())
    assert verdict.reason == "there is no base to compare with"


def test_certain_and_larger_than_the_tolerance_is_regressed(score: Score) -> None:
    verdict = judged(score, 0.1)
    assert (verdict.status, verdict.failed) == ("regressed", True)
    assert verdict.reason.startswith("10 % worse, at least ")
    assert verdict.reason.endswith("; cross-entropy is a proxy for accuracy")


def test_certain_but_within_the_tolerance_passes(score: Score) -> None:
    verdict = judged(score, 0.015, Policy(tolerance=0.018))
    assert verdict.comparison is not None
    assert verdict.comparison.lower_bound > 0
    assert verdict.comparison.upper_bound > 0.018
    assert (verdict.status, verdict.failed) == ("passed", False)
    assert "within the tolerance of 1.8 %" in verdict.reason


def test_larger_than_the_tolerance_but_uncertain_is_inconclusive(score: Score) -> None:
    verdict = judged(score, 0.1, spread=20, policy=Policy(hard_break=None))
    assert (verdict.status, verdict.failed) == ("inconclusive", False)
    assert "somewhere between" in verdict.reason


def test_inconclusive_fails_when_strict(score: Score) -> None:
    verdict = judged(score, 0.1, spread=20, policy=Policy(hard_break=None, strict=True))
    assert (verdict.status, verdict.failed) == ("inconclusive", True)
    assert any("strict" in line for line in verdict.advice)


def test_certainly_better_is_improved(score: Score) -> None:
    verdict = judged(score, -0.1)
    assert (verdict.status, verdict.failed) == ("improved", False)
    assert verdict.reason.startswith("9.9 % better, at least ")


def test_better_by_less_than_the_noise_floor_only_passes(score: Score) -> None:
    assert judged(score, -0.1, Policy(noise_floor=0.2)).status == "passed"


def test_worse_by_less_than_the_noise_floor_passes(score: Score) -> None:
    assert judged(score, 0.1, Policy(noise_floor=0.2)).status == "passed"


def test_surely_not_worse_than_the_tolerance_passes(score: Score) -> None:
    verdict = judged(score, 0.0)
    assert verdict.status == "passed"
    assert "at most" in verdict.reason


def test_nothing_moved_passes_and_says_so(score: Score) -> None:
    verdict = judged(score, 0.0, spread=0)
    assert verdict.status == "passed"
    assert verdict.reason.startswith("no fixture's number moved")


def test_one_broken_fixture_fails_though_the_mean_improved(score: Score) -> None:
    head = [0.5] * 11 + [2.5]
    verdict = decide(score(head), score([1.0] * 12), Policy(), model="tiny")
    assert verdict.comparison is not None
    assert verdict.comparison.delta < 0
    assert (verdict.status, verdict.failed) == ("regressed", True)
    assert verdict.reason.startswith("fixture case-11 broke: its right answer lost 1.5 nats per token, more than 1")
    assert verdict.fixtures[0].fixture_id == "case-11"
    assert verdict.fixtures[0].broken


def test_a_mean_that_regressed_and_fixtures_that_broke_are_both_told(score: Score) -> None:
    base, head = score([1.0] * 12), score([2.2 + w for w in WOBBLE[:6]] + [1.5 + w for w in WOBBLE[6:]])
    verdict = decide(head, base, Policy(), model="tiny")
    assert verdict.reason.startswith("85 % worse, at least ")
    assert "; 6 fixtures broke; " in verdict.reason
    accepting = next(line for line in verdict.advice if "to accept this on purpose" in line)
    tolerance = float(accepting.split("tolerance = ")[1].split()[0])
    hard_break = float(accepting.split("hard_break = ")[1].split()[0])
    accepted = decide(head, base, Policy(tolerance=tolerance, hard_break=hard_break), model="tiny")
    assert accepted.status == "passed"


def test_the_guard_watches_nats_per_token_whatever_the_metric(score: Score) -> None:
    base = score([0.9] * 12, metric=ACCURACY, nll=[0.5] * 12)
    head = score([0.9] * 12, metric=ACCURACY, nll=[0.5] * 11 + [2.0])
    assert decide(head, base, Policy(), model="tiny").status == "regressed"
    assert decide(head, base, Policy(hard_break=None), model="tiny").status == "passed"


def test_a_rise_of_exactly_the_limit_is_not_a_break(score: Score) -> None:
    verdict = decide(score([1.5] + [0.5] * 11), score([0.5] * 12), Policy(hard_break=1.0), model="tiny")
    assert not verdict.fixtures[0].broken


def test_fixtures_without_an_answer_loss_cannot_break(score: Score) -> None:
    base = score([0.9] * 12, metric=ACCURACY, nll=[None] * 12)
    head = score([0.9] * 12, metric=ACCURACY, nll=[5.0] * 12)
    assert decide(head, base, Policy(), model="tiny").status == "passed"


def test_falling_accuracy_is_a_regression_told_in_points(score: Score) -> None:
    head = [0.8 - w for w in WOBBLE]
    verdict = decide(score(head, metric=ACCURACY), score([0.9] * 12, metric=ACCURACY), Policy(), model="tiny")
    assert verdict.status == "regressed"
    assert verdict.reason.startswith("10 points worse")
    assert "proxy" not in verdict.reason


def test_sharing_alpha_turns_a_narrow_regression_into_inconclusive(score: Score) -> None:
    alone, shared = judged(score, 0.05, spread=5), judged(score, 0.05, Policy(family=20), spread=5)
    assert (alone.status, shared.status) == ("regressed", "inconclusive")
    assert "99.75 % confidence, alpha shared by 20 verdicts" in shared.reason


def test_fixtures_come_worst_first(score: Score) -> None:
    verdict = decide(score([1.1, 1.3, 0.8, 1.2]), score([1.0] * 4), Policy(), model="tiny")
    assert [f.fixture_id for f in verdict.fixtures] == ["case-1", "case-3", "case-0", "case-2"]
    assert [f.delta for f in verdict.fixtures] == pytest.approx([0.3, 0.2, 0.1, -0.2])


def test_too_few_fixtures_for_the_level_are_told_how_many_it_takes(score: Score) -> None:
    verdict = judged(score, 0.1, Policy(family=10), n=6)
    assert verdict.status == "inconclusive"
    takes = "it takes at least 8 fixtures at alpha = 0.005, the 0.05 that 10 verdicts share"
    assert f"with 6 fixtures no difference could be decided, however large: {takes}" in verdict.reason
    assert any(
        line.startswith(f"6 fixtures can decide nothing, whatever the difference: {takes}") for line in verdict.advice
    )
    assert "add fixtures, or change fewer prompts at a time" in verdict.advice


def test_six_fixtures_that_all_got_much_better_are_told_that_nothing_could_be_decided(score: Score) -> None:
    head = score([5.0 - gain for gain in (0.25, 0.6, 1.1, 2.0, 3.0, 4.7)])
    alone = decide(head, score([5.0] * 6), Policy(), model="tiny")
    shared = decide(head, score([5.0] * 6), Policy(family=4), model="tiny")
    assert (alone.status, shared.status) == ("improved", "inconclusive")
    assert "no difference could be decided, however large: it takes at least 7 fixtures" in shared.reason


def test_an_undecided_difference_says_how_many_fixtures_would_see_one_of_its_size(score: Score) -> None:
    head, base = [5.0 + d for d in (-0.25, 0.6, 0.1, -0.5, -1.1, -0.9)], [5.0] * 6
    verdict = decide(score(head), score(base), Policy(), model="tiny")
    assert verdict.status == "inconclusive"
    told = int(verdict.reason.split("; about ")[1].split()[0].replace(",", ""))
    assert "fixtures like these would see a mean difference of this size" in verdict.reason
    times = -(-told // 6)
    again = decide(score(head * times), score(base * times), Policy(), model="tiny")
    assert again.status == "improved"


def test_a_gain_that_only_passes_says_that_it_may_be_chance(score: Score) -> None:
    head = [1.0 - gain for gain in (0.0, 0.0, 0.0, 0.0, 0.0, 0.6, 0.7, 0.8)]
    verdict = decide(score(head), score([1.0] * 8), Policy(), model="tiny")
    assert (verdict.status, verdict.comparison is not None) == ("passed", True)
    assert "8 fixtures cannot tell so large a gain from chance; about " in verdict.reason


def test_advice_says_what_the_fixtures_can_see_and_how_many_would_see_the_tolerance(score: Score) -> None:
    verdict = judged(score, 0.0, spread=5)
    line = verdict.advice[-1]
    assert line.startswith("12 fixtures can see ≥ ")
    assert line.endswith(" would see 2 %")
    assert verdict.comparison is not None
    assert verdict.comparison.needed is not None
    told = int(line.split("about ")[1].split()[0].replace(",", ""))
    assert verdict.comparison.needed <= told <= 1.1 * verdict.comparison.needed


def test_regression_advice_names_the_worst_fixtures_and_the_setting_that_accepts_it(score: Score) -> None:
    verdict = judged(score, 0.1)
    assert verdict.advice[0].startswith("look first at: case-5, case-2, case-8, case-0, case-3 and 7 more")
    accepting = next(line for line in verdict.advice if "to accept this on purpose" in line)
    tolerance = float(accepting.split("tolerance = ")[1].split()[0])
    assert judged(score, 0.1, Policy(tolerance=tolerance)).status == "passed"


def test_the_hard_break_that_the_advice_names_accepts_the_break(score: Score) -> None:
    head, base = score([1.0] * 11 + [3.23]), score([1.0] * 12)
    accepting = decide(head, base, Policy(), model="tiny").advice[1]
    limit = float(accepting.split("hard_break = ")[1].split()[0])
    assert not decide(head, base, Policy(hard_break=limit), model="tiny").fixtures[0].broken


def test_left_out_fixtures_are_named(score: Score) -> None:
    verdict = decide(score([1.0] * 6), score([1.0] * 6), Policy(), model="tiny", left_out=["new-1", "new-2"])
    assert verdict.advice[-1].startswith("2 fixtures have no value in the baseline and took no part: new-1, new-2")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["head", "base", "answer"])
def test_nan_and_infinity_raise_and_name_the_fixture(score: Score, bad: float, where: str) -> None:
    good, broken = score([1.0, 1.0, 1.0]), score([1.0, bad, 1.0])
    if where == "answer":
        broken = score([1.0] * 3, nll=[1.0, bad, 1.0])
    head, base = (good, broken) if where == "base" else (broken, good)
    with pytest.raises(NumericsError, match="case-1"):
        decide(head, base, Policy(), model="tiny")


@pytest.mark.parametrize("unchanged", [True, False])
def test_nan_raises_without_a_comparison_too(score: Score, unchanged: bool) -> None:
    with pytest.raises(NumericsError, match="case-0"):
        decide(score([math.nan]), None, Policy(), model="tiny", unchanged=unchanged)


@pytest.mark.parametrize("ids", [["a", "c"], ["b", "a"], ["a"]])
def test_other_fixtures_or_another_order_raise(score: Score, ids: list[str]) -> None:
    with pytest.raises(FixtureError):
        decide(score([1.0, 1.0], ids=["a", "b"]), score([1.0] * len(ids), ids=ids), Policy(), model="tiny")


def test_no_fixtures_raise(score: Score) -> None:
    with pytest.raises(FixtureError, match="no fixtures"):
        decide(score([]), score([]), Policy(), model="tiny")


def test_another_metric_raises(score: Score) -> None:
    with pytest.raises(PmpoError, match="measured by response-bank"):
        decide(score([1.0]), score([1.0], metric=ACCURACY), Policy(), model="tiny")


def test_a_verdict_survives_pickling(score: Score) -> None:
    verdict = judged(score, 0.1)
    assert pickle.loads(pickle.dumps(verdict)) == verdict


def test_unchanged_and_new_import_neither_numpy_nor_scipy() -> None:
    code = """
import sys
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy
from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, PromptScore
head = PromptScore("a", MetricInfo("cross-entropy", "nats/token"), (FixtureScore("x", Measurement(1.0, 1.0)),))
assert decide(head, None, Policy(), model="m").status == "new"
assert decide(head, head, Policy(), model="m", unchanged=True).status == "unchanged"
print(sorted({name.partition(".")[0] for name in sys.modules} & {"numpy", "scipy", "torch", "pydantic"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("size", "metric", "base", "text"),
    [
        (0.0621, LOSS, 2.0, "3.1 %"),
        (0.0007, LOSS, 2.0, "0.035 %"),
        (2.0, LOSS, 2.0, "100 %"),
        (-0.0621, LOSS, 2.0, "-3.1 %"),
        (0.05, LOSS, 0.0, "0.05 nats/token"),
        (0.0312, ACCURACY, 0.5, "3.1 points"),
        (0.0, LOSS, 2.0, "0 %"),
        (math.inf, LOSS, 2.0, "∞"),
    ],
)
def test_amounts_are_written_as_people_read_them(size: float, metric: MetricInfo, base: float, text: str) -> None:
    assert amount(size, metric, base) == text
