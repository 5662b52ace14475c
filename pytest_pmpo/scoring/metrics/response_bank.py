"""Estimated accuracy: graded responses, sampled once, weighted by how likely the prompt in question makes them.

The responses are plain records here; reading them from a file, and finding their log-probability under the prompts
they were drawn from, is the business of ``responses/``. Base and head are measured on the same responses, so their
difference is paired and holds no fresh sampling noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_pmpo.errors import BankError
from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.scoring.metrics.importance import self_normalised
from pytest_pmpo.scoring.records import Continuation, Measurement, MetricInfo, PromptScore, TargetScore

NAME = "response-bank"
WEIGHT_LIMIT = 10.0
"""M of the coverage: a response is covered as far as the prompt makes it at most M times as likely as the bank does."""

MIN_COVERAGE = 0.4
"""Where it is not sure that this share is covered, a comparison is inconclusive.

Chosen with ``benchmarks/validity``; see ``docs/validity.md``."""


@dataclass(frozen=True, slots=True)
class BankedResponse:
    """One graded response to one fixture.

    Attributes:
        text: what the model (or a person) answered; not empty.
        grade: from 0 (wrong) to 1 (right).
        finished: False where a token limit cut it; its end is not scored then.
        log_proposal: log q(text), nats, under the mixture of prompts the fixture's responses were drawn from.
        stands_for: how many responses of the bank it stands for, where not all are scored.
    """

    text: str
    grade: float
    finished: bool
    log_proposal: float
    stands_for: float = 1.0


class ResponseBank:
    """Self-normalised importance sampling over a bank; see ``importance.py``.

    Args:
        responses: to be scored, by fixture id. Equal texts are separate draws: each counts, but is scored once.
        held: how many responses the bank holds for a fixture, where that is more than are scored.
        weight_limit: M of the coverage.
    """

    def __init__(
        self,
        responses: Mapping[str, Sequence[BankedResponse]],
        *,
        held: Mapping[str, int] | None = None,
        weight_limit: float = WEIGHT_LIMIT,
    ) -> None:
        self._responses = {fixture: tuple(rows) for fixture, rows in responses.items() if rows}
        self._held = dict(held or {})
        self._weight_limit = weight_limit

    @property
    def info(self) -> MetricInfo:
        """``response-bank``: accuracy, higher is better, no proxy; tolerances are accuracy points."""
        return MetricInfo(NAME, "accuracy", "higher", proxy=False, scale="absolute")

    def supports(self, fixture: Fixture) -> str | None:
        """Every fixture with a response of its own."""
        return None if fixture.id in self._responses else "it has no responses in the bank"

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        """The fixture's distinct responses, with their end where they have one."""
        return tuple(dict.fromkeys(map(_continuation, self._of(fixture))))

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """Estimated grade of the prompt's own responses to the fixture.

        Details: ``variance`` (Monte Carlo, squared unit), ``effective_sample_size``, ``coverage`` (mean of capped
        weights), ``bias`` (of so small a bank), ``responses``, and ``informative`` (0 where all grades are equal: such
        a fixture gives every prompt the same value).
        """
        rows = self._of(fixture)
        log_target = {c: -s.total for c, s in zip(self.continuations(fixture), scores, strict=True)}
        grades = [row.grade for row in rows]
        estimate = self_normalised(
            [log_target[_continuation(row)] for row in rows],
            [row.log_proposal for row in rows],
            grades,
            self._weight_limit,
            [row.stands_for for row in rows],
        )
        details = {
            "variance": estimate.variance,
            "effective_sample_size": estimate.effective_sample_size,
            "coverage": estimate.coverage,
            "bias": estimate.bias,
            "responses": float(self._held.get(fixture.id, len(rows))),
            "informative": float(min(grades) < max(grades)),
        }
        return Measurement(estimate.value, details=details)

    def _of(self, fixture: Fixture) -> tuple[BankedResponse, ...]:
        if fixture.id not in self._responses:
            raise BankError(
                f"fixture {fixture.id!r} has no responses in the bank",
                location=fixture.location,
                hint="pmpo bank build adds them",
            )
        return self._responses[fixture.id]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far a bank reaches for one prompt.

    Attributes:
        share: estimated share of the prompt's own responses that the bank covers; 1 is all. Sampling noise can lift it
            a little above 1.
        error: standard error of ``share`` over fixtures; infinite for a single one.
        effective_sample_size: mean over fixtures.
        responses: mean number per fixture.
        informative: share of fixtures whose responses differ in grade; the others give every prompt the same value.
        fixtures: number of them.
    """

    share: float
    error: float
    effective_sample_size: float
    responses: float
    informative: float
    fixtures: int

    def sufficient(self, minimum: float = MIN_COVERAGE) -> bool:
        """Whether a comparison with this prompt can be defended: the share less its standard error is enough.

        A few fixtures, or one lucky response with a large weight, are no evidence that a bank covers a prompt.
        """
        return self.share - self.error >= minimum


def coverage(score: PromptScore) -> Coverage | None:
    """The coverage behind a score by a response bank (weighted means over fixtures); None for other metrics."""
    if score.metric.name != NAME or not score.fixtures:
        return None
    share = _mean(score, "coverage")
    return Coverage(
        share,
        _standard_error(score, share),
        _mean(score, "effective_sample_size"),
        _mean(score, "responses"),
        _mean(score, "informative"),
        len(score.fixtures),
    )


def systematic_error(base: PromptScore, head: PromptScore) -> float:
    """What a difference of two estimates by one small bank may be off by, in accuracy, however many fixtures there are.

    It is the difference of their jackknife biases, weighted means over fixtures; 0 for every other metric. A saved
    baseline keeps no bias, so all of the head's counts.
    """
    if head.metric.name != NAME or not head.fixtures:
        return 0.0
    return abs(_mean(head, "bias") - _mean(base, "bias"))


def _mean(score: PromptScore, detail: str) -> float:
    """Over fixtures, by weight; 0 for what a saved baseline does not keep."""
    total = math.fsum(f.weight for f in score.fixtures)
    return math.fsum(f.weight * f.measurement.details.get(detail, 0.0) for f in score.fixtures) / total


def _standard_error(score: PromptScore, share: float) -> float:
    """Of a weighted mean over independent fixtures, with the finite-sample factor n / (n − 1)."""
    n = len(score.fixtures)
    if n < 2:
        return math.inf
    total = math.fsum(f.weight for f in score.fixtures)
    squares = math.fsum((f.weight * (f.measurement.details["coverage"] - share)) ** 2 for f in score.fixtures)
    return math.sqrt(n / (n - 1) * squares) / total


def _continuation(row: BankedResponse) -> Continuation:
    return Continuation(row.text, end_of_turn=row.finished)
