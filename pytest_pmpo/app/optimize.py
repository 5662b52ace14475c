"""The use case of ``pmpo optimize``: a task in, a confirmed patch and a report out, handed over as far as asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.optimize_bank import aim, bank_path, keep
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import BankError, ConfigError, ProposalError
from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.handover import Delivered, HandOver, hand_over, short_name
from pytest_pmpo.optimize.listener import Listener
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.records import OptimizeResult
from pytest_pmpo.optimize.rewriters.base import Rewriter
from pytest_pmpo.optimize.rewriters.language import WRITER_WANTED, LanguageRewriter
from pytest_pmpo.optimize.rewriters.select import create
from pytest_pmpo.optimize.strategies.select import choose
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.source import WorkingTree
from pytest_pmpo.report import optimize_report
from pytest_pmpo.report.text import plain
from pytest_pmpo.responses.records import Response
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.response_bank import ResponseBank
from pytest_pmpo.scoring.scorer import Scorer

OUT = "pmpo-out"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to optimize. None takes what the strategy's source says.

    Attributes:
        rewriters: by name; empty takes ``structural``, or ``local`` for a strategy that needs a writer.
        out: folder of patch, reports and journals.
        templates: folder whose report templates and meta-prompts are taken instead of ours.
        record: file that the language models' answers are appended to.
        task: what the prompt is for; default the prompt's own description or text.
        segmenter: what cuts the prompt into parts: its structure, or the language model as in the paper.
        top_up: fresh responses to each fixture from every prompt about to be accepted, where a response bank is
            optimized; ``top_up_tokens`` limits them all together, ``grader`` grades them (default the bank's).
    """

    strategy: str = "pmpo"
    rewriters: tuple[str, ...] = ()
    rounds: int | None = None
    forward_tokens: int | None = None
    generated_tokens: int | None = None
    minutes: float | None = None
    seed: int = 0
    out: Path = Path(OUT)
    templates: Path | None = None
    record: Path | None = None
    task: str | None = None
    segmenter: Literal["structure", "model"] = "structure"
    top_up: int = 2
    top_up_tokens: int | None = None
    grader: str | None = None
    hand_over: HandOver = field(default_factory=HandOver)


@dataclass(frozen=True, slots=True)
class Finished:
    """What one optimization left behind: the reports always, the rest as far as it was won and asked for.

    Attributes:
        bank: the response bank, where it has grown; ``trouble`` says why it could not.
    """

    result: OptimizeResult
    reports: tuple[Path, Path]
    delivered: Delivered
    bank: Path | None = None
    trouble: str = ""

    def lines(self) -> list[str]:
        """What there is now, for the terminal."""
        delivered = self.delivered
        patch = None if delivered.patch is None else _near(delivered.patch)
        lines = [] if patch is None else [f"patch: {patch} (git apply {patch})"]
        lines.append(f"report: {_near(self.reports[0])}, {_near(self.reports[1])}")
        if self.bank is not None:
            grown = sum(isinstance(row, Response) for row in self.result.drawn)
            lines.append(f"bank: {_near(self.bank)} has grown by {grown} responses")
        if self.trouble:
            lines.append(f"note: {plain(self.trouble)}")
        if delivered.suggestion is not None:
            found = delivered.suggestion
            state = "unchanged" if found.unchanged else "updated" if found.existed else "new"
            lines.append(f"branch: {plain(found.branch)} at {found.commit[:12]}, {state}")
        if delivered.pushed:
            lines.append("pushed")
        if delivered.opened is not None:
            updated = ", updated" if delivered.opened.updated else ""
            lines.append(f"pull request: {plain(delivered.opened.url)}{updated}")
        return lines


def optimize(checker: Checker, task: Task, wanted: Wanted, listener: Listener, environ: Mapping[str, str]) -> Finished:
    """Optimize one prompt under one model.

    Raises:
        PmpoError: whatever is wrong with the prompt, its fixtures, the model, a name, the journal or the hand-over. The
            reports are on disk by the time the hand-over can fail.
    """
    engine = checker.models.engine(task.model, task.settings)
    with aim(checker, task, engine, wanted.grader, wanted.top_up) as found:
        result = run(request(checker, task, wanted, found.metric, environ), listener)
    if found.note:
        result = replace(result, notes=(*result.notes, found.note))
    name, root = output_name(task), checker.project.root
    path = bank_path(checker, task) if result.drawn else None
    delivered, bank, trouble = None, None, ""
    try:
        reports = optimize_report.write(result, wanted.out, name, wanted.templates)
        body = reports[0].read_text(encoding="utf-8")
        delivered = hand_over(
            result, root, wanted.out, wanted.hand_over, body=body, environ=environ, name=name, bank=path
        )
    except ProposalError as error:
        raise _with_files(error, wanted.out / f"{name}.patch", *reports) from error
    finally:
        # a branch that carries the responses brings them back when it is merged; else they would be lost
        if delivered is None or not delivered.bank:
            bank, trouble = _kept(checker, task, result)
    return Finished(result, reports, delivered, bank, trouble)


