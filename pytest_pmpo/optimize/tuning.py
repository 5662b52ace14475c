"""Numbers a strategy works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_pmpo.scoring.backends.base import SamplingSettings


@dataclass(frozen=True, slots=True)
class Tuning:
    """Numbers a strategy works with.

    Attributes:
        hard_cases: k, fixtures a rewriter is asked about per round; ``variants``: n, answers per fixture.
        edits: structural edits tried per round.
        max_units: m, units that are masked.
        deletion: score the deletion of a unit beside its mask.
        segmenter: what cuts a prompt into units: its ``structure``, or the ``model`` (as in the paper).
        sampling: how rewriters sample; its seed is replaced by the run's.
    """

    hard_cases: int = 3
    variants: int = 2
    edits: int = 12
    max_units: int = 6
    deletion: bool = True
    segmenter: Literal["structure", "model"] = "structure"
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(0.9, 0.95, 512))
