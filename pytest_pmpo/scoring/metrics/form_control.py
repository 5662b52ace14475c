"""Form or quality? The loss of other fixtures' labels tells how much of a change any label would have seen.

An edit that makes the model terser, say, lowers the loss of every bare label, right or wrong. Scoring each fixture with
the label of another one measures that part; what is left after taking it away speaks of the right label alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_pmpo.errors import PmpoError
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Label
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.records import Continuation, Measurement, MetricInfo, PromptScore, TargetScore


class ShuffledLabels:
    """The metric ``inner`` on labels dealt out anew: each fixture gets one that differs from its own, where one exists.

    The deal depends on the fixtures and their order only, so base and head get the same one.

    Args:
        inner: cross-entropy.
        fixtures: all fixtures of the prompt.
    """

    def __init__(self, inner: Metric, fixtures: Sequence[Fixture]) -> None:
        self._inner = inner
        self._labels = _deal(fixtures)

    @property
    def info(self) -> MetricInfo:
        """The inner metric's, under a name of its own."""
        return replace(self._inner.info, name=f"{self._inner.info.name} of shuffled labels")

    def supports(self, fixture: Fixture) -> str | None:
        """Fixtures for which another label was found."""
        if fixture.id not in self._labels:
            return "all labels are equal, so none can be shuffled"
        return self._inner.supports(self._other(fixture))

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        """The other label's texts."""
        return self._inner.continuations(self._other(fixture))

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """The inner metric's number for the other label."""
        return self._inner.measure(self._other(fixture), scores)

    def _other(self, fixture: Fixture) -> Fixture:
        return replace(fixture, label=self._labels[fixture.id])


class WithControl:
    """The metric ``inner`` and its control in one pass, so that prompt and input are paid for once.

    It measures what ``inner`` does; ``split`` takes the two apart.
    """

    def __init__(self, inner: Metric, fixtures: Sequence[Fixture]) -> None:
        self._inner = inner
        self._control = ShuffledLabels(inner, fixtures)

    @property
    def info(self) -> MetricInfo:
        """The inner metric's."""
        return self._inner.info

    def supports(self, fixture: Fixture) -> str | None:
        """Fixtures that both can measure."""
        return self._inner.supports(fixture) or self._control.supports(fixture)

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        """The right label's texts, then the other one's."""
        return (*self._inner.continuations(fixture), *self._control.continuations(fixture))

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """The inner metric's number for the right label."""
        return self._inner.measure(fixture, scores[: len(self._inner.continuations(fixture))])

    def split(self, score: PromptScore, fixtures: Sequence[Fixture]) -> tuple[PromptScore, PromptScore]:
        """A score by this metric as one by the inner metric and one by its control.

        Args:
            fixtures: those of the score, in its order.
        """
        own, others = [], []
        for fixture, row in zip(fixtures, score.fixtures, strict=True):
            n = len(self._inner.continuations(fixture))
            own.append(replace(row, scores=row.scores[:n]))
            rest = row.scores[n:]
            others.append(replace(row, scores=rest, measurement=self._control.measure(fixture, rest)))
        return replace(score, fixtures=tuple(own)), PromptScore(score.prompt, self._control.info, tuple(others))


def without_form(score: PromptScore, control: PromptScore) -> PromptScore:
    """What is left of each fixture's number after its control is taken away; compare two of these like any scores.

    Raises:
        PmpoError: if the two do not hold the same fixtures.
    """
    if [f.fixture_id for f in score.fixtures] != [f.fixture_id for f in control.fixtures]:
        raise PmpoError("a form control belongs to the same fixtures in the same order")
    fixtures = tuple(
        replace(f, measurement=Measurement(f.value - c.value), scores=())
        for f, c in zip(score.fixtures, control.fixtures, strict=True)
    )
    # a difference may be near 0, so a tolerance relative to it would mean nothing
    info = replace(score.metric, name=f"{score.metric.name} without form", scale="absolute")
    return PromptScore(score.prompt, info, fixtures)


def _deal(fixtures: Sequence[Fixture]) -> dict[str, Label]:
    """For each fixture the first later label (cyclically, from half way round) whose answer differs from its own."""
    n = len(fixtures)
    dealt: dict[str, Label] = {}
    for i, fixture in enumerate(fixtures):
        for step in range(n):
            other = fixtures[(i + n // 2 + step) % n].label
            if _answer(other) != _answer(fixture.label):
                dealt[fixture.id] = other
                break
    return dealt


def _answer(label: Label) -> object:
    if isinstance(label, Expected):
        return label.text.strip()
    if isinstance(label, Choice):
        return label.choices[label.expected].strip()
    return label.chosen
