"""How likely prompts make the responses of a bank, by one call of the scorer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pytest_pmpo.errors import BankError, EncodingError, Location
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.responses.records import Response
from pytest_pmpo.scoring.metrics.base import Scores
from pytest_pmpo.scoring.records import Continuation, Measurement, MetricInfo, TargetScore

Key = tuple[str, str, bool]
"""A distinct response: fixture id, text, finished."""


def log_probabilities(
    path: str,
    usable: Mapping[str, Sequence[Response]],
    fixtures: Sequence[Fixture],
    prompts: Sequence[Prompt],
    scorer: Scores,
) -> dict[Key, list[float]]:
    """log p (nats) of each distinct response under each prompt, in the order of ``prompts``.

    Args:
        path: the bank's, for errors.
        usable: responses by fixture id.
        fixtures: those that have responses.

    Raises:
        BankError: for a response the model cannot read, such as one longer than its context.
    """
    metric = _Texts(usable)
    try:
        scores = scorer.score(prompts, fixtures, metric)
    except EncodingError as error:
        raise BankError(
            f"a response of the bank cannot be scored: {error.message}",
            location=_line(error, metric, fixtures) or Location(path),
            hint="take its line out of the bank, or draw shorter responses",
        ) from error
    found: dict[Key, list[float]] = defaultdict(list)
    for score in scores:
        for fixture, row in zip(fixtures, score.fixtures, strict=True):
            for text, target in zip(metric.continuations(fixture), row.scores, strict=True):
                found[fixture.id, text.text, text.end_of_turn].append(-target.total)
    return dict(found)


def _line(error: EncodingError, metric: _Texts, fixtures: Sequence[Fixture]) -> Location | None:
    """Where the response stands that an error names by its fixture and number, as the scorer labels it."""
    for fixture in fixtures:
        for number, text in enumerate(metric.continuations(fixture), 1):
            if error.message.startswith(f"fixture {fixture.id!r}, text {number}:"):
                rows = (r for r in metric.usable[fixture.id] if Continuation(r.text, r.finished) == text)
                return next(rows).location
    return None


class _Texts:
    """A metric that only wants the usable responses scored."""

    info = MetricInfo("bank log-probability", "nats")

    def __init__(self, usable: Mapping[str, Sequence[Response]]) -> None:
        self.usable = usable

    def supports(self, fixture: Fixture) -> str | None:
        return None if fixture.id in self.usable else "it has no responses in the bank"

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        return tuple(dict.fromkeys(Continuation(row.text, row.finished) for row in self.usable[fixture.id]))

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        return Measurement(math.fsum(score.total for score in scores) / len(scores))
