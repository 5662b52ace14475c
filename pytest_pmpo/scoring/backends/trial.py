"""Short random sequences on which ways to run a model are tried before they are trusted."""

from __future__ import annotations

import random

from pytest_pmpo.scoring.records import EncodedSequence

BUDGET = 16  # more than one chunk, so that carried keys are tried as well
PLAIN_BUDGET = 1024  # one batch
_WRITTEN = 4  # tokens of a written probe


def branching(vocabulary: int) -> list[EncodedSequence]:
    """Short random sequences that share, branch, nest and cross chunk borders."""
    rng = random.Random(0)

    def draw(n: int) -> tuple[int, ...]:
        return tuple(rng.randrange(vocabulary) for _ in range(n))

    system, probes = draw(4), []
    for prefix, inputs in ((system + draw(4), (2, 3)), (system + draw(3), (2,))):
        for length in inputs:
            context = prefix + draw(length)
            probes += [EncodedSequence(context + draw(n), len(context), "probe") for n in (1, 3)]
    return probes


def written(vocabulary: int) -> list[EncodedSequence]:
    """Random answers to random contexts of several lengths, one of them met twice."""
    rng = random.Random(1)

    def draw(n: int) -> tuple[int, ...]:
        return tuple(rng.randrange(vocabulary) for _ in range(n))

    contexts = [draw(n) for n in (3, 7, 12)]
    return [EncodedSequence(c + draw(_WRITTEN), len(c), "probe") for c in (*contexts, contexts[1])]
