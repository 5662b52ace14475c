"""What the answer's tokens say, for the fixtures a report shows in detail."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_pmpo.app.models import Engine
from pytest_pmpo.app.project import Task
from pytest_pmpo.gate.records import Verdict
from pytest_pmpo.report.tokens import most_changed
from pytest_pmpo.scoring.metrics.base import Metric

MOST = 20
"""Fixtures of a verdict whose tokens are told."""


def answer_tokens(engine: Engine, task: Task, metric: Metric, verdict: Verdict) -> Mapping[str, tuple[str, ...]]:
    """Text of each token of the right answer, by fixture id, for the fixtures that changed most.

    Nothing where nothing was compared, where the texts are responses (which need not be right), and where losses came
    from the cache and nobody asked before: no model is opened for it.
    """
    if verdict.comparison is None or not verdict.metric.proxy:
        return {}
    ids = {row.fixture_id for row in most_changed(verdict, MOST)}
    fixtures = [fixture for fixture in task.suite.fixtures if fixture.id in ids]
    return engine.scorer.answer_texts(task.suite.prompt, fixtures, metric)
