"""For tests written by hand: losses and verdicts as plain Python values.

In a test, take the ``pmpo`` fixture::

    def test_triage(pmpo):
        assert pmpo.loss("prompts/triage.prompt.yml") < 1.2
        pmpo.assert_no_regression("prompts/triage.prompt.yml", tolerance=0.01)

Without pytest, ``Pmpo.open()`` gives the same object for the repository of the working directory.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar, cast, get_args

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.extensions import Extensions, bare_manager
from pytest_pmpo.app.project import Project, Task
from pytest_pmpo.config import changed
from pytest_pmpo.errors import ConfigError, Location, PmpoError
from pytest_pmpo.gate.records import Blocking, Verdict
from pytest_pmpo.prompts.fixtures import Row, parse_rows
from pytest_pmpo.prompts.model import Message, Prompt, PromptSuite, Role, Segment
from pytest_pmpo.report.terminal import failure, one_line
from pytest_pmpo.report.text import plain
from pytest_pmpo.scoring.records import PromptScore

Messages = Sequence[Mapping[str, str]]
"""Turns as templates: ``[{"role": "user", "content": "Is {{ text }} spam?"}]``."""

INLINE = "<inline prompt>"

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class PromptRegressionError(AssertionError):
    """A prompt got worse than its base; the message is the report.

    Attributes:
        verdicts: the failed ones.
        summary: one line.
    """

    def __init__(self, verdicts: Sequence[Verdict], *, width: int = 80) -> None:
        self.verdicts = tuple(verdicts)
        self.summary = "; ".join(one_line(verdict) for verdict in self.verdicts)
        super().__init__("\n\n".join("\n".join(failure(verdict, width=width)) for verdict in self.verdicts))


class PromptRegressionWarning(UserWarning):
    """A prompt got worse than its base, but the setting ``blocking`` lets that inform only."""


class Loss(float):
    """A mean over fixtures, to be compared as a number, with what it was made of.

    Attributes:
        score: every fixture's number, with its token losses.
    """

    score: PromptScore

    def __new__(cls, score: PromptScore) -> Self:
        loss = super().__new__(cls, score.mean)
        loss.score = score
        return loss

    @property
    def unit(self) -> str:
        """``nats/token`` for cross-entropy."""
        return self.score.metric.unit

    @property
    def by_fixture(self) -> dict[str, float]:
        """Each fixture's number by its id."""
        return {fixture.fixture_id: fixture.value for fixture in self.score.fixtures}

    def __repr__(self) -> str:
        return f"{float(self):.4g} {self.unit} ({self.score.metric.name}, {len(self.score.fixtures)} fixtures)"