def _with_files(error: ProposalError, *files: Path) -> ProposalError:
    """The same, and what the run has left all the same: nobody should think that its work is lost."""
    there = ", ".join(str(_near(file)) for file in files if file.exists())
    hint = "; ".join(filter(None, (error.hint, f"written all the same: {there}")))
    return ProposalError(error.message, location=error.location, hint=hint)


def _kept(checker: Checker, task: Task, result: OptimizeResult) -> tuple[Path | None, str]:
    """The bank that has grown, or why it could not: that must not cost the patch."""
    try:
        return keep(checker, task, result), ""
    except BankError as error:
        return None, f"the fresh responses stay beside the journal: {error.message}"


def request(
    checker: Checker, task: Task, wanted: Wanted, metric: Metric | BankObjective, environ: Mapping[str, str]
) -> OptimizeRequest:
    """What the optimizer needs to know of a task.

    Raises:
        ConfigError: a strategy, rewriter or limit that does not exist.
        PmpoError: whatever is wrong with the file or the model.
    """
    project = checker.project
    choice = choose(wanted.strategy)
    engine = checker.models.engine(task.model, task.settings)
    source = WorkingTree(project.root)
    names = wanted.rewriters or (("local",) if choice.asks_model else ("structural",))
    rewriters = tuple(_rewriter(checker, name, engine.scorer, wanted, environ) for name in names)
    if choice.asks_model and not any(isinstance(rewriter, LanguageRewriter) for rewriter in rewriters):
        raise ConfigError(
            f"the strategy {wanted.strategy} asks a language model for prompts, and no rewriter is one",
            hint=WRITER_WANTED,
        )
    rounds = choice.rounds if wanted.rounds is None else wanted.rounds
    return OptimizeRequest(
        suite=task.suite,
        data=source.read(task.path),
        format=_format(checker, task),
        scorer=engine.scorer,
        metric=metric,
        model=task.model_name,
        strategy=choice.strategy,
        rewriters=rewriters,
        journals=wanted.out / "journals",
        budget=Budget(rounds, wanted.forward_tokens, wanted.generated_tokens, wanted.minutes, wanted.top_up_tokens),
        # one verdict is asked for, whatever else has changed in the repository
        policy=replace(checker.policy(task, engine, _gate_metric(metric)), family=1, blocking="always"),
        task=wanted.task,
        seed=wanted.seed,
        tuning=replace(choice.tuning, segmenter=wanted.segmenter),
        constraints=choice.constraints,
        context=ParseContext(source.read, source.glob, task.settings.label_keys),
    )


def _near(path: Path) -> Path:
    """As seen from the working directory, where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _gate_metric(metric: Metric | BankObjective) -> Metric:
    return ResponseBank({}) if isinstance(metric, BankObjective) else metric


def output_name(task: Task) -> str:
    """Names the files and the branch of a task: ``triage``, or ``triage-b`` for one of several prompts in a file."""
    variant = re.sub(r"[^\w.-]+", "-", task.variant).strip("-.")
    return f"{short_name(task.path)}-{variant}" if variant else short_name(task.path)


def _format(checker: Checker, task: Task) -> Format:
    for format in checker.project.extensions.formats():
        if format.name == task.suite.prompt.format:
            return format
    raise ConfigError(f"{task.path}: no format {task.suite.prompt.format!r} is registered to write it back")


def _rewriter(checker: Checker, name: str, scorer: Scorer, wanted: Wanted, environ: Mapping[str, str]) -> Rewriter:
    """An outsider's rewriter of that name, else a built-in one."""
    for registered in checker.project.extensions.hook.pytest_pmpo_rewriters():
        if name in registered:
            found: Rewriter = registered[name]
            return found
    root = checker.project.root
    return create(name, scorer, root=root, environ=environ, record=wanted.record, templates=wanted.templates)
