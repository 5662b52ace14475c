"""One run from the incumbent to a confirmed winner: score, let the strategy work, keep the books, ask the gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_pmpo.errors import BackendError, BudgetError, FixtureError, RewriterError
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.optimize.asking import Asking
from pytest_pmpo.optimize.budget import Budget, Ledger
from pytest_pmpo.optimize.constraints import Constraints
from pytest_pmpo.optimize.evaluation import Evaluation
from pytest_pmpo.optimize.listener import Listener, Plan, Silent
from pytest_pmpo.optimize.masking import MaskTable
from pytest_pmpo.optimize.records import Candidate, Ending, Measured, OptimizeResult, Round, Step
from pytest_pmpo.optimize.rewriters.base import Rewriter
from pytest_pmpo.optimize.selection import Acceptance
from pytest_pmpo.optimize.splits import Splits, split, too_few_to_prove
from pytest_pmpo.optimize.state import Journal, request_digest
from pytest_pmpo.optimize.strategies.base import Strategy
from pytest_pmpo.optimize.study import Study, Tuning
from pytest_pmpo.optimize.writeback import Home
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.model import PromptSuite
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.scorer import Scorer

RESERVE = 2
"""Held-out passes of the incumbent that are kept aside, so that a winner of twice its length can still be confirmed."""


@dataclass(frozen=True, slots=True)
class OptimizeRequest:
    """What to optimize, with what, within which limits.

    Attributes:
        suite: the prompt and its fixtures; ``data`` the bytes of its file, ``format`` what read them.
        context: how the format reads other files, where the prompt refers to some.
        model: the scoring model's name, for the verdict and the report.
        policy: the gate's; the same as for a pull request.
        journals: folder for journals; one file per distinct request.
        task: what the prompt is for; default the file's own description, else the prompt's text.
    """

    suite: PromptSuite
    data: bytes
    format: Format
    scorer: Scorer
    metric: Metric
    model: str
    strategy: Strategy
    rewriters: tuple[Rewriter, ...]
    journals: Path
    budget: Budget = field(default_factory=Budget)
    policy: Policy = field(default_factory=Policy)
    task: str | None = None
    seed: int = 0
    tuning: Tuning = field(default_factory=Tuning)
    acceptance: Acceptance | None = None
    constraints: Constraints = field(default_factory=Constraints)
    context: ParseContext | None = None

    @property
    def digest(self) -> str:
        """Names the path this request takes: everything but the limits."""
        prompt, fixtures = self.suite.prompt, self.suite.fixtures
        return request_digest(
            (
                prompt.path,
                prompt.template_digest,
                fixtures,
                self.metric.info,
                [self.metric.continuations(fixture) for fixture in fixtures],
                self.scorer.fingerprint,
                (self.strategy.name, self.strategy.settings),
                [rewriter.name for rewriter in self.rewriters],
                (self.task, self.seed, self.tuning, self.acceptance, self.constraints),
            )
        )


def run(request: OptimizeRequest, listener: Listener | None = None) -> OptimizeResult:
    """Optimize a prompt. Ctrl-C, a used-up budget and a dying model end it with the best prompt so far.

    Raises:
        OptimizeError: too few fixtures, a journal that cannot be written or is in use.
        BudgetError: if not even the incumbent can be scored.
        FixtureError: a fixture the metric cannot measure.
        PmpoError: whatever scoring the incumbent raises.
    """
    _require_supported(request)
    splits = split(request.suite.fixtures, request.seed)
    name = f"{Path(request.suite.prompt.path).name}-{request.digest[:12]}.jsonl"
    journal = Journal(request.journals / name)
    try:
        return _Run(request, splits, journal, listener or Silent()).result()
    finally:
        journal.close()


def _require_supported(request: OptimizeRequest) -> None:
    for fixture in request.suite.fixtures:
        reason = request.metric.supports(fixture)
        if reason is not None:
            raise FixtureError(
                f"fixture {fixture.id!r} cannot be measured by {request.metric.info.name}: {reason}",
                location=fixture.location,
            )


class _Run:
    """The state of one run; lives as long as ``run``."""

    def __init__(self, request: OptimizeRequest, splits: Splits, journal: Journal, listener: Listener) -> None:
        self.request, self.splits, self.journal, self.listener = request, splits, journal, listener
        # a replay counts its rounds anew; what they cost is in the books already
        self.ledger = Ledger(request.budget, replace(journal.spent, rounds=0))
        self.evaluation = Evaluation(
            request.scorer,
            request.metric,
            self.ledger,
            journal,
            on_scored=lambda: listener.working(self.ledger.spent),
        )
        self.home = Home(request.data, request.format, request.suite.prompt, request.context)
        self.incumbent = Candidate(request.suite.prompt, "the prompt as it is")
        self.acceptance = request.acceptance or Acceptance(
            noise_floor=max(request.policy.noise_floor, Acceptance().noise_floor), hard_break=request.policy.hard_break
        )
        self.notes: list[str] = []
        self.rounds: list[Round] = []
        self.heldout: dict[str, float] = {}
        self.best = self.incumbent
        self.ending: tuple[Ending, str] = ("exhausted", "the strategy had nothing left to try")
        asking = Asking(
            self.ledger,
            journal,
            request.tuning.sampling,
            request.seed,
            on_written=lambda: listener.working(self.ledger.spent),
        )
        self.study = Study(
            self.incumbent,
            splits,
            self.evaluation,
            request.rewriters,
            asking,
            task=request.task or _task(request.suite),
            seed=request.seed,
            tuning=request.tuning,
            acceptance=self.acceptance,
            constraints=request.constraints,
            writable=self.home.unwritable,
            disabled=self._disabled,
        )

    def result(self) -> OptimizeResult:
        self._announce()
        before = self._measure(self.incumbent)
        self.ledger.reserved_forward = self._reserve()
        self._row(Step(self.incumbent, False, self.incumbent.origin))
        steps = self.request.strategy.rounds(self.study)
        try:
            self._work(steps)
        except KeyboardInterrupt:
            self.ending = ("interrupted", "stopped by Ctrl-C; the same command goes on from here")
        except BudgetError as error:
            self.ending = ("budget", str(error))
        except (RewriterError, BackendError) as error:
            self.ending = ("failed", str(error))
        result = self._conclude(before)
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
                first_tokens=0 if known else self.evaluation.cost([request.suite.prompt], fixtures),
                resumed=len({prompt for prompt, _ in self.journal.scores}),
                notes=tuple(self.notes),
            )
        )

    def _work(self, steps: Iterator[Step]) -> None:
        for number in range(1, self.request.budget.rounds + 1):
            step = next(steps, None)
            if step is None:
                return
            self.ledger.next_round()
            self._row(step, number)
        self.ending = ("rounds", f"{self.request.budget.rounds} rounds are done")

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
        parts = (self.splits.train, self.splits.selection, self.splits.heldout)
        return Measured(*(self.evaluation.score([candidate.prompt], p, from_reserve=True)[0] for p in parts))

    def _reserve(self) -> int:
        if self.request.budget.forward_tokens is None:
            return 0
        return RESERVE * self.evaluation.cost([self.incumbent.prompt], self.splits.heldout)

    def _disabled(self, name: str, reason: str) -> None:
        text = f"rewriter {name} failed and is left out: {reason}"
        self.notes.append(text)
        self.listener.noted(text)

    def _conclude(self, before: Measured) -> OptimizeResult:
        request = self.request
        verdict, won, reason = self._confirm(before)
        after = self._measure(self.best)  # every part is known by now: this only looks it up
        return OptimizeResult(
            path=request.suite.prompt.path,
            strategy=request.strategy.name,
            rewriters=tuple(rewriter.name for rewriter in request.rewriters),
            model=request.model,
            metric=request.metric.info,
            incumbent=self.incumbent,
            winner=self.best,
            won=won,
            reason=reason,
            ending=self.ending[0],
            ending_reason=self.ending[1],
            rounds=tuple(self.rounds),
            before=before,
            after=after,
            verdict=verdict,
            masks=(self.study.measured_masks(self.incumbent.digest), self._winner_masks(won)),
            splits=self.splits.ids,
            spent=self.ledger.spent,
            limits=str(request.budget),
            base_data=request.data,
            data=self.home.write(self.best.prompt) if won else None,
            dropped=dict(self.study.dropped),
            scored=self.evaluation.prompts_scored,
            notes=tuple(self.notes),
            token_texts=self.evaluation.answer_tokens(self.best.prompt, self.splits.heldout) if verdict else {},
        )

    def _confirm(self, before: Measured) -> tuple[Verdict | None, bool, str]:
        """The gate of a pull request, on fixtures no strategy has seen."""
        if self.best.digest == self.incumbent.digest:
            return None, False, "no candidate was better than the prompt as it is, beyond the noise"
        after = self._measure(self.best)
        verdict = decide(after.heldout, before.heldout, self.request.policy, model=self.request.model)
        if verdict.status == "improved":
            return verdict, True, f"confirmed on held-out fixtures: {verdict.reason}"
        return verdict, False, f"not confirmed on held-out fixtures ({verdict.status}): {verdict.reason}"

    def _winner_masks(self, won: bool) -> MaskTable | None:
        """What the parts of the new prompt are worth, if that can still be afforded."""
        known = self.study.measured_masks(self.best.digest)
        if known is not None or not won or self.ending[0] in ("interrupted", "failed"):
            return known
        try:
            return self.study.masks(self.best)
        except (BudgetError, KeyboardInterrupt):
            return None


def _task(suite: PromptSuite) -> str:
    """What the prompt is for: its file's description, else its own instructions."""
    described = suite.prompt.metadata.get("description")
    if isinstance(described, str) and described.strip():
        return described.strip()
    return "\n\n".join(message.text.strip() for message in suite.prompt.messages if message.role != "assistant")
