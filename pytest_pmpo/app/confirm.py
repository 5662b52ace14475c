"""``--pmpo-confirm``: where a bank does not cover a version, the stated top-up is drawn and graded in the run itself.

The bank is locked while it grows, and read again once the lock is held: of several processes (or models) that judge
prompts with one bank, the first pays and the others find it covered. A bank file that cannot be written, as in a
read-only checkout, does not cost the verdict: what was drawn is kept in memory and the line says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from pytest_pmpo.app.banks import BankMetric, find_bank, metric_of, uncovered
from pytest_pmpo.app.grading import require_same_grader
from pytest_pmpo.app.locks import exclusive
from pytest_pmpo.app.models import Engine
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import BankError
from pytest_pmpo.prompts.model import Fixture, Note, Prompt
from pytest_pmpo.prompts.source import Source
from pytest_pmpo.responses.bank import append
from pytest_pmpo.responses.build import BuildReport, Writer, fill
from pytest_pmpo.responses.demands import USUAL_TOKENS, Demand, usual_limit
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.records import Bank, Proposal, Response
from pytest_pmpo.responses.topup import demands_from, plan
from pytest_pmpo.scoring.backends.base import Generator, SamplingSettings
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.records import PromptScore

OpenGrader = Callable[[Bank], AbstractContextManager[Grader]]


@dataclass(frozen=True, slots=True)
class Scored:
    """Both versions under one bank."""

    bank: BankMetric
    head: PromptScore
    base: PromptScore


@dataclass(frozen=True, slots=True)
class Spent:
    """What a top-up gave.

    Attributes:
        bank: the metric of the grown bank.
        line: what was drawn and where it is kept; empty where another process had covered the bank meanwhile.
    """

    bank: BankMetric
    line: str


@dataclass(slots=True)
class Confirmer:
    """Tops banks up, each once.

    Attributes:
        source: of the working tree.
        root: the folder bank files are relative to.
        locks: folder of the locks; see ``locks.exclusive``.
        unsaved: banks that could not be written, as they are in memory, by path.
    """

    source: Source
    root: Path
    locks: Path
    unsaved: dict[str, Bank] = field(default_factory=dict)

    def bank(self, task: Task, found: BankMetric, engine: Engine, base: Prompt | None) -> BankMetric:
        """The bank as it was read, or as it is in memory where it has grown and could not be saved."""
        grown = None if found.bank is None else self.unsaved.get(found.bank.path)
        return found if grown is None else metric_of(grown, task, engine, _known(task, base))

    def top_up(self, task: Task, engine: Engine, scored: Scored, base: Prompt, grader: OpenGrader) -> Spent:
        """Draw from the versions that the bank does not cover.

        Raises:
            BankError: the model cannot write.
            GraderError: a grader keeps failing, or is not the one that graded the bank; what was drawn is kept.
        """
        assert scored.bank.bank is not None
        path = scored.bank.bank.path
        with exclusive(self.locks, str(self.root / path)):
            now = self._again(task, engine, scored, base)
            assert now.bank.bank is not None
            wanted = _demands(task, engine, now, base)
            if not wanted:
                return Spent(now.bank, "")
            keeper = _Keeper(self.root / path)
            limit = token_limit(now.bank.metric, task.suite.fixtures, now.head)
            with grader(now.bank.bank) as opened:
                require_same_grader(now.bank.bank, task, opened)
                writer = local_writer(engine, opened, SamplingSettings(max_new_tokens=limit))
                try:
                    report = fill(self.root / path, now.bank.bank, wanted, writer, keep=keeper)
                finally:
                    bank = keeper.added_to(now.bank.bank)
                    if keeper.trouble:
                        self.unsaved[path] = bank
        grown = metric_of(bank, task, engine, _known(task, base))
        grown = replace(grown, notes=(*grown.notes, *report.notes))
        return Spent(grown, _line(report, wanted, base, path, keeper.trouble))

    def _again(self, task: Task, engine: Engine, scored: Scored, base: Prompt) -> Scored:
        """The bank as it is now that nobody else writes, and both versions under it."""
        assert scored.bank.bank is not None
        path = scored.bank.bank.path
        bank = self.unsaved.get(path) or find_bank(self.source, task.path)
        if bank is None or bank == scored.bank.bank:
            return scored
        found = metric_of(bank, task, engine, _known(task, base))
        if found.metric is None:
            return scored
        head, was = engine.scorer.score([task.suite.prompt, base], task.suite.fixtures, found.metric)
        return Scored(found, head, was)


def local_writer(engine: Engine, grader: Grader, settings: SamplingSettings, max_tokens: int | None = None) -> Writer:
    """Draws from the gate's own model.

    Raises:
        BankError: the model cannot write.
    """
    backend = engine.scorer.backend
    if not hasattr(backend, "generate"):
        raise BankError(f"this model cannot write: {backend.description}")
    return Writer(
        cast(Generator, backend),
        backend.tokenizer,
        backend.context_length,
        engine.model.fingerprint,
        grader,
        settings,
        max_tokens,
    )


def token_limit(metric: Metric | None, fixtures: Sequence[Fixture], head: PromptScore) -> int:
    """The token limit a bank's responses were drawn with, by the cut ones among those that were scored."""
    if metric is None:
        return USUAL_TOKENS
    return usual_limit(
        len(score.nll)
        for fixture, row in zip(fixtures, head.fixtures, strict=True)
        for text, score in zip(metric.continuations(fixture), row.scores, strict=True)
        if not text.end_of_turn
    )


class _Keeper:
    """Keeps lines in the bank's file, and in memory as well."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: list[Proposal | Response] = []
        self.trouble = ""

    def __call__(self, rows: Sequence[Proposal | Response]) -> tuple[Note, ...]:
        self._rows += rows
        if self.trouble:
            return ()
        try:
            return append(self._file, rows)
        except BankError as error:
            self.trouble = error.message
            return ()

    def added_to(self, bank: Bank) -> Bank:
        proposals: Mapping[str, Proposal] = {row.digest: row for row in self._rows if isinstance(row, Proposal)}
        rows = tuple(row for row in self._rows if isinstance(row, Response))
        return replace(bank, proposals={**proposals, **bank.proposals}, responses=(*bank.responses, *rows))


def _known(task: Task, base: Prompt | None) -> list[Prompt]:
    return [task.suite.prompt] if base is None else [base, task.suite.prompt]


def _demands(task: Task, engine: Engine, now: Scored, base: Prompt) -> list[Demand]:
    bank, model = now.bank.bank, engine.model.fingerprint
    assert bank is not None
    short = uncovered(now.head, now.base)
    versions = (("head", now.head, task.suite.prompt), ("base", now.base, base))
    return [
        demand
        for name, score, prompt in versions
        if any(score is other for other in short)
        for demand in demands_from(plan(score), bank, task.suite.fixtures, prompt, model, name=name)
    ]


def _line(report: BuildReport, wanted: Sequence[Demand], base: Prompt, path: str, trouble: str) -> str:
    drawn_from = {demand.proposal.digest == base.template_digest for demand in wanted}
    versions = " and ".join(name for name, holds in (("the head", False), ("the base", True)) if holds in drawn_from)
    kept = f"not saved ({trouble})" if trouble else f"kept in {path}"
    count = f"{report.drawn} response{'' if report.drawn == 1 else 's'}"
    graded = f"{report.tokens:,} tokens, {100 * report.right:.0f} % right"
    return f"{count} drawn from {versions}, which the bank did not cover ({graded}), {kept}"
