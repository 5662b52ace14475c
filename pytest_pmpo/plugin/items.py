"""Prompts as pytest nodes: a file collects cheaply, an item's setup scores, its call is the verdict.

Scoring is setup because what can go wrong there (a template, a fixture, the model) is an *error*: pytest then counts it
apart from the *failure* of a prompt that got worse.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import ExceptionChainRepr

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.project import Task
from pytest_pmpo.app.results import Result, trouble
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.report.records import Trouble
from pytest_pmpo.report.terminal import one_line
from pytest_pmpo.report.text import plain, visible_characters
from pytest_pmpo.testing import PromptRegressionError


class PromptFolder(pytest.Directory):
    """A folder with configured prompts, and nothing else of what is in it.

    pytest loads the conftest files of a folder when it collects it, so hooks and ``collect_ignore`` hold for prompts as
    for tests, in folders too that pytest itself does not descend into.
    """

    checker: Checker
    files: tuple[Path, ...]

    @classmethod
    def of(cls, parent: pytest.Collector, path: Path, files: Iterable[Path], checker: Checker) -> PromptFolder:
        """A node for ``path`` with the prompt files below it, sorted."""
        node: PromptFolder = cls.from_parent(parent, path=path)
        node.checker, node.files = checker, tuple(files)
        return node

    def collect(self) -> Iterator[pytest.Collector]:
        """Files and folders one level down, as far as pytest is not told to ignore them."""
        for name, group in groupby(self.files, key=lambda file: file.relative_to(self.path).parts[0]):
            place, files = self.path / name, list(group)
            if is_ignored(place, self):
                continue
            if files == [place]:
                yield PromptFile.of(self, self.checker.project.relative(place), self.checker)
            else:
                yield PromptFolder.of(self, place, files, self.checker)


def is_ignored(place: Path, collector: pytest.Collector) -> bool:
    """``--ignore``, ``--ignore-glob`` and ``collect_ignore`` hold for prompts; ``norecursedirs`` is about walks."""
    config = collector.config
    if place.is_dir() and any(fnmatch(place.name, pattern) for pattern in config.getini("norecursedirs")):
        folder = config.invocation_params.dir
        return any(os.path.normpath(folder / path) == str(place) for path in config.getoption("ignore") or ())
    hook = collector.session.gethookproxy(place.parent)
    return bool(hook.pytest_ignore_collect(collection_path=place, config=config))


class PromptFile(pytest.File):
    """A prompt file; one item per prompt in it and model."""

    checker: Checker

    @classmethod
    def of(cls, parent: pytest.Collector, path: str, checker: Checker) -> PromptFile:
        """A node for the prompt file ``path``, relative to the project's root."""
        node: PromptFile = cls.from_parent(parent, path=checker.project.root / path)
        node.checker = checker
        return node

    def collect(self) -> Iterator[pytest.Item]:
        """Read the file and its fixtures; no model, no git.

        A file that cannot be read gives an item that says so when it runs: an error here would stop the whole session.
        """
        project = self.checker.project
        path = project.relative(self.path)
        try:
            tasks = project.tasks(path)
        except PmpoError as error:
            name = project.model_names(project.settings_for(path).models)[0]
            yield BrokenItem.of(self, name, error)
            return
        for task in tasks:
            yield PromptItem.of(self, task, self.checker)


