"""What a strategy may use: the incumbent, the fixtures it may see, losses, proposals; nothing of the held-out part."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from pytest_pmpo.errors import OptimizeError, RewriterError
from pytest_pmpo.optimize import demos, masking, shots, tagging
from pytest_pmpo.optimize.constraints import Constraints, copied
from pytest_pmpo.optimize.evaluation import Evaluation
from pytest_pmpo.optimize.hard_cases import HardCase, hardest
from pytest_pmpo.optimize.masking import MaskTable
from pytest_pmpo.optimize.objective import FixedObjective, Objective
from pytest_pmpo.optimize.pages import page
from pytest_pmpo.optimize.records import Candidate
from pytest_pmpo.optimize.rewriters.base import Ask, Proposal, Rejection, Reply, Rewriter, View
from pytest_pmpo.optimize.rewriters.language import WRITER_WANTED, LanguageRewriter
from pytest_pmpo.optimize.selection import Acceptance
from pytest_pmpo.optimize.splits import Splits
from pytest_pmpo.optimize.tuning import Tuning as Tuning
from pytest_pmpo.optimize.units import Unit, segment
from pytest_pmpo.prompts.model import Fixture, Prompt, Turn

Part = Literal["train", "selection", "development"]
"""Fixtures a strategy may ask for; ``development`` is train and selection together. Held-out is not among them."""


class Study:
    """One optimization, as its strategy sees it.

    Args:
        takes_turns: whether the prompt's file can hold few-shot turns.
        writable: None if the prompt can be written back into its file, else why not (the candidate is dropped).
        disabled: called with a rewriter's name and reason when it fails and others go on without it.
    """

    def __init__(
        self,
        incumbent: Candidate,
        splits: Splits,
        evaluation: Evaluation,
        rewriters: Sequence[Rewriter],
        ask: Ask,
        *,
        task: str,
        seed: int = 0,
        tuning: Tuning | None = None,
        acceptance: Acceptance | None = None,
        constraints: Constraints | None = None,
        objective: Objective | None = None,
        takes_turns: bool = False,
        writable: Callable[[Prompt], str | None] = lambda _: None,
        disabled: Callable[[str, str], None] = lambda name, reason: None,
    ) -> None:
        self.incumbent = incumbent
        self.task = task
        self.seed = seed
        self.rng = random.Random(seed)
        self.tuning = tuning or Tuning()
        self.acceptance = acceptance or Acceptance()
        self.constraints = constraints or Constraints()
        self.dropped: Counter[str] = Counter()
        self.duplicates = 0
        self.known: dict[str, Candidate] = {incumbent.digest: incumbent}
        self._splits = splits
        self._evaluation = evaluation
        self._objective = objective or FixedObjective(evaluation, splits.heldout, splits.development)
        self._ask = ask
        self._rewriters = list(rewriters)
        self._takes_turns = takes_turns
        self._writable = writable
        self._disabled = disabled
        self._masks: dict[str, MaskTable] = {}
        self._refused: set[str] = set()

    @property
    def unit(self) -> str:
        """Unit of the losses."""
        return self._evaluation.metric.info.unit

    @property
    def version(self) -> int:
        """Grows whenever losses measured before are out of date: the response bank they come from has grown."""
        return self._objective.version

    def vouch(self, candidate: Candidate) -> bool:
        """Whether the candidate's development losses can be defended. A response bank takes fresh responses from it
        first, which changes what every prompt is estimated at; one it still does not cover is counted as dropped."""
        defended = self._objective.vouch(candidate.prompt, self._splits.development)
        if not defended:
            self.dropped["not covered by the response bank"] += 1
        return defended

    def fixtures(self, part: Part) -> tuple[Fixture, ...]:
        """The fixtures of a part, in order."""
        if part == "train":
            return self._splits.train
        return self._splits.selection if part == "selection" else self._splits.development

    def losses(self, candidates: Sequence[Candidate], part: Part) -> list[tuple[float, ...]]:
        """Per-fixture losses of each candidate, lower is better; what is known already costs nothing."""
        scores = self._evaluation.score([c.prompt for c in candidates], self.fixtures(part))
        return [self._evaluation.losses(score) for score in scores]

    def known_on(self, candidate: Candidate, part: Part) -> bool:
        """Whether the candidate's losses on a part are known already, so that asking for them costs nothing."""
        return self._evaluation.known(candidate.prompt, self.fixtures(part))

    def losses_on(self, candidates: Sequence[Candidate], fixtures: Sequence[Fixture]) -> list[tuple[float, ...]]:
        """Losses on some of the development fixtures; anything else is refused."""
        allowed = {fixture.id for fixture in self._splits.development}
        if not {fixture.id for fixture in fixtures} <= allowed:
            raise ValueError("a strategy may only look at train and selection fixtures")
        scores = self._evaluation.score([c.prompt for c in candidates], fixtures)
        return [self._evaluation.losses(score) for score in scores]

    def means(self, candidates: Sequence[Candidate], part: Part, without: Sequence[str] = ()) -> list[float]:
        """Weighted mean losses; fixtures named in ``without`` are left out unless none would be left."""
        fixtures = self.fixtures(part)
        kept = [i for i, f in enumerate(fixtures) if f.id not in without] or list(range(len(fixtures)))
        total = sum(fixtures[i].weight for i in kept)
        return [sum(fixtures[i].weight * row[i] for i in kept) / total for row in self.losses(candidates, part)]

    def answer_losses(self, candidate: Candidate, part: Part) -> list[float | None]:
        """Nats per token of each fixture's right answer, where the metric has one."""
        (score,) = self._evaluation.score([candidate.prompt], self.fixtures(part))
        return [f.measurement.nll_per_token for f in score.fixtures]

    def weights(self, part: Part) -> list[float]:
        """Fixture weights of a part."""
        return [fixture.weight for fixture in self.fixtures(part)]

    def masks(self, candidate: Candidate, part: Part = "train") -> MaskTable:
        """The candidate's mask table over a part's fixtures; measured once."""
        if candidate.digest not in self._masks:
            self._masks[candidate.digest] = masking.measure(
                candidate.prompt,
                self._units(candidate.prompt),
                lambda prompts: self.means([Candidate(p, "mask") for p in prompts], part),
                self._evaluation.count_tokens,
                with_deletion=self.tuning.deletion,
                keep=lambda p: self._evaluation.unusable(p, self.fixtures(part)) is None,
            )
        return self._masks[candidate.digest]

    def _units(self, prompt: Prompt) -> tuple[Unit, ...]:
        """By structure, or as a language model marks them (by structure where it marks nothing usable)."""
        limit = self.tuning.max_units
        if self.tuning.segmenter == "model":
            sheet = page(prompt, "whole")
            question = tagging.question(prompt, limit, self.language.overrides)
            if sheet is not None and question is not None:
                ((reply,),) = self._ask(self.language.writer, [question], 1)
                units = tagging.read(prompt, reply.text, limit)
                if units:
                    return units
                self.dropped["the model marked no usable units"] += 1
        return segment(prompt, limit)

    def measured_masks(self, digest: str) -> MaskTable | None:
        """A table that was measured, if it was."""
        return self._masks.get(digest)

    def view(
        self, parent: Candidate, *, part: Part = "train", rejected: int = 0, hard: bool = True, masks: bool = True
    ) -> View:
        """What rewriters are told of ``parent``. Without the hard-case module cases are drawn at random; without the
        mask module there is no mask table."""
        train = self.fixtures(part)
        (losses,) = self.losses([parent], part)
        # an example in the prompt is answered by copying it: it is not a case to learn from
        open_cases = [(f, loss) for f, loss in zip(train, losses, strict=True) if f.id not in parent.demos]
        cases = open_cases or list(zip(train, losses, strict=True))
        if hard:
            chosen = hardest([f for f, _ in cases], [loss for _, loss in cases], self.tuning.hard_cases, rejected)
        else:
            drawn = self.rng.sample(cases, min(self.tuning.hard_cases, len(cases)))
            chosen = tuple(HardCase(fixture, loss) for fixture, loss in drawn)
        return View(
            parent=parent,
            task=self.task,
            hard=chosen,
            masks=self.masks(parent, part) if masks else None,
            train=train,
            losses=losses,
            rejected=rejected,
            rng=self.rng,
            unit=self.unit,
            takes_turns=self._takes_turns,
        )

    def propose(self, view: View) -> list[Candidate]:
        """New candidates from every rewriter, the same prompt never twice in a run.

        Raises:
            RewriterError: if every rewriter has failed; while one is left, failures are noted and it goes on.
        """
        found: list[Candidate] = []
        for rewriter in list(self._rewriters):
            count = self.tuning.variants if isinstance(rewriter, LanguageRewriter) else self.tuning.edits
            try:
                proposals = rewriter.propose(view, self._ask, count)
            except RewriterError as error:
                self._rewriters.remove(rewriter)
                if not self._rewriters:
                    raise
                self._disabled(rewriter.name, error.sentence())
                continue
            found += [c for c in (self._admit(view.parent, p) for p in proposals) if c is not None]
        return found

    def _admit(self, parent: Candidate, proposal: Proposal | Rejection) -> Candidate | None:
        if isinstance(proposal, Rejection):
            self.dropped[proposal.reason] += 1
            return None
        return self.admit(proposal.prompt, proposal.origin, parent=parent)

    def admit(self, prompt: Prompt, origin: str, *, parent: Candidate | None = None) -> Candidate | None:
        """The prompt as a candidate, or None if it is known or breaks a constraint; either is counted."""
        if prompt.template_digest in self.known or prompt.template_digest in self._refused:
            self.duplicates += 1
            return None
        reason = (
            self.constraints.broken(self.incumbent.prompt, prompt)
            or self._writable(prompt)
            or self._evaluation.unusable(prompt, self._splits.development, self._splits.heldout)
        )
        if reason is not None:
            self._refused.add(prompt.template_digest)
            self.dropped[reason] += 1
            return None
        train = self._splits.train
        quoted = (*demos.quoted(prompt, train), *shots.quoted(prompt, train))
        candidate = Candidate(
            prompt,
            origin,
            None if parent is None else parent.digest,
            quoted,
            copied(self.incumbent.prompt, prompt, (*self._splits.development, *self._splits.heldout), quoted),
        )
        self.known[candidate.digest] = candidate
        return candidate

    @property
    def language(self) -> LanguageRewriter:
        """The first rewriter that is a language model.

        Raises:
            OptimizeError: for a strategy that cannot do without one.
        """
        for rewriter in self._rewriters:
            if isinstance(rewriter, LanguageRewriter):
                return rewriter
        raise OptimizeError(
            "this strategy asks a language model for prompts, and no rewriter is one",
            hint=WRITER_WANTED,
        )

    def ask_writer(self, questions: Sequence[Sequence[Turn]], samples: int) -> list[tuple[Reply, ...]]:
        """Raw answers of the language rewriter's writer, journalled and within the budget."""
        return self._ask(self.language.writer, questions, samples)

    def write(
        self, parent: Candidate, questions: Sequence[Sequence[Turn]], samples: int, origin: str
    ) -> list[list[Candidate]]:
        """Ask the language rewriter's writer, and read each answer as a new version of ``parent``."""
        return self.write_each([(parent, question) for question in questions], samples, origin)

    def write_each(
        self, asked: Sequence[tuple[Candidate, Sequence[Turn]]], samples: int, origin: str
    ) -> list[list[Candidate]]:
        """The same for questions about several parents, which are answered together."""
        rewriter = self.language
        result: list[list[Candidate]] = [[] for _ in asked]
        editable = [
            (number, parent, sheet, question)
            for number, (parent, question) in enumerate(asked)
            if (sheet := page(parent.prompt, rewriter.scope)) is not None
        ]
        answers = self._ask(rewriter.writer, [question for *_, question in editable], samples) if editable else ()
        for (number, parent, sheet, _), replies in zip(editable, answers, strict=True):
            read = [rewriter.read(sheet, reply, origin) for reply in replies]
            result[number] = [c for c in (self._admit(parent, p) for p in read) if c is not None]
        return result
