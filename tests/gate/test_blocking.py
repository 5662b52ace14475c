"""Which failing verdicts fail the build, and what is said of those that only inform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_pmpo.gate.blocking import informing, note
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Blocking, Policy, Verdict
from pytest_pmpo.scoring.records import MetricInfo

BANK = MetricInfo("response-bank", "accuracy", direction="higher", proxy=False, scale="absolute")
WOBBLE = (0.01, -0.02, 0.015, 0.005, -0.01, 0.02, -0.005, 0.0, 0.012, -0.008, 0.004, -0.016)


def by_loss(score, policy: Policy, *, spread: float = 1.0) -> Verdict:
    """On a loss that rises by 10 %."""
    return informing(
        decide(score([1.1 + spread * w for w in WOBBLE]), score([1.0] * len(WOBBLE)), policy, model="tiny")
    )


def by_bank(score, policy: Policy) -> Verdict:
    """On an accuracy that falls by ten points."""
    head, base = score([0.8 + w for w in WOBBLE], metric=BANK), score([0.9] * len(WOBBLE), metric=BANK)
    return informing(decide(head, base, replace(policy, hard_break=None), model="tiny"))


@pytest.mark.parametrize(
    ("blocking", "loss_fails", "bank_fails"),
    [("always", True, True), ("no-proxy", False, True), ("never", False, False)],
)
def test_a_setting_says_whose_failures_fail_the_build(
    score, blocking: Blocking, loss_fails: bool, bank_fails: bool
) -> None:
    """A proxy's, a bank's, or neither's; the status is the same whatever it says."""
    loss, bank = by_loss(score, Policy(blocking=blocking)), by_bank(score, Policy(blocking=blocking))
    assert (loss.status, loss.failed, loss.informs) == ("regressed", loss_fails, not loss_fails)
    assert (bank.status, bank.failed, bank.informs) == ("regressed", bank_fails, not bank_fails)


def test_the_reason_says_that_and_why_a_verdict_only_informs(score) -> None:
    """Beside the reason of the failure itself; that the metric is a proxy is said once."""
    told = by_loss(score, Policy()).reason.removesuffix("; cross-entropy is a proxy for accuracy")
    because = 'informs only: blocking = "no-proxy" and cross-entropy is a proxy for accuracy'
    assert by_loss(score, Policy(blocking="no-proxy")).reason == f"{told}; {because}"
    assert note(by_loss(score, Policy(blocking="no-proxy"))) == because
    never = by_loss(score, Policy(blocking="never"))
    assert never.reason == f'{told}; cross-entropy is a proxy for accuracy; informs only: blocking = "never"'
    assert by_bank(score, Policy(blocking="never")).reason.endswith('; informs only: blocking = "never"')


def test_a_hard_break_follows_the_same_rule(score) -> None:
    """One fixture that breaks under a proxy informs as its mean would."""
    head, base = score([0.5] * 11 + [2.5]), score([1.0] * 12)
    verdict = informing(decide(head, base, Policy(blocking="no-proxy"), model="tiny"))
    assert (verdict.status, verdict.failed, verdict.informs) == ("regressed", False, True)
    assert verdict.reason.startswith("fixture case-11 broke")


def test_what_strict_fails_follows_the_same_rule(score) -> None:
    """Still inconclusive, and nothing says that it fails."""
    strict = by_loss(score, Policy(strict=True, hard_break=None), spread=20)
    assert (strict.status, strict.failed) == ("inconclusive", True)
    assert any("so this fails" in line for line in strict.advice)
    verdict = by_loss(score, Policy(strict=True, hard_break=None, blocking="no-proxy"), spread=20)
    assert (verdict.status, verdict.failed, verdict.informs) == ("inconclusive", False, True)
    assert not any("so this fails" in line for line in verdict.advice)


@pytest.mark.parametrize(("blocking", "judged"), [("no-proxy", by_loss), ("never", by_loss), ("never", by_bank)])
def test_advice_beside_a_verdict_that_informs_says_that_nothing_blocks(
    score, blocking: Blocking, judged: Callable[..., Verdict]
) -> None:
    """Nothing has to be accepted; the setting it names still is the one under which the same numbers pass."""
    assert any("to accept this on purpose, set tolerance = " in line for line in judged(score, Policy()).advice)
    informs = judged(score, Policy(blocking=blocking))
    assert not any("to accept this" in line for line in informs.advice)
    told = next(line for line in informs.advice if line.startswith("this blocks nothing, and merging needs no setting"))
    tolerance = float(told.split("tolerance = ")[1].split()[0])
    assert judged(score, Policy(blocking=blocking, tolerance=tolerance)).status == "passed"


def test_a_bank_that_blocks_beside_proxies_that_inform_still_says_how_to_accept(score) -> None:
    """``no-proxy`` changes nothing of what a bank's failure says."""
    assert by_bank(score, Policy(blocking="no-proxy")).advice == by_bank(score, Policy()).advice


def test_a_verdict_that_does_not_fail_is_left_as_it_is(score) -> None:
    """Nothing is said of a failure that is none."""
    for policy in (Policy(tolerance=0.5, blocking="never"), Policy(hard_break=None, blocking="never")):
        decided = decide(score([1.0] * 12), score([1.0] * 12), policy, model="tiny")
        assert informing(decided) is decided
        assert note(decided) == ""
