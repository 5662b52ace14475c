"""Form or quality: the share of a change that any label would have seen, beside the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pytest_pmpo.gate.form import significant, with_form
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.scoring.records import PromptScore

MakeScore = Callable[..., PromptScore]
POLICY = Policy(hard_break=None)
WOBBLE = (0.02, -0.01, 0.03, 0.0, -0.02, 0.01, 0.02, -0.03, 0.01, 0.0)


def judged(score: MakeScore, own: float, form: float, weights: Sequence[float] | None = None) -> Verdict:
    """Right labels moved by ``own``, shuffled ones by ``form``, each with a wobble of its own."""
    n = len(WOBBLE)
    base, base_control = score([1.0] * n, weights=weights), score([4.0] * n, weights=weights)
    head = score([1.0 + own + w for w in WOBBLE], weights=weights)
    head_control = score([4.0 + form - w for w in WOBBLE], weights=weights)
    verdict = decide(head, base, POLICY, model="tiny")
    return with_form(verdict, (base, base_control), (head, head_control), POLICY)


def test_a_change_of_form_leaves_nothing_for_the_right_labels(score: MakeScore) -> None:
    verdict = judged(score, 0.42, 0.42)
    assert verdict.status == "regressed"  # it is told, not taken away from the verdict
    assert verdict.form is not None
    assert verdict.form.form == pytest.approx(0.42 - sum(WOBBLE) / 10)
    assert verdict.form.rest == pytest.approx(2 * sum(WOBBLE) / 10)
    assert verdict.form.low < 0 < verdict.form.high


def test_a_change_of_quality_is_left_for_them(score: MakeScore) -> None:
    verdict = judged(score, 0.42, 0.0)
    assert verdict.form is not None
    assert verdict.form.rest == pytest.approx(0.42 + 2 * sum(WOBBLE) / 10)
    assert verdict.form.low > 0.3


def test_an_improvement_has_its_share_too(score: MakeScore) -> None:
    verdict = judged(score, -0.3, -0.1)
    assert verdict.status == "improved"
    assert verdict.form is not None
    assert verdict.form.form == pytest.approx(-0.1 - sum(WOBBLE) / 10)


def test_shares_are_weighted_as_the_mean_is(score: MakeScore) -> None:
    weights = [9.0, *[1.0] * 9]
    verdict = judged(score, 0.4, 0.1, weights)
    assert verdict.form is not None
    assert verdict.comparison is not None
    assert verdict.form.form + verdict.form.rest == pytest.approx(verdict.comparison.delta)


def test_a_change_that_may_be_none_gets_no_share(score: MakeScore) -> None:
    verdict = judged(score, 0.0, 0.3)
    assert not significant(verdict)
    assert verdict.form is None


def test_a_verdict_without_a_base_has_none(score: MakeScore) -> None:
    alone = score([1.0, 2.0])
    verdict = decide(alone, None, POLICY, model="tiny")
    assert with_form(verdict, (alone, alone), (alone, alone), POLICY) == verdict
