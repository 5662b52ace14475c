"""The records of this stage: how the gate decides, and what it decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_pmpo.scoring.records import FixtureScore, MetricInfo

Status = Literal["unchanged", "new", "improved", "passed", "inconclusive", "regressed"]

Blocking = Literal["always", "no-proxy", "never"]
"""Which failures fail the build: all, those by a metric that is no proxy, none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How the gate decides for one prompt.

    Attributes:
        tolerance: how much worse counts as the same; a share of the base mean for metrics with ``scale="relative"``,
            else in the metric's unit.
        hard_break: a fixture whose right answer loses more than this many nats per token fails the gate by itself;
            None switches the guard off.
        alpha: one-sided error rate of all verdicts of a run together; divided by ``family``.
        family: number of verdicts that share ``alpha`` (changed prompts × models).
        strict: True makes ``inconclusive`` fail.
        noise_floor: spread of the mean on this machine, in the metric's unit; the tolerance is never below it.
        blocking: which failing verdicts fail the build; see ``blocking.py``.
    """

    tolerance: float = 0.02
    hard_break: float | None = 1.0
    alpha: float = 0.05
    family: int = 1
    strict: bool = False
    noise_floor: float = 0.0
    blocking: Blocking = "always"

    def blocks(self, metric: MetricInfo) -> bool:
        """Whether a failure by this metric fails the build."""
        return self.blocking == "always" or (self.blocking == "no-proxy" and not metric.proxy)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired differences of base and head, summed up. Differences are signed so that positive is worse.

    Attributes:
        n: fixtures; ``clusters``: independent groups among them.
        base_mean, head_mean: weighted means, metric's unit.
        delta: weighted mean difference, positive = worse.
        low, high: two-sided 95 % interval of ``delta``; infinite where so few clusters cannot give one.
        lower_bound, upper_bound: one-sided bounds at ``alpha / family``; what the decision uses. May be infinite too.
        p_worse: one-sided p-value of "worse" by sign flips.
        method: ``sign-flip, exact`` or ``BCa bootstrap and sign-flip``, as printed.
        detectable: smallest mean difference these fixtures would find with 80 % power (minimum detectable effect).
        needed: fixtures that would find a difference as small as the tolerance, or None where that cannot be said.
        needed_for_delta: the same for a difference as large as ``delta``.
        systematic: what both versions' numbers may be off by together whatever the fixtures: the bias of a small
            response bank. The interval and the bounds are wider by it, ``p_worse`` is of chance alone.
    """

    n: int
    clusters: int
    base_mean: float
    head_mean: float
    delta: float
    low: float
    high: float
    lower_bound: float
    upper_bound: float
    p_worse: float
    method: str
    detectable: float
    needed: int | None
    needed_for_delta: int | None = None
    systematic: float = 0.0

    def hidden_by_bias(self, tolerance: float) -> bool:
        """Whether these fixtures would decide but for ``systematic``."""
        worse = self.lower_bound + self.systematic > 0 and self.delta > tolerance
        return self.systematic > 0 and (worse or self.upper_bound - self.systematic <= tolerance)


@dataclass(frozen=True, slots=True)
class FixtureDelta:
    """One fixture under base and head; ``delta`` positive = worse."""

    fixture_id: str
    base: FixtureScore
    head: FixtureScore
    delta: float
    broken: bool = False


@dataclass(frozen=True, slots=True)
class FormShare:
    """How much of a change any label would have seen, right or wrong; see ``scoring/metrics/form_control.py``.

    Differences are weighted means in the metric's unit, positive = worse.

    Attributes:
        form: of labels shuffled among the fixtures.
        rest: of the right labels, less ``form``; ``low``, ``high``: its two-sided 95 % interval.
        tokens: of shuffled labels that were scored for it, of base and head together.
    """

    form: float
    rest: float
    low: float
    high: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one prompt under one model.

    Attributes:
        status: see ``policy.py`` for the rule behind each.
        reason: the rule that decided, in one sentence.
        failed: whether the build should fail.
        informs: the verdict would fail it, but ``policy.blocking`` lets it inform only; ``failed`` is False then.
        tolerance: in the metric's unit, after the noise floor.
        fixtures: all of them, worst first; empty where there was no base.
        head_mean: of ``new`` prompts too.
        form: beside a significant change of cross-entropy, where the labels differ from each other.
        uncounted: fixtures that took no part because the prompt or its base shows them.
    """

    prompt: str
    model: str
    metric: MetricInfo
    status: Status
    reason: str
    failed: bool
    head_mean: float
    policy: Policy
    tolerance: float | None = None
    comparison: Comparison | None = None
    fixtures: tuple[FixtureDelta, ...] = ()
    advice: tuple[str, ...] = ()
    form: FormShare | None = None
    informs: bool = False
    uncounted: tuple[str, ...] = ()
