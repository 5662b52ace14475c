"""Preference loss −log σ(β(s⁺ − s⁻)) of PMPO (arXiv 2505.16307, equation 5), for pairs and for choices.

``s`` is the log-probability of a whole answer under the prompt, in nats; there is no reference model. With several
chosen or rejected answers the loss is the mean over all pairs, so choices give the mean over their distractors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.prompts.model import Choice, Fixture, Preference
from pytest_pmpo.scoring.records import Continuation, Measurement, MetricInfo, TargetScore


def softplus(x: float) -> float:
    """log(1 + eˣ) without overflow; −log σ(m) is ``softplus(-m)``."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@dataclass(frozen=True, slots=True)
class PreferenceLoss:
    """Preference loss of chosen over rejected answers, nats.

    Attributes:
        beta: sharpness; the paper uses 1 throughout.
        end_of_turn: score the end-of-turn token of every answer as well.
    """

    beta: float = 1.0
    end_of_turn: bool = False

    @property
    def info(self) -> MetricInfo:
        """``preference``, nats, lower is better, a proxy for accuracy."""
        return MetricInfo("preference", "nats", "lower", proxy=True, scale="relative")

    def supports(self, fixture: Fixture) -> str | None:
        """Preference and choice labels; a lone expected answer has nothing to be preferred over."""
        if isinstance(fixture.label, Preference):
            return None
        if isinstance(fixture.label, Choice) and len(fixture.label.choices) > 1:
            return None
        return "it has no rejected answer to compare with"

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        """Right answers first, then wrong ones."""
        right, wrong = _answers(fixture)
        return tuple(Continuation(text, self.end_of_turn) for text in (*right, *wrong))

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """Mean pair loss; ``margin``: mean of s⁺ − s⁻ (nats); ``correct``: share of pairs the right way round."""
        right, _ = _answers(fixture)
        good, bad = scores[: len(right)], scores[len(right) :]
        margins = [b.total - g.total for g in good for b in bad]  # s⁺ − s⁻, with s = −total
        loss = sum(softplus(-self.beta * margin) for margin in margins) / len(margins)
        details = {
            "margin": sum(margins) / len(margins),
            "correct": sum(margin > 0 for margin in margins) / len(margins),
            "bits_per_byte": sum(score.bits_per_byte for score in good) / len(good),
        }
        per_token = sum(score.token_mean for score in good) / len(good)
        return Measurement(loss, nll_per_token=per_token, details=details)


@dataclass(frozen=True, slots=True)
class ChoiceLoss:
    """Preference loss of the right choice over each distractor, with likelihood accuracy beside it.

    ``correct`` is 1 where the right choice has the highest log-probability of all, ``correct_per_byte`` the same by
    log-probability per byte (sums favour short answers; byte means do not).
    """

    beta: float = 1.0
    end_of_turn: bool = False

    @property
    def info(self) -> MetricInfo:
        """``choice``, nats, lower is better, a proxy for accuracy."""
        return MetricInfo("choice", "nats", "lower", proxy=True, scale="relative")

    def supports(self, fixture: Fixture) -> str | None:
        """Choice labels with at least one distractor."""
        if isinstance(fixture.label, Choice) and len(fixture.label.choices) > 1:
            return None
        return "it has no choices"

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        """The right choice first, then the distractors in their order."""
        right, wrong = _answers(fixture)
        return tuple(Continuation(text, self.end_of_turn) for text in (*right, *wrong))

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """Mean over the distractors of the preference loss, and likelihood accuracy."""
        pairs = PreferenceLoss(self.beta, self.end_of_turn).measure(fixture, scores)
        right, wrong = scores[0], scores[1:]
        details = dict(pairs.details)
        details["correct"] = float(all(right.total < other.total for other in wrong))
        details["correct_per_byte"] = float(all(right.bits_per_byte < other.bits_per_byte for other in wrong))
        return Measurement(pairs.value, pairs.nll_per_token, details)


def _answers(fixture: Fixture) -> tuple[tuple[str, ...], tuple[str, ...]]:
    label = fixture.label
    if isinstance(label, Preference):
        return label.chosen, label.rejected
    if isinstance(label, Choice):
        wrong = tuple(text for i, text in enumerate(label.choices) if i != label.expected)
        return (label.choices[label.expected],), wrong
    raise TypeError(f"fixture {fixture.id} has no rejected answers")  # supports() is asked first
