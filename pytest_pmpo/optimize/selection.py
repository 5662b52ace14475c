"""Which candidate is kept: the paper's strict minimum, or a Pareto pool with an acceptance above the noise floor."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_pmpo.optimize.records import Candidate


def strict_best(losses: Sequence[float], incumbent: float) -> int | None:
    """Index of the lowest loss if it is strictly below the incumbent's, else None (Algorithm 1 of the paper)."""
    if not losses:
        return None
    best = min(range(len(losses)), key=lambda i: (losses[i], i))
    return best if losses[best] < incumbent else None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """When a lower loss counts as better.

    Attributes:
        noise_floor: spread of the mean on this machine, objective's unit; measured by ``pmpo doctor --noise``.
        standard_errors: the mean paired difference must also exceed this many of its own standard errors, since the
            best of many candidates on few fixtures looks better than it is (the winner's curse).
        hard_break: largest loss in nats per token one fixture may suffer; the gate would refuse the candidate anyway.
    """

    noise_floor: float = 1e-4
    standard_errors: float = 1.0
    hard_break: float | None = 1.0

    def improves(self, candidate: Sequence[float], incumbent: Sequence[float], weights: Sequence[float]) -> bool:
        """Whether the candidate's losses on the same fixtures are lower beyond doubt of the noise."""
        gains = [old - new for new, old in zip(candidate, incumbent, strict=True)]
        total = math.fsum(weights)
        mean = math.fsum(w * g for w, g in zip(weights, gains, strict=True)) / total
        n = len(gains)
        if n < 2:
            return mean > self.noise_floor
        # linearised standard error of a weighted mean, as the gate computes it
        spread = math.fsum((w * (g - mean)) ** 2 for w, g in zip(weights, gains, strict=True))
        error = math.sqrt(n / (n - 1) * spread) / total
        return mean > max(self.noise_floor, self.standard_errors * error)

    def breaks(self, candidate: Sequence[float | None], incumbent: Sequence[float | None]) -> bool:
        """Whether some fixture's right answer loses more nats per token than ``hard_break``."""
        if self.hard_break is None:
            return False
        pairs = zip(candidate, incumbent, strict=True)
        return any(new is not None and old is not None and new - old > self.hard_break for new, old in pairs)


@dataclass(slots=True)
class ParetoPool:
    """Candidates that are best on at least one fixture.

    A prompt that is worse on average but best somewhere keeps its idea alive; GEPA (arXiv 2507.19457, Table 3) gained
    twice as much with such a pool as with one greedy incumbent. A parent is drawn with a chance proportional to the
    number of fixtures it is best on.
    """

    members: dict[str, tuple[Candidate, tuple[float, ...]]] = field(default_factory=dict)

    def add(self, candidate: Candidate, losses: Sequence[float]) -> bool:
        """Take the candidate in if it is best (or equal best) on some fixture; drop those that no longer are."""
        self.members[candidate.digest] = (candidate, tuple(losses))
        front = self._front()
        self.members = {digest: entry for digest, entry in self.members.items() if digest in front}
        return candidate.digest in self.members

    def draw(self, rng: random.Random) -> Candidate:
        """A parent for the next round."""
        front = self._front()
        digests = sorted(front, key=lambda digest: (-front[digest], digest))
        chosen = rng.choices(digests, [front[digest] for digest in digests])[0]
        return self.members[chosen][0]

    def _front(self) -> dict[str, int]:
        """Digests of the members that are best somewhere, with the number of fixtures; dominated ones left out."""
        wins: dict[str, int] = {}
        columns = zip(*(losses for _, losses in self.members.values()), strict=True)
        digests = list(self.members)
        for column in columns:
            best = min(column)
            for digest, loss in zip(digests, column, strict=True):
                if loss == best:
                    wins[digest] = wins.get(digest, 0) + 1
        return {digest: count for digest, count in wins.items() if not self._dominated(digest, wins)}

    def _dominated(self, digest: str, wins: dict[str, int]) -> bool:
        mine = self.members[digest][1]
        for other in wins:
            theirs = self.members[other][1]
            if other != digest and theirs != mine and all(b <= a for a, b in zip(mine, theirs, strict=True)):
                return True
        return False
