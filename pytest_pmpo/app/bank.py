"""Use cases around a response bank: build it, top it up, grade it anew, show what it holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_pmpo.app.banks import bank_metric, find_bank
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.confirm import local_writer, token_limit
from pytest_pmpo.app.grading import grader_for, require_same_grader
from pytest_pmpo.app.locks import exclusive
from pytest_pmpo.app.models import Engine
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import BankError, Location, PmpoError
from pytest_pmpo.prompts.model import Note, Prompt
from pytest_pmpo.prompts.source import GitTree, NoBase, WorkingTree, find_base
from pytest_pmpo.responses.bank import append, bank_names, replace_all
from pytest_pmpo.responses.build import BuildReport, Writer, fill
from pytest_pmpo.responses.demands import USUAL_TOKENS, Demand, demands, usual_limit
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.inventory import describe, take
from pytest_pmpo.responses.records import Bank, Proposal, Response
from pytest_pmpo.responses.regrade import disagreements, grade_bank, without_grades
from pytest_pmpo.responses.topup import TopUp, demands_from, plan
from pytest_pmpo.responses.variants import DEFAULT_VARIANTS, VARIANTS, proposals
from pytest_pmpo.responses.weigh import known_prompts, usable_responses
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.chat_server import ChatServer, parse_server

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Drawing:
    """How to draw and grade.

    Attributes:
        grader: name, or ``module:function``; None for the configuration's, the bank's own, or the labels'.
        max_new_tokens: of one response; None for the limit of the responses the bank holds, else the usual one.
        max_tokens: of all together; None for no limit.
        server: ``openai:MODEL@URL`` to draw from; None for the gate's own model.
    """

    grader: str | None = None
    max_new_tokens: int | None = None
    max_tokens: int | None = None
    seed: int = 0
    server: str | None = None

    def settings(self, usual: int = USUAL_TOKENS) -> SamplingSettings:
        """How the model samples."""
        return SamplingSettings(max_new_tokens=self.max_new_tokens or usual, seed=self.seed)


class BankKeeper:
    """Keeps the bank of one prompt.

    Args:
        checker: holds the project and the models.
        task: the prompt, its fixtures and the model.
    """

    def __init__(self, checker: Checker, task: Task) -> None:
        self.checker, self._task = checker, task
        self._source = WorkingTree(checker.project.root)
        self.exists = True
        self.bank = self._read()

    @property
    def file(self) -> Path:
        """Where the bank lies."""
        return self.checker.project.root / self.bank.path

    def show(self) -> list[str]:
        """What the bank holds, as lines of text, with what of it cannot be used."""
        if not self.exists:
            return [f"{self._task.path} has no bank yet: pmpo bank build {self._task.path}"]
        return describe(take(self.bank, self._task.suite.fixtures)).split("\n")

    def notes(self) -> tuple[Note, ...]:
        """What of the bank is set aside, and what makes its weights nominal, under the task's model.

        A model that is not here is not fetched for it: what it alone could tell is said to be unknown.
        """
        model: str | None = None
        unknown: list[Note] = []
        try:
            model = self.checker.models.fingerprint_here(self._task.model, self._task.settings)
        except PmpoError as error:
            what = f"which responses are of another model than {self._task.model} is not known"
            unknown.append(Note(f"{what}: {error.message}"))
        _, notes = usable_responses(self.bank, self._task.suite.fixtures, known_prompts(self.bank), model)
        return (*notes, *unknown)

    def build(
        self, names: Sequence[str], per_fixture: int, drawing: Drawing, progress: Progress | None = None
    ) -> BuildReport:
        """Draw what is missing of ``per_fixture`` responses to every fixture.

        Args:
            names: of variants (``base``, ``steps``, ``none``, ``direct``) or git refs of earlier versions.

        Raises:
            BankError: an unknown variant, or a model that cannot write.
            PmpoError: whatever rendering, generating or grading raises; what was drawn is kept.
        """
        previous = {name: self._earlier(name) for name in names if name not in VARIANTS}
        prompt = self._task.suite.prompt
        drawn_from = proposals(prompt, tuple(names) or DEFAULT_VARIANTS, previous)
        engine = self._engine()
        server = None if drawing.server is None else parse_server(drawing.server, os.environ)
        model = engine.model.fingerprint if server is None else server.name
        wanted = demands(self.bank, self._task.suite.fixtures, drawn_from, per_fixture, model)
        settings = drawing.settings(self._limit(engine) if wanted else USUAL_TOKENS)
        return self._fill(engine, wanted, drawing, settings, progress, server)

    def top_up(
        self, budget: int | None, drawing: Drawing, progress: Progress | None = None
    ) -> tuple[TopUp, BuildReport | None]:
        """Draw from the prompt as it is now until the bank covers it; no report where it does already.

        Raises:
            BankError: there is no bank to top up.
            PmpoError: see ``build``.
        """
        engine = self._engine()
        found = bank_metric(self._source, self._task, engine, None)
        if found.metric is None:
            why = f": {found.notes[-1].message}" if found.notes else ""
            raise BankError(
                f"there is no bank that holds responses to every fixture{why}",
                location=Location(self._task.path),
                hint=self._build_it,
            )
        prompt, fixtures = self._task.suite.prompt, self._task.suite.fixtures
        [head] = engine.scorer.score([prompt], fixtures, found.metric)
        needed = plan(head, budget=budget)
        if not needed.responses:
            return needed, None
        wanted = demands_from(needed, self.bank, fixtures, prompt, engine.model.fingerprint)
        settings = drawing.settings(token_limit(found.metric, fixtures, head))
        return needed, self._fill(engine, wanted, drawing, settings, progress)

    def grade(self, drawing: Drawing, *, anew: bool = False) -> tuple[int, tuple[Note, ...]]:
        """Grade what has no grade, or one of another grader or for another label.

        Args:
            anew: grade everything again that a grader graded; grades people gave stay.

        Returns:
            How many got a grade, and what there is to say: kept grades the grader would not give again among it.

        Raises:
            BankError: there is no bank.
            PmpoError: the grader failed several times; what it graded before is kept.
        """
        if not self.exists:
            raise BankError("there is no bank to grade", location=Location(self._task.path), hint=self._build_it)
        fixtures = self._task.suite.fixtures
        with self._grader(drawing) as grader:
            done = grade_bank(without_grades(self.bank) if anew else self.bank, fixtures, grader)
            if done.graded:
                self._write(done.bank)
            if done.failure is not None:
                raise done.failure
            asks = grader.identity.startswith("judge(")  # each question costs
            others = () if anew or asks else disagreements(self.bank, fixtures, grader)
        return done.graded, (*done.notes, *others)

    def reread(self) -> BankKeeper:
        """A keeper of the same bank as it is now."""
        return BankKeeper(self.checker, self._task)

    @property
    def _build_it(self) -> str:
        return f"pmpo bank build {self._task.path}"

    def _read(self) -> Bank:
        found = find_bank(self._source, self._task.path)
        self.exists = found is not None
        return Bank(bank_names(self._task.path)[-1]) if found is None else found

    def _engine(self) -> Engine:
        return self.checker.models.engine(self._task.model, self._task.settings)

    @contextmanager
    def _grader(self, drawing: Drawing) -> Iterator[Grader]:
        with grader_for(
            self.checker.project, self._task, self.bank, self.checker.base_for_trust, drawing.grader
        ) as grader:
            yield grader

    def _fill(
        self,
        engine: Engine,
        wanted: Sequence[Demand],
        drawing: Drawing,
        settings: SamplingSettings,
        progress: Progress | None,
        server: ChatServer | None = None,
    ) -> BuildReport:
        with self._grader(drawing) as grader:
            require_same_grader(self.bank, self._task, grader)
            if server is None:
                writer = local_writer(engine, grader, settings, drawing.max_tokens)
            else:
                writer = _server_writer(engine, server, grader, settings, drawing.max_tokens)
            return fill(self.file, self.bank, wanted, writer, progress=progress, keep=self._add)

    def _add(self, rows: Sequence[Proposal | Response]) -> tuple[Note, ...]:
        with self._locked():
            return append(self.file, rows)

    def _write(self, graded: Bank) -> None:
        """The file with these grades; lines that others have added meanwhile stay."""
        grades = {row.identity: row for row in graded.responses}
        with self._locked():
            now = self._read()
            replace_all(self.file, [*now.proposals.values(), *(grades.get(r.identity, r) for r in now.responses)])

    def _locked(self) -> AbstractContextManager[None]:
        """Keeps others from the file while it is written."""
        return exclusive(self.checker.models.cache_folder(), str(self.file))

    def _limit(self, engine: Engine) -> int:
        """The token limit of the responses the bank holds."""
        encode = engine.scorer.backend.tokenizer.encode
        return usual_limit(
            len(encode(row.text, special_tokens=False)) for row in self.bank.responses if not row.finished
        )

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


def _server_writer(
    engine: Engine, server: ChatServer, grader: Grader, settings: SamplingSettings, max_tokens: int | None
) -> Writer:
    """Draws from a server; what the gate's model cannot read afterwards is not kept."""
    backend = engine.scorer.backend
    return Writer(server, backend.tokenizer, backend.context_length, server.name, grader, settings, max_tokens)
