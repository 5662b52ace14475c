"""What a prompt is compared with: its version in a base commit, its numbers in a saved baseline, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pytest_pmpo.app.project import Project, Task
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.gate.baseline import Baseline, StoredPrompt
from pytest_pmpo.prompts.model import Prompt, PromptSuite
from pytest_pmpo.prompts.source import Base, GitTree, changed_paths, find_root


@dataclass(frozen=True, slots=True)
class Version:
    """The base's side of one prompt.

    Attributes:
        prompt: to be scored beside the head, if the base is a commit.
        stored: numbers to compare with, if the base is a file.
        unchanged: the model sees the same prompt as in the base.
        missing: why there is nothing to compare with; None where there is.
        existed: there is a base version, it only cannot be used. Such a prompt is no new one: ``strict`` fails it.
    """

    prompt: Prompt | None = None
    stored: StoredPrompt | None = None
    unchanged: bool = False
    missing: str | None = None
    existed: bool = False

    @property
    def shares_alpha(self) -> bool:
        """Whether a verdict on it takes part in the run's error rate: it changed, and there is a base."""
        return not self.unchanged and self.missing is None


class Reference(Protocol):
    """Finds the base's side of a prompt without touching a model."""

    def version(self, task: Task) -> Version:
        """What to compare with; never raises for what only the base is to blame for."""
        ...


@dataclass(frozen=True, slots=True)
class NoReference:
    """There is no base at all."""

    reason: str

    def version(self, task: Task) -> Version:
        """Nothing, and why."""
        return Version(missing=self.reason)


@dataclass(frozen=True, slots=True)
class BaselineReference:
    """The numbers of a saved file. Its fingerprint is checked when it is opened, see ``check.py``."""

    baseline: Baseline

    def version(self, task: Task) -> Version:
        """The stored numbers under the task's name."""
        model = self.baseline.models.get(task.model_name)
        stored = None if model is None else model.prompts.get(task.label)
        if stored is None:
            return Version(missing="the baseline has no numbers of this prompt")
        return Version(stored=stored, unchanged=stored.template == task.suite.prompt.template_digest)


class GitReference:
    """The tree of a commit. Only prompts whose file, or a file they read, differs from it are read there."""

    def __init__(self, project: Project, base: Base) -> None:
        self._project = project
        self._base = base
        self._tree = GitTree(project.root, base.commit)
        self._changed: Mapping[str, str | None] = changed_paths(project.root, base)
        self._loaded: dict[str, tuple[PromptSuite, ...] | Version] = {}

    def version(self, task: Task) -> Version:
        """The task's prompt as it was, renames followed."""
        # a file git was told to ignore is in no list of changes and in no commit either
        if self._changed.keys().isdisjoint(self._project.load(task.path).read) and self._tree.exists(task.path):
            return Version(prompt=task.suite.prompt, unchanged=True)
        loaded = self._load(task.path)
        if isinstance(loaded, Version):
            return loaded
        prompt = self._same_prompt(loaded, task)
        if prompt is None:
            return Version(missing=f"the base's file has no prompt called {task.suite.prompt.variant!r}")
        return Version(prompt=prompt, unchanged=prompt.template_digest == task.suite.prompt.template_digest)

    def _load(self, path: str) -> tuple[PromptSuite, ...] | Version:
        if path not in self._loaded:
            self._loaded[path] = self._read(path)
        return self._loaded[path]

    def _read(self, path: str) -> tuple[PromptSuite, ...] | Version:
        was = self._changed.get(path, path)
        if was is None or not self._tree.exists(was):
            if (inner := self._inner_repository(path)) is not None:
                reason = f"the prompt is in {inner}, a git repository of its own: only a run started there compares it"
                return Version(missing=reason, existed=True)
            return Version(missing=f"the prompt is not in the base {self._base.short}")
        try:
            return self._project.load_version(self._tree, was)
        except PmpoError as error:
            reason = f"the base version cannot be read: {error.message}"
            return Version(missing=reason, existed=True)

    def _inner_repository(self, path: str) -> str | None:
        """The submodule or nested repository a prompt is in: the base commit holds none of its files."""
        top = find_root((self._project.root / path).parent)
        root = self._project.root
        return None if top is None or top == root.absolute() else top.relative_to(root.absolute()).as_posix()

    def _same_prompt(self, suites: tuple[PromptSuite, ...], task: Task) -> Prompt | None:
        """By variant among several in a file; a lone prompt is the same one whatever it is called."""
        heads = self._project.load(task.path).suites
        if len(suites) == 1 and len(heads) == 1:
            return suites[0].prompt
        wanted = (task.suite.prompt.variant, task.suite.prompt.name)
        found = [suite.prompt for suite in suites if (suite.prompt.variant, suite.prompt.name) == wanted]
        return found[0] if len(found) == 1 else None
