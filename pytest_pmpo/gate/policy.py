"""From losses of base and head to a verdict.

Differences are signed so that positive is worse; bounds are one-sided at ``alpha / family``; the tolerance is in the
metric's unit and never below the noise floor. The first row that holds decides::

    status         holds when                                                                   fails the build
    unchanged      the template is the one of the base                                          no
    new            there is no base                                                             no
    regressed      lower bound > 0 and mean > tolerance                                         yes
    regressed      a fixture's right answer loses more than ``hard_break`` nats per token       yes
    improved       upper bound < 0 and the improvement is larger than the noise floor           no
    passed         upper bound <= tolerance: not worse than the tolerance                       no
    passed         lower bound > 0, mean <= tolerance: worse, but within the tolerance          no
    inconclusive   none of these: the fixtures cannot tell                                      only if strict

Fixtures that stand in the prompt, or in its base, are not counted; where no other is left, nothing is decided.
Whether a failing verdict does fail the build, or only informs, is said afterwards: ``blocking.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_pmpo.gate.pairing import effective_tolerance, require_finite, signed_differences, without
from pytest_pmpo.gate.records import Comparison, FixtureDelta, Policy, Status, Verdict
from pytest_pmpo.gate.wording import Wording
from pytest_pmpo.scoring.records import Measurement, PromptScore


def decide(
    head: PromptScore,
    base: PromptScore | None,
    policy: Policy,
    *,
    model: str,
    unchanged: bool = False,
    left_out: Sequence[str] = (),
    shown: Collection[str] = (),
) -> Verdict:
    """The verdict on one prompt under one model.

    Args:
        head: the prompt as it is now, over today's fixtures.
        base: the prompt as it was, over the same fixtures in the same order; None where it did not exist.
        policy: thresholds, and how many verdicts share ``alpha``.
        model: name to print.
        unchanged: True where base and head have equal template digests; ``base`` is not looked at then.
        left_out: fixtures that have no base value (a saved baseline that is older than they are); named in the advice.
        shown: fixtures that stand in the prompt or its base, which measure how well the model copies: they are not
            counted, and where no other is left nothing can be decided.

    Raises:
        NumericsError: naming the fixture whose number is NaN or infinite.
        FixtureError: if base and head were not measured on the same fixtures in the same order.
        PmpoError: if they were not measured by the same metric.
    """
    if unchanged or base is None:
        return _without_comparison(head, policy, model, unchanged, left_out)
    from pytest_pmpo.gate import statistics  # numpy and scipy; only a changed prompt pays for them

    copied = [row.fixture_id for row in head.fixtures if row.fixture_id in shown]
    none_left = 0 < len(copied) == len(head.fixtures)
    if not none_left:
        head, base = without(head, copied), without(base, copied)
    comparison = statistics.compare(base, head, policy)
    tolerance = effective_tolerance(policy, head, comparison.base_mean)
    deltas = _fixture_deltas(head, base, signed_differences(base, head), policy)
    words = Wording(head.metric, comparison, policy, tolerance)
    status, reason = _judge(comparison, deltas, tolerance, words)
    if none_left:
        status, reason = "inconclusive", words.all_shown
    elif copied:
        reason += f"; {words.not_counted(copied)}"
    return Verdict(
        prompt=head.prompt,
        model=model,
        metric=head.metric,
        status=status,
        reason=reason + words.proxy_note,
        failed=status == "regressed" or (status == "inconclusive" and policy.strict),
        head_mean=comparison.head_mean,
        policy=policy,
        tolerance=tolerance,
        comparison=comparison,
        fixtures=deltas,
        advice=(*words.advice(status, deltas), *words.left_out(left_out), *words.shown(copied)),
        uncounted=() if none_left else tuple(copied),
    )


def _without_comparison(
    head: PromptScore, policy: Policy, model: str, unchanged: bool, left_out: Sequence[str]
) -> Verdict:
    require_finite(head, "head")
    status: Status = "unchanged" if unchanged else "new"
    return Verdict(
        prompt=head.prompt,
        model=model,
        metric=head.metric,
        status=status,
        reason="the prompt is the same as in the base" if unchanged else "there is no base to compare with",
        failed=False,
        head_mean=head.mean,
        policy=policy,
        advice=Wording.left_out(left_out),
    )


def _judge(
    comparison: Comparison, deltas: Sequence[FixtureDelta], tolerance: float, words: Wording
) -> tuple[Status, str]:
    """The first row of the table above that holds, and its reason."""
    worse, better = comparison.lower_bound > 0, comparison.upper_bound < 0
    broken = [d for d in deltas if d.broken]
    if worse and comparison.delta > tolerance:
        return "regressed", words.regressed(len(broken))
    if broken:
        return "regressed", words.broke(broken)
    if better and -comparison.delta > words.policy.noise_floor:
        return "improved", words.improved()
    if comparison.upper_bound <= tolerance:
        return "passed", words.not_worse()
    if worse:
        return "passed", words.within_tolerance()
    return "inconclusive", words.inconclusive()


def _fixture_deltas(
    head: PromptScore, base: PromptScore, deltas: Sequence[float], policy: Policy
) -> tuple[FixtureDelta, ...]:
    """Every fixture under both versions, broken ones first, then worst first."""
    rows = [
        FixtureDelta(h.fixture_id, b, h, delta, broken=_broke(policy.hard_break, b.measurement, h.measurement))
        for b, h, delta in zip(base.fixtures, head.fixtures, deltas, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (not row.broken, -row.delta)))


def _broke(limit: float | None, base: Measurement, head: Measurement) -> bool:
    """Whether the right answer lost more than ``limit`` nats per token, whatever the metric's own number did."""
    if limit is None or base.nll_per_token is None or head.nll_per_token is None:
        return False
    return head.nll_per_token - base.nll_per_token > limit