def _plainly(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A method whose errors show the test that called it, and nothing of how they came about: their message says it."""

    @wraps(method)
    def plainly(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        __tracebackhide__ = True
        try:
            return method(*args, **kwargs)
        except (PmpoError, PromptRegressionError) as error:
            raise error.with_traceback(None) from None

    return plainly


class Pmpo:
    """Losses and verdicts of the prompts in a repository."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker

    @classmethod
    def open(cls, folder: str | os.PathLike[str] = ".", **settings: Any) -> Self:
        """For the repository around ``folder``; ``settings`` override those of its configuration file.

        Raises:
            ConfigError: for settings that cannot be used.
        """
        extensions = Extensions(bare_manager().hook)
        return cls(Checker(Project.open(Path(folder).absolute(), settings, extensions)))

    @_plainly
    def loss(
        self,
        prompt: str | os.PathLike[str] | Messages,
        fixtures: Sequence[Mapping[str, Any]] | None = None,
        *,
        model: str | None = None,
        metric: str | None = None,
    ) -> Loss:
        """How surprised a model is by the right answers under a prompt.

        Args:
            prompt: a prompt file, relative to the working directory or the repository; or messages, as Jinja templates.
            fixtures: labelled inputs as a sidecar file has them, a variable per key: ``{"text": …, "expected": …}``.
                Default the file's own; messages need some.
            model: as in the settings; default the first of them.
            metric: by name; default the settings'.

        Returns:
            The mean in the metric's unit, a float with the fixtures' numbers; lower is better for a loss.

        Raises:
            PmpoError: whatever is wrong with prompt, fixtures or model.
        """
        task = self._task(prompt, fixtures, model, metric)
        return Loss(self._checker.score(task))

    @_plainly
    def check(
        self,
        path: str | os.PathLike[str],
        *,
        model: str | None = None,
        metric: str | None = None,
        tolerance: float | None = None,
        strict: bool | None = None,
        blocking: Blocking | None = None,
    ) -> tuple[Verdict, ...]:
        """The verdicts on a prompt file against its base, one per prompt in it and model. Fails nothing.

        Raises:
            PmpoError: whatever is wrong with prompt, fixtures, base or model.
        """
        changes = {"metric": metric, "tolerance": tolerance, "strict": strict, "blocking": blocking}
        tasks = [_changed(task, changes) for task in self._tasks(path, model)]
        return tuple(self._checker.check(task).entry.verdict for task in tasks)

    @_plainly
    def assert_no_regression(
        self,
        path: str | os.PathLike[str],
        *,
        model: str | None = None,
        metric: str | None = None,
        tolerance: float | None = None,
        strict: bool | None = None,
        blocking: Blocking | None = None,
    ) -> None:
        """Fail with the gate's table if a prompt got worse than its base. A new prompt has nothing to get worse than.

        Where the setting ``blocking`` lets the verdict inform only, warn (``PromptRegressionWarning``) instead.

        Args:
            path: of a prompt file, relative to the working directory or the repository.
            model: one of several, as in the settings; default all the settings name.
            metric, tolerance, strict, blocking: in place of the settings'.

        Raises:
            PromptRegressionError: an ``AssertionError`` whose message is the report.
            PmpoError: whatever is wrong with prompt, fixtures, base or model.
        """
        verdicts = self.check(path, model=model, metric=metric, tolerance=tolerance, strict=strict, blocking=blocking)
        for verdict in verdicts:
            if verdict.informs:
                told = plain(f"{verdict.prompt} under {verdict.model} {verdict.status}: {verdict.reason}")
                warnings.warn(told, PromptRegressionWarning, stacklevel=3)  # the frame above ``_plainly``
        failed = [verdict for verdict in verdicts if verdict.failed]
        if failed:
            raise PromptRegressionError(failed)

    def _task(
        self,
        prompt: str | os.PathLike[str] | Messages,
        fixtures: Sequence[Mapping[str, Any]] | None,
        model: str | None,
        metric: str | None,
    ) -> Task:
        if isinstance(prompt, str | os.PathLike):
            tasks = self._tasks(prompt, model)
            if len({task.variant for task in tasks}) > 1:
                names = ", ".join(dict.fromkeys(task.variant for task in tasks))
                raise ConfigError(f"the file holds several prompts ({names}): a loss is of one", hint="use check()")
            task = tasks[0]
        else:
            task = self._inline(prompt, model)
        if fixtures is not None:
            rows = parse_rows([_row(fixture, Location(task.path)) for fixture in fixtures])
            task = replace(task, suite=replace(task.suite, fixtures=rows))
        if not task.suite.fixtures:
            raise ConfigError("a loss needs fixtures: give at least one labelled input")
        return _changed(task, {"metric": metric})

    def _tasks(self, path: str | os.PathLike[str], model: str | None) -> tuple[Task, ...]:
        project = self._checker.project
        tasks = project.tasks(self._place(Path(path)))
        if model is None:
            return tasks
        named = tuple(task for task in tasks if model in (task.model, task.model_name))
        name = project.model_names([model])[0]
        return named or tuple(
            replace(task, model=model, model_name=name) for task in tasks if task.model == tasks[0].model
        )

    def _place(self, path: Path) -> str:
        """Relative to the repository, for a path relative to the working directory or to the repository."""
        here = Path.cwd() / path
        project = self._checker.project
        return project.relative(here if here.exists() or path.is_absolute() else project.root / path)

    def _inline(self, messages: Messages, model: str | None) -> Task:
        settings = self._checker.project.config.settings
        spec = model or settings.models[0]
        turns = tuple(_message(message) for message in messages)
        prompt = Prompt(INLINE, "inline", "jinja2", turns, digest="", name="inline")
        return Task(INLINE, "", spec, self._checker.project.model_names([spec])[0], PromptSuite(prompt, ()), settings)


def _message(message: Mapping[str, str]) -> Message:
    role, content = message.get("role"), message.get("content")
    if role not in get_args(Role) or not isinstance(content, str) or len(message) != 2:
        raise ConfigError(
            f"{dict(message)!r} is not a message", hint='write {"role": "system" | "user" | "assistant", "content": …}'
        )
    return Message(cast(Role, role), (Segment(content),))


def _row(fixture: Mapping[str, Any], location: Location) -> Row:
    """A row as a sidecar file has it; without ``vars``, every key that is not a row's own is a variable."""
    from pytest_pmpo.prompts.rowmodel import RowModel

    if "vars" in fixture:
        return Row(fixture, location)
    variables = {key: value for key, value in fixture.items() if key not in RowModel.model_fields}
    own = {key: value for key, value in fixture.items() if key in RowModel.model_fields}
    return Row({"vars": variables, **own}, location)


def _changed(task: Task, changes: Mapping[str, Any]) -> Task:
    given = {key: value for key, value in changes.items() if value is not None}
    return replace(task, settings=changed(task.settings, given)) if given else task
