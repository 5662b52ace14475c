"""The form control: the same change on labels that are not the fixture's."""

from __future__ import annotations

import pytest

from pytest_pmpo.errors import PmpoError
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Message, Prompt, Segment
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.form_control import ShuffledLabels, WithControl, without_form
from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, PromptScore
from pytest_pmpo.scoring.scorer import Scorer


def fixtures(*labels: str) -> list[Fixture]:
    return [Fixture(str(i), {}, Expected(label)) for i, label in enumerate(labels)]


def test_every_fixture_gets_a_label_that_is_not_its_own() -> None:
    rows = fixtures("yes", "yes", "no", "yes", "maybe")
    control = ShuffledLabels(CrossEntropy(), rows)
    for row in rows:
        (text,) = control.continuations(row)
        assert text.text != row.label.text  # type: ignore[union-attr]
        assert control.supports(row) is None


def test_the_deal_is_the_same_for_base_and_head() -> None:
    rows = fixtures("a", "b", "c", "d")
    deals = [[ShuffledLabels(CrossEntropy(), rows).continuations(row) for row in rows] for _ in range(2)]
    assert deals[0] == deals[1]


def test_equal_labels_cannot_be_shuffled_and_say_so() -> None:
    rows = fixtures("yes", "yes ")
    assert ShuffledLabels(CrossEntropy(), rows).supports(rows[0]) == "all labels are equal, so none can be shuffled"


def test_labels_of_different_kinds_are_compared_by_their_answers() -> None:
    rows = [Fixture("0", {}, Choice(("yes", "no"), 0)), Fixture("1", {}, Expected("no"))]
    control = ShuffledLabels(CrossEntropy(), rows)
    assert control.continuations(rows[0])[0].text == "no"
    assert control.continuations(rows[1])[0].text == "yes"


def scored(*values: float) -> PromptScore:
    info = MetricInfo("cross-entropy", "nats/token")
    return PromptScore("p", info, tuple(FixtureScore(str(i), Measurement(v)) for i, v in enumerate(values)))


def test_a_change_that_moves_every_label_alike_leaves_nothing() -> None:
    base, head = scored(1.0, 2.0, 3.0), scored(0.5, 1.5, 2.5)
    base_control, head_control = scored(4.0, 4.0, 5.0), scored(3.5, 3.5, 4.5)
    left = [
        h.value - b.value
        for b, h in zip(
            without_form(base, base_control).fixtures, without_form(head, head_control).fixtures, strict=True
        )
    ]
    assert left == [0.0, 0.0, 0.0]
    assert without_form(base, base_control).metric.scale == "absolute"


def test_a_control_of_other_fixtures_is_refused() -> None:
    with pytest.raises(PmpoError, match="same fixtures"):
        without_form(scored(1.0, 2.0), scored(1.0))


PROMPTS = [
    Prompt("p", "test", "fstring", (Message("user", (Segment(text),)),), "") for text in ("spam or ham? {t}", "{t}")
]


def test_metric_and_control_in_one_pass_are_those_of_two() -> None:
    rows = [Fixture(str(i), {"t": f"text {i}"}, Expected("spam" if i % 2 else "ham")) for i in range(4)]
    both, scorer = WithControl(CrossEntropy(), rows), Scorer("x", FakeBackend)
    assert both.info == CrossEntropy().info
    alone = scorer.score(PROMPTS, rows, CrossEntropy())
    shuffled = scorer.score(PROMPTS, rows, ShuffledLabels(CrossEntropy(), rows))
    assert [both.split(score, rows) for score in scorer.score(PROMPTS, rows, both)] == list(
        zip(alone, shuffled, strict=True)
    )


def test_the_control_pays_for_the_shuffled_labels_alone() -> None:
    """The prompt and the input before them are shared."""
    rows = [Fixture(str(i), {"t": f"a rather long text {i}"}, Expected("spam" if i % 2 else "ham")) for i in range(4)]
    costs = []
    for metric in (CrossEntropy(), WithControl(CrossEntropy(), rows)):
        scorer = Scorer("x", FakeBackend)
        scorer.score(PROMPTS, rows, metric)
        costs.append(scorer.tokens_spent)
    labels = len(PROMPTS) * sum(len(label) for label in ("spam", "ham")) * 2
    assert costs[0] < costs[1] <= costs[0] + labels
