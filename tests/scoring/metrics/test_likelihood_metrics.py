"""Cross-entropy, preference and choice against their formulas."""

from __future__ import annotations

import math
import random

import pytest

from pytest_pmpo.errors import ConfigError, FixtureError
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Label, Preference
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.preference import ChoiceLoss, PreferenceLoss, softplus
from pytest_pmpo.scoring.metrics.select import choose
from pytest_pmpo.scoring.records import Continuation, TargetScore


def fixture(label: Label) -> Fixture:
    return Fixture("a", {}, label)


def score(*nll: float, n_bytes: int = 4) -> TargetScore:
    return TargetScore(nll, n_bytes)


def test_cross_entropy_is_the_token_mean_with_sum_and_bits_per_byte_beside_it() -> None:
    measured = CrossEntropy().measure(fixture(Expected("abcd")), [score(1.0, 2.0, 6.0)])
    assert measured.value == measured.nll_per_token == pytest.approx(3.0)
    assert measured.details["total"] == pytest.approx(9.0)
    assert measured.details["bits_per_byte"] == pytest.approx(9.0 / math.log(2) / 4)


def test_cross_entropy_of_a_choice_is_that_of_the_right_one() -> None:
    assert CrossEntropy().continuations(fixture(Choice(("x", "y"), 1))) == (Continuation("y"),)


def test_a_prefix_label_never_scores_the_end_of_turn() -> None:
    metric = CrossEntropy(end_of_turn=True)
    assert not metric.continuations(fixture(Expected("a", prefix=True)))[0].end_of_turn
    assert metric.continuations(fixture(Expected("a")))[0].end_of_turn


@pytest.mark.parametrize("seed", range(5))
def test_preference_loss_is_the_mean_over_pairs_of_equation_5(seed: int) -> None:
    rng = random.Random(seed)
    good = [score(*(rng.uniform(0, 9) for _ in range(rng.randint(1, 4)))) for _ in range(2)]
    bad = [score(*(rng.uniform(0, 9) for _ in range(rng.randint(1, 4)))) for _ in range(3)]
    label = Preference(("p", "q"), ("x", "y", "z"))
    measured = PreferenceLoss(beta=0.7).measure(fixture(label), [*good, *bad])
    pairs = [-math.log(1 / (1 + math.exp(-0.7 * (-sum(g.nll) + sum(b.nll))))) for g in good for b in bad]
    assert measured.value == pytest.approx(sum(pairs) / 6)


def test_softplus_survives_extreme_margins() -> None:
    assert softplus(1e5) == 1e5
    assert softplus(-1e5) == 0.0


def test_choice_counts_the_right_answer_only_if_it_beats_every_distractor() -> None:
    label = fixture(Choice(("right", "w1", "w2"), 0))
    beaten = ChoiceLoss().measure(label, [score(2.0), score(3.0), score(1.0)])
    best = ChoiceLoss().measure(label, [score(0.5), score(3.0), score(1.0)])
    assert (beaten.details["correct"], best.details["correct"]) == (0.0, 1.0)
    assert best.value < beaten.value


def test_choices_are_asked_for_with_the_right_one_first() -> None:
    asked = ChoiceLoss().continuations(fixture(Choice(("a", "b", "c"), 1)))
    assert [text.text for text in asked] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ([Expected("a")], "cross-entropy"),
        ([Choice(("a", "b"), 0)], "choice"),
        ([Preference(("a",), ("b",))], "preference"),
        ([Preference(("a",), ("b",)), Choice(("a", "b"), 0)], "preference"),
        ([Choice(("a", "b"), 0), Expected("a")], "cross-entropy"),
        ([Choice(("only",), 0)], "cross-entropy"),
    ],
)
def test_the_most_telling_metric_all_fixtures_support_is_taken(labels: list[Label], name: str) -> None:
    assert choose([fixture(label) for label in labels]).info.name == name


def test_a_metric_asked_for_by_name_must_fit_every_fixture() -> None:
    with pytest.raises(FixtureError, match="no choices"):
        choose([fixture(Expected("a"))], "choice")
    with pytest.raises(ConfigError, match="unknown metric 'accuracy'"):
        choose([fixture(Expected("a"))], "accuracy")
    with pytest.raises(ConfigError) as near:
        choose([fixture(Expected("a"))], "crossentropy")
    assert near.value.hint == "did you mean 'cross-entropy'?"
