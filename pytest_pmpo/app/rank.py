"""Prompts that are judged by the same fixtures, ranked by their numbers: variants of a prompt, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import ConfigError
from pytest_pmpo.gate.baseline import fixture_digest
from pytest_pmpo.gate.records import Comparison, Policy
from pytest_pmpo.scoring.records import MetricInfo


@dataclass(frozen=True, slots=True)
class Place:
    """One prompt in a ranking. ``behind`` compares it with the first, positive = worse; None for the first itself."""

    label: str
    mean: float
    behind: Comparison | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Prompts over the same fixtures under one model, best first."""

    model: str
    metric: MetricInfo
    fixtures: int
    places: tuple[Place, ...]


def groups(tasks: Iterable[Task]) -> list[tuple[Task, ...]]:
    """Tasks that share folder, fixtures and model, at least two together, in order of appearance."""
    found: dict[tuple[object, ...], list[Task]] = {}
    for task in tasks:
        folder = task.path.rpartition("/")[0]
        fixtures = tuple(sorted(fixture_digest(fixture) for fixture in task.suite.fixtures))
        found.setdefault((folder, task.model, fixtures), []).append(task)
    return [tuple(group) for group in found.values() if len(group) > 1]


def rank(checker: Checker, tasks: Sequence[Task]) -> Ranking:
    """Score all of ``tasks`` in one call over the first one's fixtures, and compare each with the best.

    Raises:
        ConfigError: fewer than two prompts.
        PmpoError: whatever is wrong with a prompt, the fixtures, the model.
    """
    if len(tasks) < 2:
        raise ConfigError("a ranking needs two prompts with the same fixtures")
    from pytest_pmpo.gate.statistics import compare

    first = tasks[0]
    engine = checker.models.engine(first.model, first.settings)
    metric = checker.metric(first)
    scores = engine.scorer.score([task.suite.prompt for task in tasks], first.suite.fixtures, metric)
    scores = [replace(score, prompt=task.label) for score, task in zip(scores, tasks, strict=True)]
    scores.sort(key=lambda score: (score.mean if metric.info.direction == "lower" else -score.mean, score.prompt))
    best = scores[0]
    # alpha is shared as in the gate: each of the others is compared with the best
    policy = Policy(alpha=first.settings.alpha, family=len(scores) - 1, tolerance=first.settings.tolerance)
    places = [Place(best.prompt, best.mean, None)]
    places += [Place(score.prompt, score.mean, compare(best, score, policy)) for score in scores[1:]]
    return Ranking(first.model_name, metric.info, len(first.suite.fixtures), tuple(places))
