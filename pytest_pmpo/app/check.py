"""The use case behind every test item: a prompt and a model in, a verdict out.

Head and base of a prompt are scored in one call, over today's fixtures. A base that cannot be read, or cannot be scored
with today's fixtures (a placeholder renamed together with its fixtures), is nothing to compare with: the verdict is
``new`` with the reason, and fails under ``strict``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from pytest_pmpo.app.answers import answer_tokens
from pytest_pmpo.app.banks import BankMetric, bank_metric, defend, uncovered
from pytest_pmpo.app.models import Engine, Models
from pytest_pmpo.app.noise import NoiseFile
from pytest_pmpo.app.progress import ProgressLine
from pytest_pmpo.app.project import Project, Task
from pytest_pmpo.app.reference import BaselineReference, GitReference, NoReference, Reference, Version
from pytest_pmpo.app.results import Result, Work
from pytest_pmpo.app.trust import trusted_models
from pytest_pmpo.app.versions import Scores, score_versions, shown_fixtures
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.gate import baseline
from pytest_pmpo.gate.blocking import informing
from pytest_pmpo.gate.form import with_form
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.prompts.model import Note, Prompt
from pytest_pmpo.prompts.source import Base, NoBase, WorkingTree, find_base
from pytest_pmpo.report.records import Entry, ModelFacts
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.select import choose
from pytest_pmpo.scoring.models import Notify
from pytest_pmpo.scoring.records import PromptScore

if TYPE_CHECKING:
    from pytest_pmpo.app.confirm import Confirmer, Spent


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
        confirm: bool = False,
    ) -> None:
        """
        Args:
            environ: variables of the job; default the process's own.
            threads: each model's share of the cores.
            confirm: draw and grade what a bank lacks to cover base and head, see ``confirm.py``.
        """
        self.project = project
        self._environ = os.environ if environ is None else environ
        self._notify = notify
        self._progress = progress
        self._limits = {} if threads is None else {"threads": threads}
        self._fitting: set[str] = set()
        self._metrics: dict[bool, dict[str, Metric]] = {}
        self._noise: dict[tuple[str, str], float] = {}
        self._seconds = 0.0
        self._source = WorkingTree(project.root)
        self._confirm = confirm

    @cached_property
    def _confirmer(self) -> Confirmer | None:
        if not self._confirm:
            return None
        from pytest_pmpo.app.confirm import Confirmer  # drawing and grading are not for every run

        return Confirmer(self._source, self.project.root, self.models.cache_folder())

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
        trusted = trusted_models(self.project, self.base_for_trust)
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
        with self._timed(task):
            bank, reached, spent = self._judged(task, version, engine)
        model = engine.model
        return Result(
            Entry(
                reached.verdict,
                task.path,
                task.line,
                _turns(version.prompt),
                _turns(task.suite.prompt),
                answer_tokens(engine, task, bank.metric or self.metric(task), reached.verdict),
                notes=_notes(task, bank.notes),
                spent=spent,
            ),
            baseline.store(reached.scores.head, task.suite.prompt.template_digest, task.suite.fixtures),
            ModelFacts(task.model_name, model.revision, engine.device, engine.dtype),
            engine.fingerprint.as_mapping(),
        )

    def _judged(self, task: Task, version: Version, engine: Engine) -> tuple[BankMetric, _Reached, str]:
        """The verdict with the bank behind it, and what was spent on the way to it."""
        bank = bank_metric(self._source, task, engine, version.prompt)
        if self._confirmer is not None:
            bank = self._confirmer.bank(task, bank, engine, version.prompt)
        reached = self._reach(task, version, engine, bank)
        spent = self._confirmed(task, engine, bank, reached)
        if spent is None:
            return bank, reached, ""
        return spent.bank, self._reach(task, version, engine, spent.bank), spent.line

    def _reach(self, task: Task, version: Version, engine: Engine, bank: BankMetric) -> _Reached:
        metric = bank.metric or self.metric(task)
        scores, version = score_versions(engine, task, version, metric)
        policy = self.policy(task, engine, metric)
        verdict = defend(self._decide(task, version, policy, scores), task.path, scores.head, scores.base)
        if scores.controls is not None and scores.base is not None:
            head, base = scores.controls
            verdict = with_form(verdict, (scores.base, base), (scores.head, head), policy)
        return _Reached(informing(verdict), scores, version)

    def _confirmed(self, task: Task, engine: Engine, bank: BankMetric, reached: _Reached) -> Spent | None:
        """What a top-up gave, where one was asked for and the bank does not cover base and head."""
        head, base, prompt = reached.scores.head, reached.scores.base, reached.version.prompt
        if self._confirmer is None or base is None or prompt is None or not uncovered(head, base):
            return None
        from pytest_pmpo.app.confirm import Scored
        from pytest_pmpo.app.grading import grader_for

        if self._notify is not None:
            self._notify(f"{task.label}: drawing and grading what the bank lacks")
        grader = partial(grader_for, self.project, task, find_base=self.base_for_trust)
        return self._confirmer.top_up(task, engine, Scored(bank, head, base), prompt, grader)

    def score(self, task: Task) -> PromptScore:
        """The numbers of the working tree's version alone.

        Raises:
            PmpoError: whatever is wrong with the prompt, its fixtures, the model.
        """
        engine = self.models.engine(task.model, task.settings)
        metric = bank_metric(self._source, task, engine, None).metric or self.metric(task)
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
        outside = task.path not in self.project.discovered()
        return Policy(
            tolerance=settings.tolerance,
            hard_break=settings.hard_break,
            alpha=settings.alpha,
            family=max(1, self.family + outside),
            strict=settings.strict,
            blocking=settings.blocking,
            noise_floor=self._noise_floor(engine, metric.info.name),
        )

    def _noise_floor(self, engine: Engine, metric: str) -> float:
        key = (engine.scorer.fingerprint, metric)
        if key not in self._noise:
            self._noise[key] = NoiseFile(self.models.cache_folder(), engine.scorer.fingerprint).floor(metric)
        return self._noise[key]

    def _shares(self, path: str) -> int:
        try:
            tasks = self.project.tasks(path)
        except PmpoError:
            return len(self.project.settings_for(path).models)  # broken now: it will be a verdict once it is mended
        return sum(self.reference.version(task).shares_alpha for task in tasks)

    @contextmanager
    def _timed(self, task: Task) -> Iterator[None]:
        """Counts the time of the block as scoring, with a progress line while it lasts."""
        began = time.monotonic()
        if self._progress is not None:
            self._progress.label = task.label
        try:
            yield
        finally:
            self._seconds += time.monotonic() - began
            if self._progress is not None:
                self._progress.finish()

    def _decide(self, task: Task, version: Version, policy: Policy, scores: Scores) -> Verdict:
        model, head = task.model_name, scores.head
        if version.unchanged:
            return decide(head, None, policy, model=model, unchanged=True)
        shown = shown_fixtures(task, version)
        if version.stored is not None:
            pairing = baseline.pair(head, task.suite.fixtures, version.stored)
            return decide(pairing.head, pairing.base, policy, model=model, left_out=pairing.left_out, shown=shown)
        verdict = decide(head, scores.base, policy, model=model, shown=shown)
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

    def base_for_trust(self) -> Base | None:
        """The base commit whatever the head's configuration says of it."""
        base = find_base(self.project.root, self.project.config.given.get("base"), self._environ)
        return base if isinstance(base, Base) else None


@dataclass(frozen=True, slots=True)
class _Reached:
    """A verdict with the scores behind it, and the version that turned out to be comparable."""

    verdict: Verdict
    scores: Scores
    version: Version


def _turns(prompt: Prompt | None) -> tuple[tuple[str, str], ...]:
    return () if prompt is None else tuple((message.role, message.text) for message in prompt.messages)


def _notes(task: Task, more: Sequence[Note] = ()) -> tuple[str, ...]:
    notes = (*task.suite.prompt.notes, *more)
    return tuple(f"{note.location}: {note.message}" if note.location else note.message for note in notes)
