"""The use case behind every test item: a prompt and a model in, a verdict out.

Head and base of a prompt are scored in one call, over today's fixtures. A base that cannot be read, or cannot be scored
with today's fixtures (a placeholder renamed together with its fixtures), is nothing to compare with: the verdict is
``new`` with the reason, and fails under ``strict``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from pytest_pmpo.app.banks import bank_metric, defend
from pytest_pmpo.app.models import Engine, Models
from pytest_pmpo.app.noise import NoiseFile
from pytest_pmpo.app.progress import ProgressLine
from pytest_pmpo.app.project import Project, Task
from pytest_pmpo.app.reference import BaselineReference, GitReference, NoReference, Reference, Version
from pytest_pmpo.app.results import Result, Work
from pytest_pmpo.app.trust import trusted_models
from pytest_pmpo.errors import EncodingError, PmpoError, PromptError
from pytest_pmpo.gate import baseline
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.prompts.model import Note, Prompt
from pytest_pmpo.prompts.source import Base, NoBase, WorkingTree, find_base
from pytest_pmpo.report.records import Entry, ModelFacts
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.select import choose
from pytest_pmpo.scoring.models import Notify
from pytest_pmpo.scoring.records import PromptScore


class Checker:
    """Reaches verdicts; holds what a run shares: the base, the models, the number of verdicts that share alpha."""

    def __init__(
        self,
        project: Project,
        *,
        environ: Mapping[str, str] | None = None,
        notify: Notify | None = None,
        progress: ProgressLine | None = None,
        threads: int | None = None,
    ) -> None:
        self.project = project
        self._environ = os.environ if environ is None else environ
        self._notify = notify
        self._progress = progress
        self._limits = {} if threads is None else {"threads": threads}
        self._fitting: set[str] = set()
        self._metrics: dict[bool, dict[str, Metric]] = {}
        self._seconds = 0.0

    @cached_property
    def base(self) -> Base | NoBase:
        """The base commit, or why there is none. Runs git.

        Raises:
            BaseUnavailableError: there should be one, but it is not in this clone; the hint is the command to run.
            SourceError: the ref that was asked for does not exist.
        """
        return find_base(self.project.root, self.project.config.settings.base, self._environ)

    @cached_property
    def models(self) -> Models:
        """The models of this run."""
        trusted = trusted_models(self.project, self._base_for_trust)
        return Models(self.project.config, trusted, self._notify, self._progress, self._limits)

    @cached_property
    def reference(self) -> Reference:
        """What prompts are compared with.

        Raises:
            SourceError: see ``base``.
            BaselineError: the baseline file cannot be read.
        """
        file = self.project.config.settings.baseline
        if file is not None:
            return BaselineReference(baseline.load(self.project.config.folder / file))
        if isinstance(self.base, NoBase):
            return NoReference(self.base.reason)
        return GitReference(self.project, self.base)

    @cached_property
    def family(self) -> int:
        """How many verdicts share alpha: discovered prompts that differ from their base, once per model.

        Counted from bytes, before any model, and over everything discovered: neither ``-k`` nor explicit paths nor the
        number of workers changes a verdict.
        """
        return sum(self._shares(path) for path in self.project.discovered())

    def check(self, task: Task) -> Result:
        """The verdict on one task.

        Raises:
            PmpoError: whatever is wrong with the prompt, its fixtures, the base, the model.
        """
        version = self.reference.version(task)
        engine = self.models.engine(task.model, task.settings)
        self._require_fingerprint(task, engine)
        bank = bank_metric(WorkingTree(self.project.root), task, engine, version.prompt)
        metric = bank.metric or self.metric(task)
        head, base, version = self._score(task, version, engine, metric)
        verdict = self._decide(task, version, self.policy(task, engine, metric), head, base)
        verdict = defend(verdict, task.path, head, base)
        model = engine.model
        return Result(
            Entry(
                verdict,
                task.path,
                task.line,
                _turns(version.prompt),
                _turns(task.suite.prompt),
                notes=_notes(task, bank.notes),
            ),
            baseline.store(head, task.suite.prompt.template_digest, task.suite.fixtures),
            ModelFacts(task.model_name, model.revision, engine.device, engine.dtype),
            engine.fingerprint.as_mapping(),
        )

    def score(self, task: Task) -> PromptScore:
        """The numbers of the working tree's version alone.

        Raises:
            PmpoError: whatever is wrong with the prompt, its fixtures, the model.
        """
        engine = self.models.engine(task.model, task.settings)
        metric = bank_metric(WorkingTree(self.project.root), task, engine, None).metric or self.metric(task)
        [score] = engine.scorer.score([task.suite.prompt], task.suite.fixtures, metric)
        return score

    def metric(self, task: Task) -> Metric:
        """The metric of the settings, or the most telling one that the fixtures support.

        Raises:
            ConfigError: no metric has the name that was asked for.
            FixtureError: a fixture cannot be measured by it.
        """
        end_of_turn = task.settings.end_of_turn
        if end_of_turn not in self._metrics:
            self._metrics[end_of_turn] = self.project.extensions.metrics(end_of_turn=end_of_turn)
        return choose(task.suite.fixtures, task.settings.metric, self._metrics[end_of_turn])

    def work(self) -> Work:
        """What scoring took so far."""
        scorers = [engine.scorer for engine in self.models.engines()]
        return Work(
            self._seconds, sum(scorer.tokens_spent for scorer in scorers), sum(s.tokens_cached for s in scorers)
        )

    def policy(self, task: Task, engine: Engine, metric: Metric) -> Policy:
        """How the gate decides on a task."""
        settings = task.settings
        noise = NoiseFile(self.models.cache_folder(), engine.fingerprint.digest)
        outside = task.path not in self.project.discovered()
        return Policy(
            tolerance=settings.tolerance,
            hard_break=settings.hard_break,
            alpha=settings.alpha,
            family=max(1, self.family + outside),
            strict=settings.strict,
            noise_floor=noise.floor(metric.info.name),
        )

    def _shares(self, path: str) -> int:
        try:
            tasks = self.project.tasks(path)
        except PmpoError:
            return len(self.project.settings_for(path).models)  # broken now: it will be a verdict once it is mended
        return sum(self.reference.version(task).shares_alpha for task in tasks)

    def _score(
        self, task: Task, version: Version, engine: Engine, metric: Metric
    ) -> tuple[PromptScore, PromptScore | None, Version]:
        """Head and base over the same fixtures, and the version that turned out to be comparable."""
        began = time.monotonic()
        if self._progress is not None:
            self._progress.label = task.label
        try:
            return self._scored(task, version, engine, metric)
        finally:
            self._seconds += time.monotonic() - began
            if self._progress is not None:
                self._progress.finish()

    def _scored(
        self, task: Task, version: Version, engine: Engine, metric: Metric
    ) -> tuple[PromptScore, PromptScore | None, Version]:
        prompt, fixtures = task.suite.prompt, task.suite.fixtures
        if version.prompt is None or version.unchanged:
            [head] = engine.scorer.score([prompt], fixtures, metric)
            return replace(head, prompt=task.label), None, version
        try:
            head, base = engine.scorer.score([prompt, version.prompt], fixtures, metric)
        except (PromptError, EncodingError) as error:
            [head] = engine.scorer.score([prompt], fixtures, metric)  # raises again if the head is to blame
            reason = f"the base version cannot be scored with today's fixtures: {error.message}"
            return replace(head, prompt=task.label), None, Version(missing=reason, existed=True)
        return replace(head, prompt=task.label), replace(base, prompt=task.label), version

    def _decide(
        self, task: Task, version: Version, policy: Policy, head: PromptScore, base: PromptScore | None
    ) -> Verdict:
        model = task.model_name
        if version.unchanged:
            return decide(head, None, policy, model=model, unchanged=True)
        if version.stored is not None:
            pairing = baseline.pair(head, task.suite.fixtures, version.stored)
            return decide(pairing.head, pairing.base, policy, model=model, left_out=pairing.left_out)
        verdict = decide(head, base, policy, model=model)
        if version.missing is None:
            return verdict
        return replace(verdict, reason=version.missing, failed=version.existed and policy.strict)

    def _require_fingerprint(self, task: Task, engine: Engine) -> None:
        """A baseline's numbers compare only with numbers made under an equal fingerprint. Checked once per model."""
        file = self.project.config.settings.baseline
        if file is not None and task.model_name not in self._fitting:
            fingerprints = {task.model_name: engine.fingerprint.as_mapping()}
            baseline.load(self.project.config.folder / file, fingerprints)
            self._fitting.add(task.model_name)

    def _base_for_trust(self) -> Base | None:
        """The base commit whatever the head's configuration says of it."""
        base = find_base(self.project.root, self.project.config.given.get("base"), self._environ)
        return base if isinstance(base, Base) else None


def _turns(prompt: Prompt | None) -> tuple[tuple[str, str], ...]:
    return () if prompt is None else tuple((message.role, message.text) for message in prompt.messages)


def _notes(task: Task, more: Sequence[Note] = ()) -> tuple[str, ...]:
    notes = (*task.suite.prompt.notes, *more)
    return tuple(f"{note.location}: {note.message}" if note.location else note.message for note in notes)
