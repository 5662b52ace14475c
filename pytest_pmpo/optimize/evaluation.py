"""Losses of candidates: looked up in the journal, else bought within the budget and journalled at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from pytest_pmpo.errors import EncodingError, TemplateError
from pytest_pmpo.optimize.budget import Ledger
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.prompts.render import render
from pytest_pmpo.scoring.encode import encode_context, encode_target
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.records import EncodedSequence, FixtureScore, PromptScore, distinct_tokens
from pytest_pmpo.scoring.scorer import Scorer

AT_RISK_SECONDS = 20.0
"""Work a kill may undo: candidates share a forward call (and so every common prefix) as far as it takes this long."""

MAX_TOGETHER = 16
FIRST_TOGETHER = 4
"""Prompts in the first call, when the machine's speed is not known yet."""


class Evaluation:
    """Scores candidates of one request.

    Args:
        clock: seconds, monotonic.
        on_scored: called after every call to the model, for the live view.
    """

    def __init__(
        self,
        scorer: Scorer,
        metric: Metric,
        ledger: Ledger,
        journal: Journal,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_scored: Callable[[], None] = lambda: None,
    ) -> None:
        self.metric = metric
        self.scorer = scorer
        self._ledger = ledger
        self._journal = journal
        self._clock = clock
        self._on_scored = on_scored
        self._table: dict[tuple[str, str], FixtureScore] = {}
        self._encoded: dict[tuple[str, str], tuple[EncodedSequence, ...]] = {}
        self._per_prompt: float | None = None

    @property
    def prompts_scored(self) -> int:
        """Distinct prompts looked at in this run, whether paid for now or in a run before it."""
        return len({digest for digest, _ in self._table})

    def known(self, prompt: Prompt, fixtures: Sequence[Fixture]) -> bool:
        """Whether this run has looked at all of these losses already."""
        return all((prompt.template_digest, fixture.id) in self._table for fixture in fixtures)

    def unusable(self, prompt: Prompt, fixtures: Sequence[Fixture]) -> str | None:
        """Why a candidate cannot be scored at all (it does not render, or is too long for the model), or None.

        A prompt the journal knows was usable; so a replay does not open the model.
        """
        if all((prompt.template_digest, fixture.id) in self._journal.scores for fixture in fixtures):
            return None
        try:
            for fixture in fixtures:
                self._encode(prompt, fixture)
        except TemplateError:
            return "does not render"
        except EncodingError:
            return "too long for the model, or its last token merges with the answer"
        return None

    def score(
        self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture], *, from_reserve: bool = False
    ) -> list[PromptScore]:
        """Every prompt over the fixtures, in order; only what no one has paid for yet is computed.

        Raises:
            BudgetError: before a forward call that does not fit; what was scored before it is kept.
            PmpoError: whatever the scorer raises.
        """
        distinct = {prompt.template_digest: prompt for prompt in prompts}
        for missing, wanting in self._missing(list(distinct.values()), fixtures):
            for part in self._parts(missing):
                self._buy(part, wanting, from_reserve)
        return [self._assemble(prompt, fixtures) for prompt in prompts]

    def losses(self, score: PromptScore) -> tuple[float, ...]:
        """Per-fixture values turned so that lower is better."""
        sign = 1.0 if score.metric.direction == "lower" else -1.0
        return tuple(sign * fixture.value for fixture in score.fixtures)

    def cost(self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture]) -> int:
        """Forward tokens that one call over these prompts and fixtures takes when nothing is cached."""
        return distinct_tokens(
            [sequence for prompt in prompts for fixture in fixtures for sequence in self._encode(prompt, fixture)]
        )

    def count_tokens(self, text: str) -> int:
        """Tokens of a piece of prompt text."""
        return len(self.scorer.backend.tokenizer.encode(text, special_tokens=False))

    def answer_tokens(self, prompt: Prompt, fixtures: Sequence[Fixture]) -> dict[str, tuple[str, ...]]:
        """The first answer of each fixture, token by token as text; nothing where the model is not open."""
        decode = getattr(self.scorer.backend.tokenizer, "decode", None) if self.scorer.opened else None
        if decode is None:
            return {}
        first = {fixture.id: self._encode(prompt, fixture)[0] for fixture in fixtures}
        return {name: tuple(decode([t]) for t in s.tokens[s.target_start :]) for name, s in first.items()}

    def _missing(
        self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture]
    ) -> Iterator[tuple[list[Prompt], tuple[Fixture, ...]]]:
        """Prompts grouped by the fixtures they lack, so that each group is one rectangle for the scorer."""
        groups: dict[tuple[str, ...], list[Prompt]] = {}
        for prompt in prompts:
            digest = prompt.template_digest
            lacking = tuple(f.id for f in fixtures if not self._known(digest, f))
            if lacking:
                groups.setdefault(lacking, []).append(prompt)
        for ids, members in groups.items():
            yield members, tuple(fixture for fixture in fixtures if fixture.id in ids)

    def _known(self, digest: str, fixture: Fixture) -> bool:
        key = (digest, fixture.id)
        if key not in self._table and key in self._journal.scores:
            scores = self._journal.scores[key]
            measured = self.metric.measure(fixture, scores)
            self._table[key] = FixtureScore(
                fixture.id, measured, fixture.group, fixture.weight, scores, fixture.location
            )
        return key in self._table

    def _parts(self, prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
        rest = list(prompts)
        while rest:
            together = FIRST_TOGETHER
            if self._per_prompt is not None:
                together = int(AT_RISK_SECONDS / max(self._per_prompt, 1e-9))
            together = max(1, min(together, MAX_TOGETHER))
            yield rest[:together]
            rest = rest[together:]

    def _buy(self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture], from_reserve: bool) -> None:
        self._ledger.require_forward(self.cost(prompts, fixtures), from_reserve=from_reserve)
        spent, cached, began = self.scorer.tokens_spent, self.scorer.tokens_cached, self._clock()
        results = self.scorer.score(prompts, fixtures, self.metric)
        seconds = self._clock() - began
        self._ledger.pay_forward(self.scorer.tokens_spent - spent, self.scorer.tokens_cached - cached, seconds)
        self._per_prompt = seconds / len(prompts)
        for prompt, result in zip(prompts, results, strict=True):
            digest = prompt.template_digest
            scores = {fixture.fixture_id: fixture.scores for fixture in result.fixtures}
            self._journal.record_score(digest, scores, self._ledger.spent)
            for fixture in result.fixtures:
                self._table[digest, fixture.fixture_id] = fixture
                self._encoded.pop((digest, fixture.fixture_id), None)
        self._on_scored()

    def _encode(self, prompt: Prompt, fixture: Fixture) -> tuple[EncodedSequence, ...]:
        key = (prompt.template_digest, fixture.id)
        if key not in self._encoded:
            backend = self.scorer.backend
            context = encode_context(backend.tokenizer, render(prompt, fixture), location=fixture.location)
            self._encoded[key] = tuple(
                encode_target(
                    backend.tokenizer,
                    context,
                    continuation,
                    label=f"fixture {fixture.id!r}",
                    location=fixture.location,
                    context_length=backend.context_length,
                )
                for continuation in self.metric.continuations(fixture)
            )
        return self._encoded[key]

    def _assemble(self, prompt: Prompt, fixtures: Sequence[Fixture]) -> PromptScore:
        digest = prompt.template_digest
        rows = tuple(self._table[digest, fixture.id] for fixture in fixtures)
        return PromptScore(prompt.path, self.metric.info, rows)
