"""What a bank lacks, and in which order and batches it is drawn."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.responses.records import Bank, Proposal, input_digest

USUAL_TOKENS = 256
"""Most tokens of one response, where the bank does not show with which limit it was drawn."""


@dataclass(frozen=True, slots=True)
class Demand:
    """``count`` more responses to a fixture from a proposal; ``first`` is the number of the first draw."""

    fixture: Fixture
    proposal: Proposal
    count: int
    first: int


def usual_limit(lengths: Iterable[int]) -> int:
    """The token limit a bank was drawn with: the usual length of its cut responses, the longest of several as usual.

    New responses have to be drawn with the same one: a cut answer is likelier than the whole one that begins so. Read
    again, a few cut answers have another number of tokens than they were drawn with, hence the usual and not the most.

    Args:
        lengths: tokens of each response that was cut.
    """
    seen = Counter(lengths)
    return max(seen, key=lambda length: (seen[length], length), default=USUAL_TOKENS)


def demands(
    bank: Bank, fixtures: Sequence[Fixture], proposals: Sequence[Proposal], per_fixture: int, model: str
) -> tuple[Demand, ...]:
    """What a bank lacks of ``per_fixture`` responses to each fixture, shared evenly among the proposals.

    Responses to another input of the fixture, or of another model, do not count. Fixtures are taken in turn for each
    proposal, so a budget that runs out leaves every fixture with some.
    """
    have: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], int] = {}
    inputs = {fixture.id: input_digest(fixture) for fixture in fixtures}
    for row in bank.responses:
        if row.proposal is None or row.model != model or row.input != inputs.get(row.fixture):
            continue
        key = (row.fixture, row.proposal)
        have[key] += 1
        last[key] = max(last.get(key, -1), row.draw if row.draw is not None else -1)
    found = []
    for i, proposal in enumerate(proposals):
        share = per_fixture // len(proposals) + (i < per_fixture % len(proposals))
        for fixture in fixtures:
            key = (fixture.id, proposal.digest)
            if share > have[key]:
                found.append(Demand(fixture, proposal, share - have[key], last.get(key, -1) + 1))
    return tuple(found)


def batches(wanted: Sequence[Demand], size: int) -> Iterator[list[Demand]]:
    """Runs of demands of the same proposal and count: the generator draws equally many for each conversation."""
    batch: list[Demand] = []
    for demand in wanted:
        if batch and (len(batch) == size or _kind(demand) != _kind(batch[0])):
            yield batch
            batch = []
        batch.append(demand)
    if batch:
        yield batch


def _kind(demand: Demand) -> tuple[str, int]:
    return demand.proposal.digest, demand.count


def batch_seed(seed: int, first: Demand) -> int:
    """A seed of its own for every batch, so that a run that goes on does not draw the same again."""
    text = f"{seed}/{first.proposal.digest}/{first.fixture.id}/{first.first}"
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big")
