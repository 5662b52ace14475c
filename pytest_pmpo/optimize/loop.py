"""One run from the incumbent to a confirmed winner: score, let the strategy work, keep the books, ask the gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from pytest_pmpo.errors import BankError, BudgetError, EncodingError, ModelError, PmpoError, RewriterError
from pytest_pmpo.optimize.asking import Asking
from pytest_pmpo.optimize.bank_objective import BankObjective, resumable
from pytest_pmpo.optimize.bank_run import BankRun
from pytest_pmpo.optimize.budget import Ledger
from pytest_pmpo.optimize.confirm import confirm
from pytest_pmpo.optimize.evaluation import Evaluation
from pytest_pmpo.optimize.form import HeldoutForm
from pytest_pmpo.optimize.listener import Listener, Plan, Silent
from pytest_pmpo.optimize.masking import MaskTable
from pytest_pmpo.optimize.objective import FixedObjective, Objective
from pytest_pmpo.optimize.quoting import shown
from pytest_pmpo.optimize.records import Candidate, Ending, Measured, OptimizeResult, Round, Step
from pytest_pmpo.optimize.request import OptimizeRequest
from pytest_pmpo.optimize.selection import Acceptance
from pytest_pmpo.optimize.shown import Shown
from pytest_pmpo.optimize.splits import Splits, split, too_few_to_prove
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.optimize.study import Study
from pytest_pmpo.optimize.writeback import Home
from pytest_pmpo.prompts.model import PromptSuite
from pytest_pmpo.responses.bank import SUFFIX
from pytest_pmpo.scoring.metrics.response_bank import ResponseBank

__all__ = ["OptimizeRequest", "run"]


def run(request: OptimizeRequest, listener: Listener | None = None) -> OptimizeResult:
    """Optimize a prompt. Ctrl-C, a used-up budget and a dying model end it with the best prompt so far.

    Raises:
        OptimizeError: too few fixtures, a journal that cannot be written or is in use.
        BudgetError: if not even the incumbent can be scored.
        FixtureError: a fixture the metric cannot measure.
        BankError: a response bank that lacks a fixture.
        PmpoError: whatever scoring the incumbent raises.
    """
    request.require_supported()
    splits = split(request.suite.fixtures, request.seed)
    if isinstance(request.metric, BankObjective):
        resumed = resumable(request.metric, request.journals, partial(_responses_name, request))
        request = replace(request, metric=resumed)
    journal = Journal(request.journals / f"{request.name}.jsonl")
    try:
        return _Run(request, splits, journal, listener or Silent()).result()
    finally:
        journal.close()


def _responses_name(request: OptimizeRequest, bank: BankObjective) -> str:
    """The request's file of fresh responses, were this its bank."""
    return replace(request, metric=bank).name + SUFFIX


