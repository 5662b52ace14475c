"""Beside a change of cross-entropy: how much of it is form, measured on labels shuffled among the fixtures."""

from __future__ import annotations

import math
from dataclasses import replace

from pytest_pmpo.gate.pairing import without
from pytest_pmpo.gate.records import FormShare, Policy, Verdict
from pytest_pmpo.scoring.metrics.form_control import without_form
from pytest_pmpo.scoring.records import PromptScore


def significant(verdict: Verdict) -> bool:
    """Whether the mean of a verdict surely moved, one way or the other."""
    c = verdict.comparison
    return c is not None and (c.lower_bound > 0 or c.upper_bound < 0)


def with_form(
    verdict: Verdict,
    base: tuple[PromptScore, PromptScore],
    head: tuple[PromptScore, PromptScore],
    policy: Policy,
) -> Verdict:
    """The verdict with the share of its change that is form; as it is where its mean did not surely move.

    Args:
        base, head: each the score of the right labels and that of the shuffled ones, over the same fixtures; those
            that took no part in the verdict take none in this.

    Raises:
        NumericsError: naming the fixture whose number is NaN or infinite.
    """
    if not significant(verdict):
        return verdict
    from pytest_pmpo.gate.statistics import compare

    assert verdict.comparison is not None
    uncounted = {row.fixture_id for row in head[0].fixtures} - {row.fixture_id for row in verdict.fixtures}
    base, head = ((without(right, uncounted), without(shuffled, uncounted)) for right, shuffled in (base, head))
    left = compare(without_form(*base), without_form(*head), policy)
    weights = [row.weight for row in head[1].fixtures]
    moves = (h.value - b.value for b, h in zip(base[1].fixtures, head[1].fixtures, strict=True))
    form = math.fsum(w * move for w, move in zip(weights, moves, strict=True)) / math.fsum(weights)
    tokens = sum(len(text.nll) for control in (base[1], head[1]) for row in control.fixtures for text in row.scores)
    return replace(verdict, form=FormShare(form, left.delta, left.low, left.high, tokens))
