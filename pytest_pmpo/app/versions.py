"""Head and base of a prompt, scored in one call over today's fixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_pmpo.app.models import Engine
from pytest_pmpo.app.project import Task
from pytest_pmpo.app.reference import Version
from pytest_pmpo.errors import EncodingError, PromptError
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.form_control import WithControl
from pytest_pmpo.scoring.records import PromptScore


@dataclass(frozen=True, slots=True)
class Scores:
    """Head and base; ``controls`` are their form controls, in that order, where cross-entropy measured a change."""

    head: PromptScore
    base: PromptScore | None = None
    controls: tuple[PromptScore, PromptScore] | None = None


def score_versions(engine: Engine, task: Task, version: Version, metric: Metric) -> tuple[Scores, Version]:
    """The scores of a task, and the version that turned out to be comparable.

    Raises:
        PmpoError: whatever the head, the fixtures or the model are to blame for.
    """
    prompt, fixtures = task.suite.prompt, task.suite.fixtures
    if version.prompt is None or version.unchanged:
        [head] = engine.scorer.score([prompt], fixtures, metric)
        return Scores(replace(head, prompt=task.label)), version
    try:
        scores = _both(engine, [prompt, version.prompt], fixtures, metric)
    except (PromptError, EncodingError) as error:
        [head] = engine.scorer.score([prompt], fixtures, metric)  # raises again if the head is to blame
        reason = f"the base version cannot be scored with today's fixtures: {error.message}"
        return Scores(replace(head, prompt=task.label)), Version(missing=reason, existed=True)
    assert scores.base is not None
    named = replace(scores, head=replace(scores.head, prompt=task.label), base=replace(scores.base, prompt=task.label))
    return named, version


def shown_fixtures(task: Task, version: Version) -> frozenset[str]:
    """Ids of the fixtures that stand in the prompt or, where it is a prompt, in its base; none without a base."""
    if version.prompt is None and version.stored is None:
        return frozenset()
    from pytest_pmpo.optimize.quoting import shown  # only a changed prompt pays for it

    versions = [task.suite.prompt, *([] if version.prompt is None else [version.prompt])]
    return frozenset(id_ for prompt in versions for id_ in shown(prompt, task.suite.fixtures).ids)


def _both(engine: Engine, prompts: Sequence[Prompt], fixtures: Sequence[Fixture], metric: Metric) -> Scores:
    """Head and base in one call; cross-entropy with its form control, which adds the shuffled labels' tokens only."""
    control = WithControl(metric, fixtures) if isinstance(metric, CrossEntropy) else None
    if control is not None and all(control.supports(fixture) is None for fixture in fixtures):
        try:
            scores = engine.scorer.score(prompts, fixtures, control)
        except EncodingError:
            pass  # a label that cannot follow another fixture's input: then there is no control
        else:
            (head, head_control), (base, base_control) = (control.split(score, fixtures) for score in scores)
            return Scores(head, base, (head_control, base_control))
    head, base = engine.scorer.score(prompts, fixtures, metric)
    return Scores(head, base)
