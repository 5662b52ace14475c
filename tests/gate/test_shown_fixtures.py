"""Fixtures that stand in the prompt or its base measure copying, and the verdict does not count them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_pmpo.gate.form import with_form
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy
from pytest_pmpo.scoring.records import PromptScore

MakeScore = Callable[..., PromptScore]
WOBBLE = (0.01, -0.02, 0.015, 0.005, -0.01, 0.02, -0.005, 0.0, 0.012, -0.008, 0.004, -0.016)
COPIED = ("case-0", "case-1", "case-2")
BASE = [1.0] * 15
HEAD = [0.0] * 3 + [1.1 + w for w in WOBBLE]
"""Three fixtures whose answers the head shows, and twelve that got worse by a tenth."""


def test_copied_answers_hide_no_regression_of_the_others(score: MakeScore) -> None:
    """With them the mean improves by 12 %."""
    policy = Policy(hard_break=None)
    assert not decide(score(HEAD), score(BASE), policy, model="tiny").failed
    verdict = decide(score(HEAD), score(BASE), policy, model="tiny", shown=COPIED)
    assert (verdict.status, verdict.failed) == ("regressed", True)
    rest = decide(score(HEAD[3:]), score(BASE[3:]), policy, model="tiny")
    assert verdict.comparison == rest.comparison
    assert {row.fixture_id for row in verdict.fixtures}.isdisjoint(COPIED)
    assert verdict.uncounted == COPIED


def test_a_verdict_says_how_many_are_not_counted_which_and_what_to_do(score: MakeScore) -> None:
    verdict = decide(score(HEAD), score(BASE), Policy(hard_break=None), model="tiny", shown=COPIED)
    assert "; 3 fixtures stand in the prompt or its base and are not counted; cross-entropy is a" in verdict.reason
    assert "shows case-0, case-1, case-2, and an answer that stands there is copied: take them" in verdict.advice[-1]
    one = decide(score(HEAD), score(BASE), Policy(hard_break=None), model="tiny", shown=COPIED[:1])
    assert "; 1 fixture stands in the prompt or its base and is not counted; " in one.reason
    assert "take it out of the fixtures, or put another in" in one.advice[-1]


def test_an_answer_that_can_no_longer_be_copied_breaks_nothing(score: MakeScore) -> None:
    """The base showed it; taking it out of the prompt is what the advice asks for."""
    head, base = score([1.5] + [1.0] * 12), score([0.0] + [1.0] * 12)
    assert decide(head, base, Policy(), model="tiny").status == "regressed"
    assert decide(head, base, Policy(), model="tiny", shown=COPIED[:1]).status == "passed"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_where_every_fixture_is_shown_nothing_is_decided(score: MakeScore, shift: float, strict: bool) -> None:
    head, base = score([1.0 + shift + w for w in WOBBLE]), score([1.0] * 12)
    ids = [row.fixture_id for row in head.fixtures]
    policy = Policy(hard_break=None, strict=strict)
    verdict = decide(head, base, policy, model="tiny", shown=ids)
    assert (verdict.status, verdict.failed) == ("inconclusive", strict)
    assert verdict.reason.startswith("the prompt or its base shows every fixture")
    assert any("case-0, case-1, case-2, case-3, case-4 and 7 more" in line for line in verdict.advice)


def test_names_of_no_fixture_change_nothing(score: MakeScore) -> None:
    """A saved baseline may lack the fixture that is shown."""
    policy = Policy(hard_break=None)
    plain = decide(score(HEAD), score(BASE), policy, model="tiny")
    assert decide(score(HEAD), score(BASE), policy, model="tiny", shown=("gone",)) == plain


def test_the_share_of_form_is_that_of_the_fixtures_counted(score: MakeScore) -> None:
    policy = Policy(hard_break=None)
    head, base = score(HEAD), score(BASE)
    head_control, base_control = score([9.0] * 3 + [4.1] * 12), score([4.0] * 15)
    verdict = decide(head, base, policy, model="tiny", shown=COPIED)
    told = with_form(verdict, (base, base_control), (head, head_control), policy)
    assert told.form is not None
    assert told.form.form == pytest.approx(0.1)
