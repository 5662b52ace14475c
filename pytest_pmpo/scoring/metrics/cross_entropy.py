"""Token-mean negative log-likelihood of the right answer: the default where nothing better can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.prompts.model import Choice, Expected, Fixture
from pytest_pmpo.scoring.records import Continuation, Measurement, MetricInfo, TargetScore


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Nats per token of the expected answer (the mean over ``chosen`` answers for a preference fixture).

    Attributes:
        end_of_turn: score the end-of-turn token as well. Off by default: on near edits the bare label points the right
            way more often without it. A prefix label never scores it.
    """

    end_of_turn: bool = False

    @property
    def info(self) -> MetricInfo:
        """``cross-entropy``, nats per token, lower is better, a proxy for accuracy."""
        return MetricInfo("cross-entropy", "nats/token", "lower", proxy=True, scale="relative")

    def supports(self, fixture: Fixture) -> str | None:
        """Every kind of label has a right answer."""
        return None

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        """The right answer, or each of the chosen ones."""
        label = fixture.label
        if isinstance(label, Expected):
            return (Continuation(label.text, self.end_of_turn and not label.prefix),)
        texts = (label.choices[label.expected],) if isinstance(label, Choice) else label.chosen
        return tuple(Continuation(text, self.end_of_turn) for text in texts)

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """Mean over the right answers of their token-mean loss; sum and bits per byte in the details."""
        n = len(scores)
        loss = sum(score.token_mean for score in scores) / n
        details = {
            "total": sum(score.total for score in scores) / n,
            "tokens": sum(len(score.nll) for score in scores) / n,
            "bits_per_byte": sum(score.bits_per_byte for score in scores) / n,
        }
        return Measurement(loss, nll_per_token=loss, details=details)
