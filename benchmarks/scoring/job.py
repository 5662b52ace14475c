"""The work: prompts × fixtures as token sequences that share prefixes the way real ones do."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pytest_pmpo.scoring.records import EncodedSequence, distinct_tokens


@dataclass(frozen=True)
class Job:
    """Prompts × fixtures; lengths in tokens."""

    prompts: int
    fixtures: int
    prefix: int
    input: int
    target: int
    system: int = 24

    def sequences(self, vocabulary: int, seed: int = 0) -> list[EncodedSequence]:
        """Random ids: ``system`` shared by all, ``prefix`` by a prompt's fixtures; inputs and targets vary by ±25 %."""
        rng = random.Random(seed)

        def draw(n: int) -> tuple[int, ...]:
            return tuple(rng.randrange(vocabulary) for _ in range(n))

        def about(n: int) -> int:
            return rng.randint(max(1, 3 * n // 4), 5 * n // 4)

        system = draw(self.system)
        rows = []
        for p in range(self.prompts):
            prefix = system + draw(self.prefix - self.system)
            for f in range(self.fixtures):
                context = prefix + draw(about(self.input))
                rows.append(EncodedSequence(context + draw(about(self.target)), len(context), f"{p}/{f}"))
        return rows

    def describe(self, sequences: list[EncodedSequence]) -> str:
        """Counts for the table's heading."""
        total = sum(len(s.tokens) for s in sequences)
        return (
            f"{self.prompts} prompts × {self.fixtures} fixtures (prefix ~{self.prefix}, input ~{self.input}, target"
            f" ~{self.target} tokens): {total:,} tokens in full, {distinct_tokens(sequences):,} distinct"
        )


H200 = Job(prompts=8, fixtures=64, prefix=600, input=80, target=40)
CPU = Job(prompts=2, fixtures=16, prefix=400, input=60, target=20)
LONG = Job(prompts=1, fixtures=16, prefix=2000, input=60, target=20)
