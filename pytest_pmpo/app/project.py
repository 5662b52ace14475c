"""A repository with prompts: its root, its settings, the prompt files it discovers, and the tasks they make.

Nothing here opens a model or runs git.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_pmpo import config
from pytest_pmpo.app.extensions import Extensions
from pytest_pmpo.config import Config, Settings
from pytest_pmpo.errors import ModelError, PmpoError
from pytest_pmpo.prompts.discovery import Survey, survey
from pytest_pmpo.prompts.formats.base import Format
from pytest_pmpo.prompts.load import load, load_prompts
from pytest_pmpo.prompts.model import PromptSuite
from pytest_pmpo.prompts.source import ListedTree, Source, find_root
from pytest_pmpo.report.text import plain
from pytest_pmpo.scoring.models import parse_spec

_NAME_LENGTH = 60
"""Characters of a prompt's own name in an id; names are text from the file."""


@dataclass(frozen=True, slots=True)
class Task:
    """One verdict to reach: a prompt under a model.

    Attributes:
        path: of the prompt file, relative to the root.
        variant: what tells the prompts of one file apart; empty where there is one.
        model: as the settings name it; ``model_name`` is short and unique among the file's models.
    """

    path: str
    variant: str
    model: str
    model_name: str
    suite: PromptSuite
    settings: Settings

    @property
    def name(self) -> str:
        """Unique within the file."""
        return f"{self.variant}-{self.model_name}" if self.variant else self.model_name

    @property
    def label(self) -> str:
        """What verdicts, reports and baselines call the prompt."""
        return f"{self.path}#{self.variant}" if self.variant else self.path

    @property
    def line(self) -> int:
        """Where the prompt's text begins in its file."""
        return next((message.line for message in self.suite.prompt.messages if message.line is not None), 1)


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A prompt file as read, with every file that was read for it."""

    suites: tuple[PromptSuite, ...]
    read: frozenset[str]


@dataclass
class Project:
    """What a run works on.

    Attributes:
        root: of the repository; without one, the folder the run started in.
    """

    root: Path
    config: Config
    extensions: Extensions
    _files: dict[str, LoadedFile | PmpoError] = field(default_factory=dict)
    _tasks: dict[str, tuple[Task, ...]] = field(default_factory=dict)

    @classmethod
    def open(
        cls, start: Path, given: Mapping[str, Any], extensions: Extensions, *, options: str = "--pmpo-"
    ) -> Project:
        """The project around ``start``.

        Args:
            start: absolute; where the search for the configuration and the repository begins.
            given: settings of the command line.
            options: what options begin with, for errors.

        Raises:
            ConfigError: see ``config.load``.
        """
        top = find_root(start)
        settings = config.load(start, top, given, options=options)
        root = top if top is not None else settings.folder
        return cls(root, settings, extensions)

    def discovered(self) -> tuple[str, ...]:
        """Prompt files the settings name, sorted, relative to the root.

        None where nothing is configured and there is no folder of the default name: such a project has no prompts yet.

        Raises:
            ConfigError: a configured pattern matches nothing, or leaves the repository.
        """
        return self.survey.prompts

    @cached_property
    def survey(self) -> Survey:
        """The prompt files the settings name, and what lies among them.

        Raises:
            ConfigError: see ``discovered``.
        """
        patterns = self.config.patterns(self.root)
        unset = self.config.origin("prompts") == "default" and not any((self.root / p).exists() for p in patterns)
        return Survey((), (), frozenset()) if unset else survey(self.root, patterns, self._formats)

    @cached_property
    def _tree(self) -> Source:
        return ListedTree(self.root)

    @cached_property
    def _formats(self) -> tuple[Format, ...]:
        return self.extensions.formats()

    def settings_for(self, path: str) -> Settings:
        """The settings of one prompt file."""
        if not self.config.settings.override:
            return self.config.settings
        return self.config.for_path(self.below_config(path))

    def below_config(self, path: str) -> str:
        """A path relative to the root as the configuration's globs take it: relative to the folder they stand in."""
        folder = self.config.folder
        below = Path(self.root, path)
        relative = below.relative_to(folder) if below.is_relative_to(folder) else below.relative_to(self.root)
        return relative.as_posix()

    def models(self) -> tuple[tuple[str, Settings], ...]:
        """Every model the settings name, overrides included, with the settings it runs under; each once."""
        return self._models

    @cached_property
    def _models(self) -> tuple[tuple[str, Settings], ...]:
        settings = self.config.settings
        found = dict.fromkeys(settings.models, settings)
        if "models" not in self.config.given:
            unpinned = replace(settings, revision=None)
            for override in settings.override:
                found = dict.fromkeys(override.given.get("models", ()), unpinned) | found
        return tuple(found.items())

    def model_names(self, specs: Sequence[str]) -> tuple[str, ...]:
        """Short names, unique among all models of the project; where two would be equal, as the settings write them."""
        names = [_model_name(spec) for spec, _ in self.models()]
        return tuple(spec if names.count(_model_name(spec)) > 1 else _model_name(spec) for spec in specs)

    def load(self, path: str) -> LoadedFile:
        """A prompt file of the working tree, with its fixtures. Read once.

        Raises:
            PmpoError: with file and line, whatever is wrong with it; the same again when asked again.
        """
        if path not in self._files:
            source = _Recording(self._tree)
            try:
                suites = load(source, path, self._formats, self.settings_for(path).label_keys)
                self._files[path] = LoadedFile(suites, frozenset(source.paths))
            except PmpoError as error:
                self._files[path] = error
        loaded = self._files[path]
        if isinstance(loaded, PmpoError):
            raise loaded
        return loaded

    def load_version(self, source: Source, path: str) -> tuple[PromptSuite, ...]:
        """The prompts of a file in another version of the repository, without their fixtures.

        Raises:
            PmpoError: it is not there, or does not parse.
        """
        return load_prompts(source, path, self._formats)

    def tasks(self, path: str) -> tuple[Task, ...]:
        """One task per prompt in the file and model.

        Raises:
            PmpoError: see ``load``.
        """
        if path not in self._tasks:
            self._tasks[path] = self._make_tasks(path)
        return self._tasks[path]

    def _make_tasks(self, path: str) -> tuple[Task, ...]:
        suites = self.load(path).suites
        settings = self.settings_for(path)
        names = self.model_names(settings.models)
        variants = _variant_names(suites)
        return tuple(
            Task(path, variant, model, name, suite, settings)
            for suite, variant in zip(suites, variants, strict=True)
            for model, name in zip(settings.models, names, strict=True)
        )

    def relative(self, path: Path) -> str:
        """A path as the prompts stage names it; outside the root it keeps its ``..``."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")


def _model_name(spec: str) -> str:
    try:
        return parse_spec(spec).name
    except ModelError:
        return spec  # the task says so when it runs


def _variant_names(suites: Sequence[PromptSuite]) -> list[str]:
    """What tells the prompts of one file apart: nothing, their variants, or their position."""
    if len(suites) == 1:
        return [plain(suites[0].prompt.variant or "", _NAME_LENGTH)]
    names = [plain(s.prompt.variant or s.prompt.name or str(i + 1), _NAME_LENGTH) for i, s in enumerate(suites)]
    return [name if names.count(name) == 1 else f"{name}-{i + 1}" for i, name in enumerate(names)]


class _Recording:
    """A source that remembers which files were read."""

    label: str

    def __init__(self, source: Source) -> None:
        self._source = source
        self.label = source.label
        self.paths: set[str] = set()

    def read(self, path: str) -> bytes:
        self.paths.add(path)
        return self._source.read(path)

    def glob(self, pattern: str) -> tuple[str, ...]:
        return self._source.glob(pattern)

    def exists(self, path: str) -> bool:
        return self._source.exists(path)
