"""The records of this stage: token sequences, their losses, and one number per fixture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_pmpo.errors import Location

Direction = Literal["lower", "higher"]
"""Which way a metric is better."""

LN2 = math.log(2.0)


@dataclass(frozen=True, slots=True)
class EncodedSequence:
    """Context and target as one row of token ids.

    Attributes:
        tokens: ids of context + target; ``len(tokens) > target_start >= 1``.
        target_start: index of the first target token. Token ``i`` is predicted from ``tokens[:i]``, so the scores are
            those of ``tokens[target_start:]``, read from the logits one place earlier.
        label: what to call the sequence in an error: fixture id and which of its texts.
        location: where the fixture stands.
    """

    tokens: tuple[int, ...]
    target_start: int
    label: str = ""
    location: Location | None = None

    @property
    def target_length(self) -> int:
        """Number of scored tokens."""
        return len(self.tokens) - self.target_start


@dataclass(frozen=True, slots=True)
class TargetScore:
    """What a model thinks of one target text.

    Attributes:
        nll: negative log-likelihood of each target token, nats, from an fp32 log-softmax.
        n_bytes: UTF-8 bytes of the target text (an end-of-turn token counts none).
    """

    nll: tuple[float, ...]
    n_bytes: int

    @property
    def total(self) -> float:
        """Negative log-likelihood of the whole target, nats."""
        return math.fsum(self.nll)

    @property
    def token_mean(self) -> float:
        """Nats per target token."""
        return self.total / len(self.nll)

    @property
    def bits_per_byte(self) -> float:
        """Bits per UTF-8 byte of target text; comparable between tokenizers."""
        return self.total / LN2 / self.n_bytes if self.n_bytes else math.nan


@dataclass(frozen=True, slots=True)
class Continuation:
    """A text a metric wants scored after a fixture's prompt; with ``end_of_turn`` the token that ends the turn too."""

    text: str
    end_of_turn: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """One fixture's number under one prompt.

    Attributes:
        value: in the metric's unit.
        nll_per_token: nats per token of the right answer, where the metric has one; the hard-break guard watches it.
        details: further numbers by name (``total``, ``bits_per_byte``, ``margin``, ``correct``, …).
    """

    value: float
    nll_per_token: float | None = None
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FixtureScore:
    """A measurement with what the statistics need to know of its fixture, and the token losses behind it."""

    fixture_id: str
    measurement: Measurement
    group: str | None = None
    weight: float = 1.0
    scores: tuple[TargetScore, ...] = ()
    location: Location | None = None

    @property
    def value(self) -> float:
        """The measurement's value."""
        return self.measurement.value


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """What the gate and the reports need to know of a metric; plain data, survives pickling.

    Attributes:
        name: ``cross-entropy``, ``preference``, ``choice``, ``response-bank``.
        unit: printed behind every value: ``nats/token``, ``nats``, ``accuracy``.
        direction: which way is better.
        proxy: True where the number only stands in for accuracy; the verdict line says so.
        scale: what a tolerance of 0.02 means: 2 % of the base's mean, or 0.02 in the metric's unit.
    """

    name: str
    unit: str
    direction: Direction = "lower"
    proxy: bool = True
    scale: Literal["relative", "absolute"] = "relative"


@dataclass(frozen=True, slots=True)
class PromptScore:
    """One version of a prompt over all its fixtures, in fixture order."""

    prompt: str
    metric: MetricInfo
    fixtures: tuple[FixtureScore, ...]

    @property
    def mean(self) -> float:
        """Weighted mean of the fixtures' values."""
        total = math.fsum(f.weight for f in self.fixtures)
        return math.fsum(f.weight * f.value for f in self.fixtures) / total


def distinct_tokens(sequences: Sequence[EncodedSequence]) -> int:
    """Tokens a scorer has to run through the model when every shared prefix is paid for once.

    The last token of a sequence predicts nothing and costs nothing. In sorted order a sequence shares with its
    predecessor exactly what it shares with all before it, so the sum of the rests is the size of the prefix tree.
    """
    total = 0
    previous: tuple[int, ...] = ()
    for tokens in sorted(sequence.tokens[:-1] for sequence in sequences):
        shared = 0
        for a, b in zip(previous, tokens, strict=False):
            if a != b:
                break
            shared += 1
        total += len(tokens) - shared
        previous = tokens
    return total