class PromptItem(pytest.Item):
    """One prompt under one model.

    Attributes:
        outcome: the result, or what kept it from being reached.
        words: status and one line, for the ``-v`` line of a verdict.
    """

    checker: Checker
    task: Task
    outcome: Result | Trouble | None = None

    @classmethod
    def of(cls, parent: PromptFile, task: Task, checker: Checker) -> PromptItem:
        """The item of a task."""
        item: PromptItem = cls.from_parent(parent, **_address(parent, task.name))
        item.task, item.checker = task, checker
        _mark(item, task.model_name)
        item.extra_keyword_matches.update(_tags(task))
        return item

    @property
    def decides(self) -> str:
        """The phase whose report carries the outcome: the verdict is a call's, a trouble a setup's."""
        return "call" if isinstance(self.outcome, Result) else "setup"

    @property
    def words(self) -> tuple[str, str] | None:
        """Status and line of the verdict."""
        if not isinstance(self.outcome, Result):
            return None
        verdict = self.outcome.entry.verdict
        return verdict.status, one_line(verdict)

    def setup(self) -> None:
        """Score base and head."""
        outcome, message = self._reach()
        self.outcome = outcome
        if isinstance(outcome, Trouble):
            pytest.fail(message, pytrace=False)  # outside of any handler: pytest would print what it handled as well
        self.user_properties += properties(outcome)

    def runtest(self) -> None:
        """Fail if the verdict does."""
        assert isinstance(self.outcome, Result)
        if self.outcome.entry.verdict.failed:
            width = self.config.get_terminal_writer().fullwidth
            raise PromptRegressionError([self.outcome.entry.verdict], width=width)

    def _reach(self) -> tuple[Result | Trouble, str]:
        try:
            return self.checker.check(self.task), ""
        except PmpoError as error:
            return trouble(error, self.task.label, self.task.path), visible_characters(str(error))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The table of a regression, without a traceback. Anything else is a bug of ours and keeps its own."""
        if not isinstance(excinfo.value, PromptRegressionError):
            return super().repr_failure(excinfo, style)
        shown = excinfo.getrepr(style="value")
        path, line, _ = self.reportinfo()
        if isinstance(shown, ExceptionChainRepr) and shown.reprcrash is not None:
            crash = replace(
                shown.reprcrash, path=os.fspath(path), lineno=(line or 0) + 1, message=excinfo.value.summary
            )
            # a worker sends the chain, the terminal reads reprcrash: both get the prompt's place and the one line
            shown.reprcrash = crash
            shown.chain = [(shown.reprtraceback, crash, None)]
        return shown

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """The prompt's first line, so that editors and annotations find it."""
        return self.path, self.task.line - 1, f"{self.task.path} [{self.task.name}]"


class BrokenItem(pytest.Item):
    """A prompt file that cannot be read."""

    error: PmpoError
    outcome: Trouble | None = None
    decides = "setup"
    words = None

    @classmethod
    def of(cls, parent: PromptFile, name: str, error: PmpoError) -> BrokenItem:
        """The item of an error, under the name of the first one the file would hold if it could be read."""
        item: BrokenItem = cls.from_parent(parent, **_address(parent, name))
        item.error = error
        _mark(item, None)
        return item

    def setup(self) -> None:
        """Say what is wrong with the file."""
        path = self.nodeid.partition("::")[0]
        self.outcome = trouble(self.error, path, path)
        pytest.fail(visible_characters(str(self.error)), pytrace=False)

    def runtest(self) -> None:
        """Never reached: ``setup`` fails."""

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """The line of the error."""
        location = self.error.location
        line = 1 if location is None or location.line is None else location.line
        return self.path, line - 1, self.nodeid.partition("::")[0]


PROMPT_ITEMS = (PromptItem, BrokenItem)


def properties(result: Result) -> list[tuple[str, object]]:
    """A verdict's numbers for JUnit and for whoever reads ``user_properties``; strings and numbers only."""
    verdict, model = result.entry.verdict, result.model
    rows: list[tuple[str, object]] = [
        ("pmpo_status", verdict.status),
        ("pmpo_model", f"{model.name}@{model.revision}"),
        ("pmpo_metric", verdict.metric.name),
        ("pmpo_unit", verdict.metric.unit),
        ("pmpo_head", verdict.head_mean),
    ]
    if verdict.comparison is not None:
        c = verdict.comparison
        rows += [("pmpo_base", c.base_mean), ("pmpo_delta", c.delta), ("pmpo_low", c.low), ("pmpo_high", c.high)]
    if verdict.informs:
        rows.append(("pmpo_informs", plain(verdict.reason)))
    if verdict.form is not None:
        rows += [("pmpo_form", verdict.form.form), ("pmpo_without_form", verdict.form.rest)]
    rows += [(f"pmpo_fixture[{id_}]", fixture.value) for id_, fixture in result.stored.fixtures.items()]
    return rows


def _address(parent: PromptFile, name: str) -> dict[str, str]:
    """Name and id. The id is given as text: pytest 9.2 compares ids in parts, and would not take the bracket of a bare
    name for a parameter, as it does when it reads the id back for ``--lf``."""
    return {"name": f"pmpo[{name}]", "nodeid": f"{parent.nodeid}::pmpo[{name}]"}


def _mark(item: pytest.Item, model: str | None) -> None:
    item.add_marker("pmpo")
    if model is not None and item.config.pluginmanager.hasplugin("xdist"):
        # with --dist loadgroup, each worker loads one model
        item.add_marker(pytest.mark.xdist_group(name=f"pmpo-{model}"))


def _tags(task: Task) -> set[str]:
    tags = {tag for fixture in task.suite.fixtures for tag in fixture.tags}
    own = task.suite.prompt.metadata.get("tags", ())
    if isinstance(own, str):
        own = (own,)
    return tags | {str(tag) for tag in own} if isinstance(own, Iterable) else tags
