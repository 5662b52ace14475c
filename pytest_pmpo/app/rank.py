"""Prompts that are judged by the same fixtures, ranked by their numbers: variants of a prompt, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_pmpo.app.banks import BankMetric, bank_metric, find_bank
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.models import Engine
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import ConfigError
from pytest_pmpo.gate.baseline import fixture_digest
from pytest_pmpo.gate.records import Comparison, Policy
from pytest_pmpo.prompts.model import Note
from pytest_pmpo.prompts.source import WorkingTree
from pytest_pmpo.scoring.metrics.response_bank import coverage
from pytest_pmpo.scoring.records import MetricInfo, PromptScore


@dataclass(frozen=True, slots=True)
class Place:
    """One prompt in a ranking. ``behind`` compares it with the first, positive = worse; None for the first itself."""

    label: str
    mean: float
    behind: Comparison | None


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A prompt that the bank does not cover, so that nothing can be said of it; ``advice`` is what that takes."""

    label: str
    share: float
    advice: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """Prompts over the same fixtures under one model, best first.

    Attributes:
        metric: the most telling one they all support, as the gate chooses it.
        uncovered: those that a response bank cannot place.
        notes: why a bank was not used, and what it lacks.
    """

    model: str
    metric: MetricInfo
    fixtures: int
    places: tuple[Place, ...]
    uncovered: tuple[Uncovered, ...] = ()
    notes: tuple[Note, ...] = ()


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

    A response bank that they share, and that holds every fixture, is the metric; what it does not cover has no place.

    Raises:
        ConfigError: fewer than two prompts.
        PmpoError: whatever is wrong with a prompt, the fixtures, the model.
    """
    if len(tasks) < 2:
        raise ConfigError("a ranking needs two prompts with the same fixtures")
    first = tasks[0]
    engine = checker.models.engine(first.model, first.settings)
    bank = _bank(checker, tasks, engine)
    metric = bank.metric or checker.metric(first)
    found = engine.scorer.score([task.suite.prompt for task in tasks], first.suite.fixtures, metric)
    scores = [replace(score, prompt=task.label) for score, task in zip(found, tasks, strict=True)]
    paths = {task.label: task.path for task in tasks}
    uncovered = [score for score in scores if (reach := coverage(score)) is not None and not reach.sufficient()]
    placed = [score for score in scores if score not in uncovered]
    return Ranking(
        first.model_name,
        metric.info,
        len(first.suite.fixtures),
        tuple(_places(placed, first, metric.info)) if placed else (),
        tuple(_uncovered(score, paths[score.prompt]) for score in uncovered),
        bank.notes,
    )


def _bank(checker: Checker, tasks: Sequence[Task], engine: Engine) -> BankMetric:
    """The metric of the one bank that all of the prompts share, if they do."""
    source = WorkingTree(checker.project.root)
    if tasks[0].settings.metric == "auto":
        banks = [find_bank(source, task.path) for task in tasks]
        paths = sorted({bank.path for bank in banks if bank is not None})
        if paths and (len(paths) > 1 or None in banks):
            note = Note(f"no bank is used, for these prompts do not share one: {', '.join(paths)}")
            return BankMetric(None, (note,))
    return bank_metric(source, tasks[0], engine, None)


def _places(scores: Sequence[PromptScore], first: Task, metric: MetricInfo) -> Iterator[Place]:
    from pytest_pmpo.gate.statistics import compare

    ranked = sorted(
        scores, key=lambda score: (score.mean if metric.direction == "lower" else -score.mean, score.prompt)
    )
    best = ranked[0]
    # alpha is shared as in the gate: each of the others is compared with the best
    policy = Policy(alpha=first.settings.alpha, family=max(1, len(ranked) - 1), tolerance=first.settings.tolerance)
    yield Place(best.prompt, best.mean, None)
    for score in ranked[1:]:
        yield Place(score.prompt, score.mean, compare(best, score, policy))


def _uncovered(score: PromptScore, path: str) -> Uncovered:
    from pytest_pmpo.responses.topup import plan

    reach = coverage(score)
    return Uncovered(score.prompt, 0.0 if reach is None else reach.share, plan(score).sentence(path))