class _Run:
    """The state of one run; lives as long as ``run``."""

    def __init__(self, request: OptimizeRequest, splits: Splits, journal: Journal, listener: Listener) -> None:
        self.request, self.splits, self.journal, self.listener = request, splits, journal, listener
        # a replay counts its rounds anew; what they cost is in the books already
        self.ledger = Ledger(request.budget, replace(journal.spent, rounds=0))
        self.home = Home(request.data, request.format, request.suite.prompt, request.context)
        self.incumbent = Candidate(request.suite.prompt, "the prompt as it is")
        self.best = self.incumbent
        self.notes: list[str] = []
        self.rounds: list[Round] = []
        self.ending: tuple[Ending, str] = ("exhausted", "the strategy had nothing left to try")
        self.evaluation, self.form, self.objective = self._measuring()
        self.study = self._open_study()

    def _measuring(self) -> tuple[Evaluation, HeldoutForm, Objective]:
        request, splits = self.request, self.splits
        metric = ResponseBank({}) if isinstance(request.metric, BankObjective) else request.metric
        evaluation = Evaluation(request.scorer, metric, self.ledger, self.journal, on_work=self._tell)
        form = HeldoutForm(evaluation, splits.heldout)
        if not isinstance(request.metric, BankObjective):
            return evaluation, form, FixedObjective(evaluation, splits.heldout, request.suite.fixtures, form)
        bank = BankRun(
            request.metric,
            splits,
            evaluation,
            self.ledger,
            self.journal,
            request.journals / (request.name + SUFFIX),
            request.seed,
            lambda: (self.incumbent.prompt, self.best.prompt),
        )
        return evaluation, form, bank

    def _open_study(self) -> Study:
        request = self.request
        floor = max(request.policy.noise_floor, Acceptance().noise_floor)
        asking = Asking(self.ledger, self.journal, request.tuning.sampling, request.seed, on_written=self._tell)
        return Study(
            self.incumbent,
            self.splits,
            self.evaluation,
            request.rewriters,
            asking,
            task=request.task or _task(request.suite),
            seed=request.seed,
            tuning=request.tuning,
            acceptance=request.acceptance or Acceptance(floor, hard_break=request.policy.hard_break),
            constraints=request.constraints,
            objective=self.objective,
            takes_turns=self.home.takes_turns(),
            writable=self.home.unwritable,
            disabled=self._disabled,
        )

    def result(self) -> OptimizeResult:
        self._announce()
        self.objective.start(self.incumbent.prompt)
        self._measure(self.incumbent)
        self._set_aside()
        self._row(Step(self.incumbent, False, self.incumbent.origin))
        steps = self.request.strategy.rounds(self.study)
        try:
            self._work(steps)
        except KeyboardInterrupt:
            self.ending = ("interrupted", "stopped by Ctrl-C; the same command goes on from here")
        except BudgetError as error:
            self.ending = ("budget", error.sentence())
        except (RewriterError, ModelError, BankError, EncodingError) as error:
            self.ending = ("failed", error.sentence())
        result = self._conclude()
        self.listener.finished(result)
        return result

    def _announce(self) -> None:
        request = self.request
        warning = too_few_to_prove(self.splits)
        if warning:
            self.notes.append(warning)
        fixtures = request.suite.fixtures
        digest = self.incumbent.digest
        known = all((digest, fixture.id) in self.journal.scores for fixture in fixtures)
        self.listener.started(
            Plan(
                path=request.suite.prompt.path,
                strategy=request.strategy.name,
                rewriters=tuple(rewriter.name for rewriter in request.rewriters),
                model=request.model,
                metric=request.metric.info,
                parts={part: len(ids) for part, ids in self.splits.ids.items()},
                budget=request.budget,
                first_tokens=0 if known else self.objective.first_cost(request.suite.prompt),
                resumed=len({prompt for prompt, _ in self.journal.scores}),
                notes=(*self.objective.plan(request.suite.prompt), *self.notes),
            )
        )

    def _set_aside(self) -> None:
        """Keep what the held-out check needs out of the strategy's reach."""
        budget = self.request.budget
        limits = (budget.forward_tokens, budget.generated_tokens, budget.top_up_tokens)
        if limits == (None, None, None):
            return  # counting takes the model's tokenizer, which a replay need not open
        forward, generated = self.objective.reserve(self.incumbent.prompt)
        self.ledger.reserved_forward = 0 if budget.forward_tokens is None else forward
        self.ledger.reserved_generated = generated

    def _work(self, steps: Iterator[Step]) -> None:
        for number in range(1, self.request.budget.rounds + 1):
            step = next(steps, None)
            if step is None:
                return
            self.ledger.next_round()
            if step.best.digest != self.best.digest:
                # a strategy that accepts without asking for fresh responses gets them now
                self.objective.vouch(step.best.prompt, self.splits.development)
            self._row(step, number)
        rounds = self.request.budget.rounds
        self.ending = ("rounds", "the one round is done" if rounds == 1 else f"{rounds} rounds are done")

    def _row(self, step: Step, number: int = 0) -> None:
        """Measure the round's best prompt on every part, for the record, and write the round down."""
        measured = self._measure(step.best)
        self.best = step.best
        row = Round(
            number=number,
            best=step.best,
            accepted=step.accepted,
            train=measured.train.mean,
            selection=measured.selection.mean,
            heldout=measured.heldout.mean,
            scored=self.evaluation.prompts_scored,
            duplicates=self.study.duplicates,
            dropped=dict(self.study.dropped),
            note=step.note,
            spent=self.ledger.spent,
        )
        self.rounds.append(row)
        losses = {"train": row.train, "selection": row.selection, "heldout": row.heldout}
        self.journal.record_round(number, {"best": step.best.digest, "note": step.note, **losses}, row.spent)
        self.listener.round_done(row)

    def _measure(self, candidate: Candidate) -> Measured:
        """Scores on the three parts; the held-out one may use what is kept for it."""
        parts = (self.splits.train, self.splits.selection)
        train, selection = (self.evaluation.score([candidate.prompt], p, from_reserve=True)[0] for p in parts)
        return Measured(train, selection, self.form.score(candidate.prompt))

    def _tell(self) -> None:
        self.listener.working(self.ledger.spent)

    def _disabled(self, name: str, reason: str) -> None:
        text = f"rewriter {name} failed and is left out: {reason}"
        self.notes.append(text)
        self.listener.noted(text)

    def _conclude(self) -> OptimizeResult:
        request = self.request
        checked = confirm(
            self.objective,
            self._measure,
            (self.incumbent, self.best),
            self.splits.heldout,
            request.policy,
            request.model,
            self.form,
            sampling=self.ending[0] not in ("interrupted", "failed"),
        )
        masks = (self.study.measured_masks(self.incumbent.digest), self._winner_masks(checked.won))
        return OptimizeResult(
            path=request.suite.prompt.path,
            strategy=request.strategy.name,
            rewriters=tuple(rewriter.name for rewriter in request.rewriters),
            model=request.model,
            metric=request.metric.info,
            incumbent=self.incumbent,
            winner=self.best,
            won=checked.won,
            reason=checked.reason,
            ending=self.ending[0],
            ending_reason=self.ending[1],
            rounds=tuple(self._measured_last(row) for row in self.rounds),
            before=checked.before,
            after=checked.after,
            verdict=checked.verdict,
            masks=masks,
            splits=self.splits.ids,
            spent=self.ledger.spent,
            limits=str(request.budget),
            base_data=request.data,
            data=self.home.write(self.best.prompt) if checked.won else None,
            dropped=dict(self.study.dropped),
            scored=self.evaluation.prompts_scored,
            notes=(*self.notes, *self.objective.notes, *checked.notes),
            token_texts=self.evaluation.answer_tokens(self.best.prompt, self.splits.heldout) if checked.verdict else {},
            drawn=self.objective.drawn(),
            shown=shown(self.best.prompt, request.suite.fixtures) if checked.won else Shown(),
        )

    def _measured_last(self, row: Round) -> Round:
        """A row of the history by the objective as it is in the end, where that is known or can be afforded."""
        stopped = self.ending[0] in ("interrupted", "failed")
        everything = (*self.splits.development, *self.splits.heldout)
        if not self.objective.version or (stopped and not self.evaluation.journalled(row.best.prompt, everything)):
            return row
        try:
            measured = self._measure(row.best)
        except (PmpoError, KeyboardInterrupt):  # what was measured then still stands
            return row
        means = (measured.train.mean, measured.selection.mean, measured.heldout.mean)
        return replace(row, train=means[0], selection=means[1], heldout=means[2])

    def _winner_masks(self, won: bool) -> MaskTable | None:
        """What the parts of the new prompt are worth, if that can still be afforded."""
        known = self.study.measured_masks(self.best.digest)
        if known is not None or not won or self.ending[0] in ("interrupted", "failed"):
            return known
        try:
            return self.study.masks(self.best)
        except (PmpoError, KeyboardInterrupt):
            return None


def _task(suite: PromptSuite) -> str:
    """What the prompt is for: its file's description, else its own instructions."""
    described = suite.prompt.metadata.get("description")
    if isinstance(described, str) and described.strip():
        return described.strip()
    return "\n\n".join(message.text.strip() for message in suite.prompt.messages if message.role != "assistant")
