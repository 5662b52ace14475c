"""Which metric a set of fixtures gets: the one named, else the most telling one all of them support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from pytest_pmpo.errors import ConfigError, FixtureError
from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.preference import ChoiceLoss, PreferenceLoss


def builtin_metrics(*, end_of_turn: bool = False, beta: float = 1.0) -> dict[str, Metric]:
    """The metrics that need nothing but fixtures, by name, the most telling first."""
    metrics: tuple[Metric, ...] = (
        ChoiceLoss(beta, end_of_turn),
        PreferenceLoss(beta, end_of_turn),
        CrossEntropy(end_of_turn),
    )
    return {metric.info.name: metric for metric in metrics}


def choose(fixtures: Sequence[Fixture], name: str | None = None, metrics: Mapping[str, Metric] | None = None) -> Metric:
    """The metric called ``name``, or with None (or ``"auto"``) the first of ``metrics`` that supports every fixture.

    Args:
        metrics: candidates in order of preference; default the built-in ones.

    Raises:
        ConfigError: no metric has that name.
        FixtureError: a fixture cannot be measured by the metric asked for.
    """
    candidates = builtin_metrics() if metrics is None else metrics
    if name not in (None, "auto"):
        if name not in candidates:
            raise ConfigError(f"unknown metric {name!r}", hint=_meant(name, candidates))
        for fixture in fixtures:
            reason = candidates[name].supports(fixture)
            if reason is not None:
                raise FixtureError(
                    f"fixture {fixture.id!r} cannot be measured by {name}: {reason}", location=fixture.location
                )
        return candidates[name]
    for metric in candidates.values():
        if all(metric.supports(fixture) is None for fixture in fixtures):
            return metric
    raise FixtureError("no metric supports all fixtures", location=fixtures[0].location if fixtures else None)


def _meant(name: str, candidates: Mapping[str, Metric]) -> str:
    known = ["auto", "response-bank", *candidates]
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"one of {', '.join(known)}"
