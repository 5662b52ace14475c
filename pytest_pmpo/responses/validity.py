"""How often is a bank's verdict right? Asked of the bank itself, by leaving proposals out.

For every ordered pair of proposals (base, head) the head's own responses are taken out, as if it were a new version
that nobody has sampled. Its accuracy, and the difference from the base, are estimated from what is left, and compared
with the grades of the responses that were taken out. The base stays in, as it does in practice. Estimates are judged,
with their paired t test over fixtures, by what independent samples say:

    right      the estimated difference has the sign of the sampled one, over pairs that differ (t test on samples)
    decided    of those, the estimate differs significantly and the bank covers the head
    wrong      of the decided, those of the wrong sign
    alarms     the estimate decides where the samples do not differ

With few proposals the numbers are coarse; ``pairs`` says how many there were.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.responses.figures import Figures
from pytest_pmpo.responses.records import Bank
from pytest_pmpo.responses.weigh import WeighedBank, usable_responses, weigh
from pytest_pmpo.scoring.metrics.base import Metric, Scores
from pytest_pmpo.scoring.metrics.importance import mixture, self_normalised
from pytest_pmpo.scoring.metrics.response_bank import MIN_COVERAGE, WEIGHT_LIMIT

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Drawn:
    """A graded response with its log-probability (nats) under every proposal, by proposal."""

    proposal: str
    grade: float
    log_p: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """One base and one left-out head; differences are head − base, in accuracy."""

    base: str
    head: str
    sampled: float
    estimated: float
    differs: bool
    decided: bool
    coverage: float

    @property
    def right(self) -> bool:
        """Whether the estimate points the way the samples do."""
        return (self.estimated > 0) == (self.sampled > 0)


@dataclass(frozen=True, slots=True)
class Validity:
    """What leaving proposals out shows.

    Attributes:
        pairs: all outcomes, those of one pair in both directions.
        error: root mean square difference of estimated and sampled accuracy over the left-out heads; None for a metric
            that estimates none.
        bias: mean of the same difference.
    """

    pairs: tuple[PairOutcome, ...]
    error: float | None
    bias: float | None

    @property
    def differing(self) -> tuple[PairOutcome, ...]:
        """Pairs whose sampled accuracy differs."""
        return tuple(pair for pair in self.pairs if pair.differs)

    @property
    def figures(self) -> Figures:
        """The outcomes, counted."""
        differ = self.differing
        decided = [pair for pair in differ if pair.decided]
        return Figures(
            len(differ),
            sum(pair.right for pair in differ),
            len(decided),
            sum(not pair.right for pair in decided),
            len(self.pairs) - len(differ),
            sum(pair.decided for pair in self.pairs if not pair.differs),
        )

    def sentence(self) -> str:
        """The figure a report carries."""
        if self.error is None:
            return self.figures.sentence()
        off = f"accuracy off by {self.error:.3f} (root mean square)"
        return f"left-out prompts: {self.figures.sentence()}; {off}"


def measure(bank: Bank, fixtures: Sequence[Fixture], scorer: Scores, *, model: str) -> Validity | None:
    """The validity of a bank under a model: what ``pmpo doctor --validity`` shows.

    Returns:
        None where the bank was drawn from fewer than two prompts.

    Raises:
        BankError, PmpoError: as ``weigh``.
    """
    return leave_one_out(drawn(weigh(bank, fixtures, scorer, model=model, spot_checks=None)))


def measure_proxy(
    bank: Bank, fixtures: Sequence[Fixture], scorer: Scores, metric: Metric, *, model: str
) -> Validity | None:
    """How often the sign and the paired test of another metric agree with the samples, over pairs of proposals.

    Nothing has to be left out: the metric does not see the responses. Each pair counts once.

    Returns:
        None where the bank was drawn from fewer than two prompts.

    Raises:
        PmpoError: whatever scoring raises.
    """
    prompts = {digest: proposal.prompt for digest, proposal in bank.proposals.items()}
    usable, _ = usable_responses(bank, fixtures, prompts, model)
    measured = [fixture for fixture in fixtures if fixture.id in usable]
    used = [digest for digest in prompts if any(r.proposal == digest for rows in usable.values() for r in rows)]
    if len(used) < 2:
        return None
    scores = dict(zip(used, scorer.score([prompts[digest] for digest in used], measured, metric), strict=True))
    sign = -1 if metric.info.direction == "lower" else 1
    outcomes = []
    for base, head in combinations(used, 2):
        sampled, moved = [], []
        for i, fixture in enumerate(measured):
            truth = [
                [r.grade for r in usable[fixture.id] if r.proposal == name and r.grade is not None]
                for name in (base, head)
            ]
            if all(truth):
                sampled.append(_mean(truth[1]) - _mean(truth[0]))
                moved.append(sign * (scores[head].fixtures[i].value - scores[base].fixtures[i].value))
        if len(sampled) > 1:
            differs, decided = p_value(sampled) < ALPHA, p_value(moved) < ALPHA
            outcomes.append(PairOutcome(base, head, _mean(sampled), _mean(moved), differs, decided, 1.0))
    return Validity(tuple(outcomes), None, None) if outcomes else None


def drawn(bank: WeighedBank) -> dict[str, tuple[Drawn, ...]]:
    """The responses of a bank that were drawn from a prompt, as ``leave_one_out`` takes them.

    Args:
        bank: weighed with ``spot_checks=None``, for left-out responses have to be scored even where they all agree.
    """
    return {
        fixture: tuple(
            Drawn(
                row.proposal,
                row.grade,
                dict(zip(bank.proposals, bank.log_p[fixture, row.text, row.finished], strict=True)),
            )
            for row in rows
            if row.proposal is not None and row.grade is not None
        )
        for fixture, rows in bank.usable.items()
    }


def leave_one_out(
    bank: Mapping[str, Sequence[Drawn]],
    *,
    weight_limit: float = WEIGHT_LIMIT,
    minimum: float = MIN_COVERAGE,
    alpha: float = ALPHA,
) -> Validity | None:
    """The validity of a bank, or None where it has fewer than two proposals with enough shared fixtures (two).

    Args:
        bank: responses by fixture id.
    """
    proposals = sorted({row.proposal for rows in bank.values() for row in rows})
    outcomes: list[PairOutcome] = []
    errors: list[float] = []
    for head in proposals:
        rest = {fixture: [row for row in rows if row.proposal != head] for fixture, rows in bank.items()}
        for base in proposals:
            if base != head:
                outcome, error = _outcome(bank, rest, base, head, weight_limit, minimum, alpha)
                outcomes += [] if outcome is None else [outcome]
                errors += [] if error is None else [error]
    if not outcomes:
        return None
    return Validity(tuple(outcomes), math.sqrt(_mean([e * e for e in errors])), _mean(errors))


def _outcome(
    bank: Mapping[str, Sequence[Drawn]],
    rest: Mapping[str, Sequence[Drawn]],
    base: str,
    head: str,
    weight_limit: float,
    minimum: float,
    alpha: float,
) -> tuple[PairOutcome | None, float | None]:
    sampled, estimated, heads, reach, biases = [], [], [], [], []
    for fixture, rows in bank.items():
        truth = {name: [row.grade for row in rows if row.proposal == name] for name in (base, head)}
        left = rest[fixture]
        if not truth[base] or not truth[head]:
            continue
        counts = Counter(row.proposal for row in left)
        log_q = [mixture([row.log_p[name] for name in counts], list(counts.values())) for row in left]
        grades = [row.grade for row in left]
        of = {
            name: self_normalised([row.log_p[name] for row in left], log_q, grades, weight_limit)
            for name in (base, head)
        }
        sampled.append(_mean(truth[head]) - _mean(truth[base]))
        estimated.append(of[head].value - of[base].value)
        heads.append(of[head].value - _mean(truth[head]))
        reach.append(of[head].coverage)
        biases.append(of[head].bias - of[base].bias)
    if len(sampled) < 2:
        return None, None
    covered = _mean(reach)
    surely = covered - math.sqrt(math.fsum((c - covered) ** 2 for c in reach) / (len(reach) - 1) / len(reach))
    outcome = PairOutcome(
        base,
        head,
        _mean(sampled),
        _mean(estimated),
        p_value(sampled) < alpha,
        p_value(_nearer_to_zero(estimated, abs(_mean(biases)))) < alpha and surely >= minimum,
        covered,
    )
    return outcome, _mean(heads)


def _nearer_to_zero(differences: Sequence[float], error: float) -> list[float]:
    """Moved by the bank's own error, as the gate widens its interval."""
    mean = _mean(differences)
    move = math.copysign(min(error, abs(mean)), mean)
    return [d - move for d in differences]


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of a paired t test; 1 where nothing differs, 0 where all differ alike."""
    from scipy.special import stdtr

    n, mean = len(differences), _mean(differences)
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    if spread <= 1e-12 * abs(mean) or spread == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(n - 1, -abs(mean / spread)))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
