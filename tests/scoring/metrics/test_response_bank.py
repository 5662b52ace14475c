"""The response bank as a metric: what it has scored, and what it makes of it."""

from __future__ import annotations

import math

import pytest

from pytest_pmpo.errors import BankError
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.response_bank import BankedResponse, ResponseBank, coverage
from pytest_pmpo.scoring.records import Continuation, TargetScore
from pytest_pmpo.scoring.scorer import Scorer

FIXTURE = Fixture("f1", {}, Expected("yes"))


def score(total: float) -> TargetScore:
    return TargetScore((-total,), 1)


def test_equal_texts_are_scored_once_and_counted_twice() -> None:
    bank = ResponseBank(
        {
            "f1": [
                BankedResponse("yes", 1, True, -1.0),
                BankedResponse("yes", 1, True, -1.0),
                BankedResponse("no", 0, True, -1.0),
                BankedResponse("no", 0, False, -1.0),
            ]
        }
    )
    assert bank.continuations(FIXTURE) == (
        Continuation("yes", True),
        Continuation("no", True),
        Continuation("no", False),
    )
    measured = bank.measure(FIXTURE, [score(-1.0)] * 3)
    assert measured.value == pytest.approx(0.5)
    assert measured.details["responses"] == 4


def test_a_prompt_that_makes_right_responses_likelier_is_estimated_better() -> None:
    bank = ResponseBank({"f1": [BankedResponse("yes", 1, True, -1.0), BankedResponse("no", 0, True, -1.0)]})
    better = bank.measure(FIXTURE, [score(-0.5), score(-2.0)])
    worse = bank.measure(FIXTURE, [score(-2.0), score(-0.5)])
    assert better.value > 0.8 > 0.2 > worse.value
    assert bank.info.direction == "higher"


def test_responses_all_right_are_reported_as_uninformative() -> None:
    bank = ResponseBank({"f1": [BankedResponse("yes", 1, True, -1.0), BankedResponse("Yes.", 1, True, -4.0)]})
    measured = bank.measure(FIXTURE, [score(-9.0), score(-0.1)])
    assert measured.value == 1
    assert measured.details["informative"] == 0
    assert measured.details["variance"] == 0


def test_a_fixture_without_responses_is_not_supported_and_an_error_when_measured_anyway() -> None:
    bank = ResponseBank({"f1": [], "f2": [BankedResponse("a", 1, True, -1.0)]})
    assert bank.supports(FIXTURE) == "it has no responses in the bank"
    with pytest.raises(BankError, match="pmpo bank build"):
        bank.continuations(FIXTURE)


def test_coverage_is_the_weighted_mean_over_fixtures_and_only_a_banks() -> None:
    prompt = Prompt("p.prompt", "test", "none", (Message("user", (Segment("say yes or no"),)),), "0")
    light = Fixture("f1", {}, Expected("yes"), weight=1.0)
    heavy = Fixture("f2", {}, Expected("yes"), weight=3.0)
    scorer = Scorer("test", FakeBackend)
    texts = {"f1": ["yes", "no"], "f2": ["yes"]}
    log_p = {}
    for text in ("yes", "no"):
        alone = ResponseBank({"f1": [BankedResponse(text, 1, True, 0.0)]})
        log_p[text] = -scorer.score([prompt], [light], alone)[0].fixtures[0].scores[0].total
    bank = ResponseBank(
        {
            # f1: exactly the prompt's own density; f2: the bank is e times as likely as the prompt
            "f1": [BankedResponse(text, float(text == "yes"), True, log_p[text]) for text in texts["f1"]],
            "f2": [BankedResponse("yes", 1.0, True, log_p["yes"] + 1.0)],
        }
    )
    measured = scorer.score([prompt], [light, heavy], bank)[0]
    reach = coverage(measured)
    assert reach is not None
    assert reach.share == pytest.approx((1 * 1.0 + 3 * 0.36787944) / 4)
    assert reach.responses == pytest.approx((2 + 3 * 1) / 4)
    assert reach.informative == pytest.approx(0.25)
    # two fixtures of weights 1 and 3 around the mean: √(2/1 · (1²·a² + 3²·b²)) / 4
    spread = math.hypot(1 * (1 - reach.share), 3 * (0.36787944 - reach.share))
    assert reach.error == pytest.approx(math.sqrt(2) * spread / 4)
    assert reach.sufficient(reach.share - reach.error - 0.001)
    assert not reach.sufficient(reach.share - reach.error + 0.001)
    assert coverage(scorer.score([prompt], [light], CrossEntropy())[0]) is None
    alone = coverage(scorer.score([prompt], [light], bank)[0])
    assert alone is not None
    assert not alone.sufficient(0.0)
