"""The fixtures a prompt does worst on: what rewriters are shown (PMPO's bad-case analysis)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.prompts.model import Fixture


@dataclass(frozen=True, slots=True)
class HardCase:
    """A fixture and its loss under the prompt in question, objective's unit."""

    fixture: Fixture
    loss: float


def hardest(fixtures: Sequence[Fixture], losses: Sequence[float], k: int, rejected: int = 0) -> tuple[HardCase, ...]:
    """The ``k`` fixtures with the highest loss; after each rejected round the window moves on by ``k`` and wraps.

    Asking again about the same cases would repeat the same question, with nothing but sampling noise to tell the
    answers apart. Ties are broken by id, so the order is the same on every machine.
    """
    order = sorted(zip(fixtures, losses, strict=True), key=lambda pair: (-pair[1], pair[0].id))
    if not order:
        return ()
    start = rejected * k % len(order)
    turned = [*order[start:], *order[:start]]
    return tuple(HardCase(fixture, loss) for fixture, loss in turned[:k])
