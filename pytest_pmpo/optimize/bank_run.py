"""A response bank as the objective: estimated accuracy, and fresh responses from every prompt about to be accepted.

A bank says little about a prompt whose answers it does not hold, and an optimizer looks for exactly the prompts about
which its objective is wrong. So a prompt is not accepted on the bank's word alone: a few responses to every train and
selection fixture are sampled from it first, graded, and its estimate is made again with them. The bank keeps them, for
every later round and run. The held-out check does the same on its own fixtures, for the old prompt and the new one.

Responses are on disk, in a bank file beside the journal, before they are used; the journal names the batches that are
complete. A resumed run asks for the same batches and finds them.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

from pytest_pmpo.errors import BudgetError
from pytest_pmpo.optimize.bank_objective import BankObjective, PartedBank, uncovered
from pytest_pmpo.optimize.budget import Ledger
from pytest_pmpo.optimize.evaluation import Evaluation, Wanted
from pytest_pmpo.optimize.objective import Part
from pytest_pmpo.optimize.splits import Splits
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.responses.bank import replace_all
from pytest_pmpo.responses.build import Writer, fill, load
from pytest_pmpo.responses.demands import Demand, demands
from pytest_pmpo.responses.records import Proposal, Response
from pytest_pmpo.responses.regrade import grade_bank
from pytest_pmpo.responses.weigh import WeighedBank, weigh
from pytest_pmpo.scoring.backends.base import Generator, SamplingSettings
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.response_bank import WEIGHT_LIMIT
from pytest_pmpo.scoring.records import Continuation, PromptScore

RESERVE = 5
"""Held-out passes of the incumbent to keep aside: the old and the new prompt, and the new one as a proposal, over a
bank that grows by the responses of both."""


class BankRun:
    """The bank of one run. See ``Objective``.

    Args:
        file: where fresh responses are kept.
        anchors: prompts whose losses must stay known whatever the bank becomes: the incumbent, the best so far.
    """

    def __init__(
        self,
        wanted: BankObjective,
        splits: Splits,
        evaluation: Evaluation,
        ledger: Ledger,
        journal: Journal,
        file: Path,
        seed: int,
        anchors: Callable[[], Sequence[Prompt]],
    ) -> None:
        self.bank = wanted.bank
        self.version = 0
        self._wanted, self._splits, self._evaluation = wanted, splits, evaluation
        self._ledger, self._journal, self._file, self._seed = ledger, journal, file, seed
        self._anchors = anchors
        self._incumbent: Prompt | None = None
        self._metrics = PartedBank()
        self._said: dict[str, None] = {}

    @cached_property
    def _limit(self) -> int:
        """Most tokens of a fresh response."""
        return self._wanted.token_limit(self._evaluation.count_tokens)

    @property
    def notes(self) -> tuple[str, ...]:
        """What weighing had to say, what was drawn, what the budget did not buy."""
        added = self.bank.responses[len(self._wanted.bank.responses) :]
        graded = [row.grade for row in added if row.grade is not None]
        if not graded:
            return tuple(self._said)
        right = math.fsum(graded) / len(graded)
        return (*self._said, f"{len(added)} responses were sampled for the bank, {100 * right:.0f} % of them right")

    def plan(self, incumbent: Prompt) -> tuple[str, ...]:
        """What the objective is, and what a top-up may cost."""
        each, responses = self._wanted.per_fixture, len(self._wanted.bank.responses)
        most = each * len(self._splits.development) * self._limit
        return (
            f"objective: accuracy estimated from {responses:,} graded responses; every prompt about to be accepted "
            f"adds {each} to each fixture it is judged on (at most {most:,} tokens a time)",
        )

    def first_cost(self, incumbent: Prompt) -> int:
        """The incumbent and every proposal over all responses."""
        fixtures = (*self._splits.development, *self._splits.heldout)
        usable = self._wanted.usable(fixtures, incumbent)
        texts = {
            name: tuple(dict.fromkeys(Continuation(row.text, row.finished) for row in rows))
            for name, rows in usable.items()
        }
        return self._evaluation.cost(list(self._wanted.prompts(incumbent).values()), fixtures, Wanted(texts))

    def reserve(self, incumbent: Prompt) -> tuple[int, int]:
        """Held-out passes, and the winner's own held-out responses; never more than half of what may be generated."""
        heldout = self._splits.heldout
        tokens = self._each("", heldout) * len(heldout) * self._limit  # of a prompt nobody has sampled
        left = self._ledger.top_up_left()
        return RESERVE * self._evaluation.cost([incumbent], heldout), tokens if left is None else min(tokens, left // 2)

    def start(self, incumbent: Prompt) -> None:
        """Weigh the bank; sample from the incumbent where the bank does not hold enough of its own responses."""
        self._incumbent = incumbent
        parts = {"train and selection": self._splits.development, "held-out": self._splits.heldout}
        for name, part in parts.items():
            weighed = self._weigh(part, from_reserve=True)
            self._metrics = self._metrics.joined(part, weighed.metric)
            self._said |= dict.fromkeys(f"{name}: {note.message}" for note in weighed.notes)
        self._evaluation.use(self._metrics)
        self.vouch(incumbent, self._splits.development)

    def vouch(self, prompt: Prompt, fixtures: Part, *, from_reserve: bool = False) -> bool:
        """Fresh responses from the prompt, as far as the budget goes; then whether the bank covers it."""
        before = self.bank
        try:
            if self._draw(prompt, fixtures, from_reserve):
                metrics = self._metrics.joined(fixtures, self._weigh(fixtures, from_reserve).metric)
                looked = [*self._anchors(), prompt]
                self._evaluation.score(looked, fixtures, metrics, from_reserve=from_reserve)
                self._metrics = metrics
                self._evaluation.use(metrics)
                self.version += 1
        except BaseException:
            self.bank = before  # what was drawn is on disk, and is found there when it is asked for again
            raise
        self._evaluation.score([prompt], fixtures, from_reserve=from_reserve)
        return self.defended(prompt, fixtures) is None

    def defended(self, prompt: Prompt, fixtures: Part) -> str | None:
        """The share that is covered, where that is too little."""
        [score] = self._evaluation.score([prompt], fixtures, from_reserve=True)
        return uncovered(score, self._wanted.minimum)

    def drawn(self) -> tuple[Proposal | Response, ...]:
        """What this run added, with the prompts it was drawn from."""
        responses = self.bank.responses[len(self._wanted.bank.responses) :]
        named = dict.fromkeys(row.proposal for row in responses)
        fresh = [p for digest, p in self.bank.proposals.items() if digest in named]
        return (*fresh, *responses)

    def _weigh(self, fixtures: Part, from_reserve: bool) -> WeighedBank:
        known = () if self._incumbent is None else (self._incumbent,)
        scores = _Booked(self._evaluation, from_reserve)
        names = {fixture.id for fixture in fixtures}
        part = replace(self.bank, responses=tuple(row for row in self.bank.responses if row.fixture in names))
        return weigh(part, fixtures, scores, model=self._wanted.model, known=known)

    def _draw(self, prompt: Prompt, fixtures: Part, from_reserve: bool) -> bool:
        """Responses from the prompt itself; whether there are new ones."""
        proposal = self.bank.proposals.get(prompt.template_digest, Proposal("optimize", prompt))
        wanted = demands(self.bank, fixtures, (proposal,), self._each(proposal.digest, fixtures), self._wanted.model)
        before = len(self.bank.responses)
        for batch in _batches(wanted, self._wanted.batch):
            key = _key(batch)
            if key not in self._journal.drawn and not self._sample(batch, key, from_reserve):
                break
            self._take(batch)
        return len(self.bank.responses) > before

    def _each(self, digest: str, fixtures: Part) -> int:
        """With m responses from a prompt beside N from others no weight exceeds (N + m) / m: enough to keep it below
        the limit. A prompt that has answered for itself so often is not asked again."""
        names = {fixture.id for fixture in fixtures}
        others = sum(row.fixture in names and row.proposal != digest for row in self.bank.responses)
        return max(self._wanted.per_fixture, math.ceil(others / max(1, len(names)) / (WEIGHT_LIMIT - 1)))

    def _sample(self, batch: Sequence[Demand], key: str, from_reserve: bool) -> bool:
        """One batch into the file and the books; False where the budget does not buy it or nobody can write."""
        on_disk = self._on_disk(batch)
        if on_disk:  # written by a run that was stopped before it could grade or book them
            self._grade_rest(on_disk)
            tokens = sum(self._evaluation.count_tokens(row.text) for row in on_disk)
            self._ledger.pay_top_up(tokens, 0.0)
            self._journal.record_drawn(key, self._ledger.spent)
            return True
        try:
            most = sum(demand.count for demand in batch) * self._limit
            self._ledger.require_top_up(most, from_reserve=from_reserve)
        except BudgetError as error:
            self._said[f"the bank was not topped up further: {error.message}"] = None
            return False
        writer = self._writer()
        if writer is None:
            return False
        began = time.monotonic()
        report = fill(self._file, self.bank, batch, writer)
        self._ledger.pay_top_up(report.tokens, time.monotonic() - began)
        self._journal.record_drawn(key, self._ledger.spent)
        self._said |= dict.fromkeys(note.message for note in report.notes)
        self._evaluation.on_work()
        return True

    def _grade_rest(self, rows: Sequence[Response]) -> None:
        """Grade what a run that was stopped, by Ctrl-C or by its grader, has left without a grade."""
        if all(row.grade is not None for row in rows):
            return
        fixtures = (*self._splits.development, *self._splits.heldout)
        done = grade_bank(load(self._file, self._file.name), fixtures, self._wanted.grader)
        if done.graded:
            replace_all(self._file, [*done.bank.proposals.values(), *done.bank.responses])
        if done.failure is not None:
            raise done.failure

    def _writer(self) -> Writer | None:
        backend = self._evaluation.scorer.backend
        if not hasattr(backend, "generate"):
            self._said[f"the bank cannot be topped up: this model cannot write ({backend.description})"] = None
            return None
        return Writer(
            cast(Generator, backend),
            backend.tokenizer,
            backend.context_length,
            self._wanted.model,
            self._wanted.grader,
            SamplingSettings(max_new_tokens=self._limit, seed=self._seed),
            batch=self._wanted.batch,
        )

    def _take(self, batch: Sequence[Demand]) -> None:
        """A batch that is on disk joins the bank."""
        proposals = {**self.bank.proposals, batch[0].proposal.digest: batch[0].proposal}
        self.bank = replace(self.bank, proposals=proposals, responses=(*self.bank.responses, *self._on_disk(batch)))

    def _on_disk(self, batch: Sequence[Demand]) -> tuple[Response, ...]:
        draws = {demand.fixture.id: range(demand.first, demand.first + demand.count) for demand in batch}
        digest = batch[0].proposal.digest
        return tuple(
            row
            for row in load(self._file, self._file.name).responses
            if row.proposal == digest and row.model == self._wanted.model and row.draw in draws.get(row.fixture, ())
        )


@dataclass(frozen=True, slots=True)
class _Booked:
    """Scores through the run's books and journal."""

    evaluation: Evaluation
    from_reserve: bool

    def score(self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture], metric: Metric) -> list[PromptScore]:
        return self.evaluation.score(prompts, fixtures, metric, from_reserve=self.from_reserve)


def _batches(wanted: Sequence[Demand], size: int) -> Iterator[list[Demand]]:
    """Demands of equal count together, the larger first: a generator draws equally many for each conversation."""
    for count in sorted({demand.count for demand in wanted}, reverse=True):
        alike = [demand for demand in wanted if demand.count == count]
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def _key(batch: Sequence[Demand]) -> str:
    rows = [(d.fixture.id, d.proposal.digest, d.count, d.first) for d in batch]
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()[:32]
