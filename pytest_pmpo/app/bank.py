"""Use cases around a response bank: build it, top it up, grade it anew, show what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pytest_pmpo.app.banks import bank_metric, find_bank
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.models import Engine
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import BankError, Location
from pytest_pmpo.prompts.model import Note, Prompt
from pytest_pmpo.prompts.source import GitTree, NoBase, WorkingTree, find_base
from pytest_pmpo.responses.bank import bank_names, replace_all
from pytest_pmpo.responses.build import BuildReport, Demand, Writer, demands, fill
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.graders.select import default_grader, make_grader
from pytest_pmpo.responses.inventory import describe, take
from pytest_pmpo.responses.records import Bank
from pytest_pmpo.responses.regrade import grade_bank
from pytest_pmpo.responses.topup import TopUp, demands_from, plan
from pytest_pmpo.responses.variants import DEFAULT_VARIANTS, VARIANTS, proposals
from pytest_pmpo.scoring.backends.base import Generator, SamplingSettings

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Drawing:
    """How to draw and grade.

    Attributes:
        grader: name, or None for the one the labels suggest.
        grader_options: what that grader takes.
        max_new_tokens: of one response.
        max_tokens: of all together; None for no limit.
    """

    grader: str | None = None
    grader_options: Mapping[str, Any] | None = None
    max_new_tokens: int = 256
    max_tokens: int | None = None
    seed: int = 0


class BankKeeper:
    """Keeps the bank of one prompt.

    Args:
        checker: holds the project and the models.
        task: the prompt, its fixtures and the model.
    """

    def __init__(self, checker: Checker, task: Task) -> None:
        self.checker, self._task = checker, task
        self._source = WorkingTree(checker.project.root)
        found = find_bank(self._source, task.path)
        self.bank = Bank(bank_names(task.path)[-1]) if found is None else found

    @property
    def file(self) -> Path:
        """Where the bank lies."""
        return self.checker.project.root / self.bank.path

    def show(self) -> str:
        """What the bank holds, as lines of text."""
        return describe(take(self.bank, self._task.suite.fixtures))

    def build(
        self, names: Sequence[str], per_fixture: int, drawing: Drawing, progress: Progress | None = None
    ) -> BuildReport:
        """Draw what is missing of ``per_fixture`` responses to every fixture.

        Args:
            names: of variants (``base``, ``steps``, ``none``, ``direct``) or git refs of earlier versions.

        Raises:
            BankError: an unknown variant, or a model that cannot write.
            PmpoError: whatever rendering, generating or grading raises.
        """
        previous = {name: self._earlier(name) for name in names if name not in VARIANTS}
        prompt = self._task.suite.prompt
        drawn_from = proposals(prompt, tuple(names) or DEFAULT_VARIANTS, previous)
        engine = self._engine()
        wanted = demands(self.bank, self._task.suite.fixtures, drawn_from, per_fixture, engine.model.fingerprint)
        return self._fill(engine, wanted, drawing, progress)

    def top_up(
        self, budget: int | None, drawing: Drawing, progress: Progress | None = None
    ) -> tuple[TopUp, BuildReport | None]:
        """Draw from the prompt as it is now until the bank covers it; no report where it does already.

        Raises:
            BankError: there is no bank to top up.
        """
        engine = self._engine()
        metric = bank_metric(self._source, self._task, engine, None).metric
        if metric is None:
            raise BankError(
                "there is no bank that holds responses to every fixture",
                location=Location(self._task.path),
                hint=f"pmpo bank build {self._task.path}",
            )
        prompt, fixtures = self._task.suite.prompt, self._task.suite.fixtures
        [head] = engine.scorer.score([prompt], fixtures, metric)
        needed = plan(head, budget=budget)
        if not needed.responses:
            return needed, None
        wanted = demands_from(needed, self.bank, fixtures, prompt, engine.model.fingerprint)
        return needed, self._fill(engine, wanted, drawing, progress)

    def grade(self, drawing: Drawing) -> tuple[int, tuple[Note, ...]]:
        """Grade what has no grade, or one of another grader; gives how many, and what there is to say."""
        done = grade_bank(self.bank, self._task.suite.fixtures, self._grader(drawing))
        if done.graded:
            replace_all(self.file, [*done.bank.proposals.values(), *done.bank.responses])
        return done.graded, done.notes

    def _engine(self) -> Engine:
        return self.checker.models.engine(self._task.model, self._task.settings)

    def _fill(
        self, engine: Engine, wanted: Sequence[Demand], drawing: Drawing, progress: Progress | None
    ) -> BuildReport:
        backend = engine.scorer.backend
        if not hasattr(backend, "generate"):
            raise BankError(f"this model cannot write: {backend.description}")
        writer = Writer(
            cast(Generator, backend),
            backend.tokenizer,
            backend.context_length,
            engine.model.fingerprint,
            self._grader(drawing),
            SamplingSettings(max_new_tokens=drawing.max_new_tokens, seed=drawing.seed),
            drawing.max_tokens,
        )
        return fill(self.file, self.bank, wanted, writer, progress=progress)

    def _grader(self, drawing: Drawing) -> Grader:
        if drawing.grader is None:
            return default_grader(self._task.suite.fixtures)
        return make_grader(drawing.grader, drawing.grader_options or {}, root=self.checker.project.root)

    def _earlier(self, ref: str) -> Prompt:
        """The prompt as a git ref has it.

        Raises:
            SourceError: the ref, or the file in it, does not exist.
        """
        project, prompt = self.checker.project, self._task.suite.prompt
        base = find_base(project.root, ref, {})
        if isinstance(base, NoBase):
            raise BankError(f"{ref} names no earlier version: {base.reason}")
        for suite in project.load_version(GitTree(project.root, base.commit), self._task.path):
            if suite.prompt.variant == prompt.variant:
                return suite.prompt
        raise BankError(f"{ref} has no such prompt in {self._task.path}", location=Location(self._task.path))
