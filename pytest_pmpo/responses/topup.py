"""What it would take to cover a prompt: a few responses drawn from the prompt itself.

With m of N + m responses drawn from the head, the mixture holds the head with share m / (N + m), so no weight exceeds
(N + m) / m: from m = N / (M − 1) on, every response of the head is covered to within the factor M. The cost is
therefore known before anything is drawn. Beyond that least number a budget goes where one more draw takes most off the
variance.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.responses.demands import Demand
from pytest_pmpo.responses.records import Bank, Proposal, Response, input_digest
from pytest_pmpo.scoring.metrics.response_bank import MIN_COVERAGE, WEIGHT_LIMIT, coverage
from pytest_pmpo.scoring.records import FixtureScore, PromptScore


@dataclass(frozen=True, slots=True)
class TopUp:
    """Draws from the head, and what they cost.

    Attributes:
        counts: new responses by fixture id; fixtures that need none are left out.
        tokens: to generate, estimated from the length of the responses the head makes likely.
    """

    counts: Mapping[str, int]
    tokens: int

    @property
    def responses(self) -> int:
        """Number of responses to draw and grade."""
        return sum(self.counts.values())

    @property
    def cost(self) -> str:
        """``20 responses (about 700 tokens)``."""
        return f"{self.responses} response{'' if self.responses == 1 else 's'} (about {self.tokens:,} tokens)"

    def sentence(self, path: str) -> str:
        """The cost in words, with the command that spends it."""
        return f"a top-up of {self.cost} would cover it: pmpo bank top-up {path} --budget {self.responses}"


def plan(
    head: PromptScore,
    *,
    budget: int | None = None,
    minimum: float = MIN_COVERAGE,
    weight_limit: float = WEIGHT_LIMIT,
) -> TopUp:
    """The draws that cover the head.

    Args:
        head: scored by a response bank.
        budget: responses in all; None draws the least that covers the head, and nothing where it is covered. What a
            budget leaves over goes where it takes most off the variance; one too small goes to the least covered
            fixtures.
        minimum: share of the head's responses to be covered.
        weight_limit: M of the coverage.
    """
    reach = coverage(head)
    # the coverage of one fixture is a mean over a handful of weights; only that of all together says much
    least = {} if reach is None or reach.sufficient(minimum) else _least(head, weight_limit)
    counts = least if budget is None else _spend(head, least, budget)
    lengths = {row.fixture_id: _expected_tokens(row) for row in head.fixtures}
    return TopUp(counts, math.ceil(sum(n * lengths[fixture] for fixture, n in counts.items())))


def demands_from(
    top_up: TopUp, bank: Bank, fixtures: Sequence[Fixture], head: Prompt, model: str, *, name: str = "head"
) -> tuple[Demand, ...]:
    """The draws as ``build.fill`` takes them; draw numbers go on from those the bank has.

    Args:
        name: of ``head`` as a proposal, where the bank does not know it yet.
    """
    proposal = Proposal(name, head)
    known = bank.proposals.get(proposal.digest, proposal)
    found = []
    for fixture in fixtures:
        count = top_up.counts.get(fixture.id, 0)
        if count:
            rows = [row for row in bank.responses if _same(row, fixture, known, model)]
            first = 1 + max((row.draw for row in rows if row.draw is not None), default=-1)
            found.append(Demand(fixture, known, count, first))
    return tuple(found)


def _least(head: PromptScore, weight_limit: float) -> dict[str, int]:
    rows = sorted(head.fixtures, key=lambda row: row.measurement.details["coverage"])
    return {
        row.fixture_id: max(1, math.ceil(row.measurement.details["responses"] / (weight_limit - 1))) for row in rows
    }


def _spend(head: PromptScore, least: Mapping[str, int], budget: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for fixture, n in least.items():
        if sum(counts.values()) + n > budget:
            break
        counts[fixture] = n
    rows = {row.fixture_id: row for row in head.fixtures}
    # largest gain first; a gain is looked at anew after each draw
    heap = [(-_gain(row, counts.get(row.fixture_id, 0)), row.fixture_id) for row in head.fixtures]
    heapq.heapify(heap)
    for _ in range(budget - sum(counts.values())):
        _, fixture = heapq.heappop(heap)
        counts[fixture] = counts.get(fixture, 0) + 1
        heapq.heappush(heap, (-_gain(rows[fixture], counts[fixture]), fixture))
    return counts


def _gain(row: FixtureScore, drawn: int) -> float:
    """How much one more draw takes off the variance of the mean: w² v / n − w² v / (n + 1), with n effective draws."""
    details = row.measurement.details
    n = details["effective_sample_size"] * min(1.0, details["coverage"]) + drawn
    # a fixture whose few responses agree is not known to be certain: half a response of each grade is added
    share = (row.value * details["effective_sample_size"] + 0.5) / (details["effective_sample_size"] + 1)
    return row.weight**2 * share * (1 - share) / max(n * (n + 1), 1e-9)


def _expected_tokens(row: FixtureScore) -> float:
    """Mean tokens of the fixture's responses, each as likely as the head makes it relative to the likeliest."""
    if not row.scores:
        return 0.0
    top = min(score.total for score in row.scores)
    shares = [math.exp(top - score.total) for score in row.scores]
    return sum(s * len(score.nll) for s, score in zip(shares, row.scores, strict=True)) / sum(shares)


def _same(row: Response, fixture: Fixture, proposal: Proposal, model: str) -> bool:
    return (
        row.fixture == fixture.id
        and row.proposal == proposal.digest
        and row.model == model
        and row.input == input_digest(fixture)
    )
