"""Losses of candidates: looked up in the journal, else bought within the budget and journalled at once.

What is bought are the losses of texts (a right answer, a banked response) under a prompt; what a fixture is worth is
measured from them by the metric, which may change during a run: a response bank that has grown asks for more texts, and
only those are bought.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from pytest_pmpo.errors import EncodingError, TemplateError
from pytest_pmpo.optimize.budget import Ledger
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.prompts.render import render
from pytest_pmpo.scoring.encode import EncodedContext, encode_context, encode_target
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.records import (
    Continuation,
    EncodedSequence,
    FixtureScore,
    Measurement,
    MetricInfo,
    PromptScore,
    TargetScore,
    distinct_tokens,
)
from pytest_pmpo.scoring.scorer import Scorer

AT_RISK_SECONDS = 20.0
"""Work a kill may undo: candidates share a forward call (and so every common prefix) as far as it takes this long."""

MAX_TOGETHER = 16
FIRST_TOGETHER = 4
"""Prompts in the first call, when the machine's speed is not known yet."""

MOST_ENCODED = 20_000
"""Sequences whose tokens are kept between checking that a candidate fits and scoring it."""

Texts = tuple[Continuation, ...]


def text_key(text: Continuation) -> str:
    """Names a text in the journal."""
    state = hashlib.blake2b(text.text.encode("utf-8", "surrogatepass"), digest_size=9)
    return state.hexdigest() + ("." if text.end_of_turn else "")


class Evaluation:
    """Scores candidates of one request.

    Args:
        metric: what losses are measured by; may be replaced while the run goes on (``use``).
        clock: seconds, monotonic.
        on_work: called after every call to the model, for the live view.
    """

    def __init__(
        self,
        scorer: Scorer,
        metric: Metric,
        ledger: Ledger,
        journal: Journal,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_work: Callable[[], None] = lambda: None,
    ) -> None:
        self.metric = metric
        self.scorer = scorer
        self._ledger = ledger
        self._journal = journal
        self._clock = clock
        self.on_work = on_work
        self._table: dict[tuple[str, str], FixtureScore] = {}
        self._looked: set[tuple[str, str]] = set()
        self._contexts: dict[tuple[str, str], EncodedContext] = {}
        self._encoded: dict[tuple[str, str, str], EncodedSequence] = {}
        self._per_prompt: float | None = None

    @property
    def prompts_scored(self) -> int:
        """Distinct prompts looked at in this run, whether paid for now or in a run before it."""
        return len({digest for digest, _ in self._looked})

    def use(self, metric: Metric) -> None:
        """Measure by another metric from now on; losses of texts that are known stay known."""
        self.metric = metric
        self._table.clear()

    def known(self, prompt: Prompt, fixtures: Sequence[Fixture]) -> bool:
        """Whether this run has looked at all of these losses already."""
        return all((prompt.template_digest, fixture.id) in self._looked for fixture in fixtures)

    def journalled(self, prompt: Prompt, fixtures: Sequence[Fixture]) -> bool:
        """Whether all of these losses are paid for, so that asking for them opens no model."""
        return not any(self._lacking(prompt, fixture, self.metric) for fixture in fixtures)

    def unusable(self, prompt: Prompt, fixtures: Sequence[Fixture], later: Sequence[Fixture] = ()) -> str | None:
        """Why a candidate cannot be scored at all (it does not render, or is too long for the model), or None.

        A prompt the journal knows was usable; so a replay does not open the model.

        Args:
            later: fixtures it is scored on only if it is accepted: of their texts the longest is tried, and those
                that might not fit (a bank holds hundreds, and most candidates never meet them).
        """
        if self.journalled(prompt, fixtures):
            return None
        if len(self._encoded) > MOST_ENCODED:
            self._encoded.clear()
            self._contexts.clear()
        try:
            for fixture in fixtures:
                self._encode(prompt, fixture, self.metric.continuations(fixture))
            for fixture in later:
                for text in self._at_risk(prompt, fixture):
                    self._encode_one(prompt, fixture, text)
        except TemplateError:
            return "does not render"
        except EncodingError:
            return "too long for the model, or its last token merges with the answer"
        return None

    def score(
        self,
        prompts: Sequence[Prompt],
        fixtures: Sequence[Fixture],
        metric: Metric | None = None,
        *,
        from_reserve: bool = False,
    ) -> list[PromptScore]:
        """Every prompt over the fixtures, in order; only what no one has paid for yet is computed.

        Args:
            metric: another than the current one, for a look ahead; what it buys is kept.

        Raises:
            BudgetError: before a forward call that does not fit; what was scored before it is kept.
            PmpoError: whatever the scorer raises.
        """
        used = metric or self.metric
        distinct = {prompt.template_digest: prompt for prompt in prompts}
        for missing, wanting in self._missing(list(distinct.values()), fixtures, used):
            for part in self._parts(missing):
                self._buy(part, wanting, from_reserve)
                if used is self.metric:
                    self._looked |= {(prompt.template_digest, fixture.id) for prompt in part for fixture, _ in wanting}
        return [PromptScore(p.path, used.info, tuple(self._row(p, f, used) for f in fixtures)) for p in prompts]

    def losses(self, score: PromptScore) -> tuple[float, ...]:
        """Per-fixture values turned so that lower is better."""
        sign = 1.0 if score.metric.direction == "lower" else -1.0
        return tuple(sign * fixture.value for fixture in score.fixtures)

    def cost(self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture], metric: Metric | None = None) -> int:
        """Forward tokens that one call over these prompts and fixtures takes when nothing is cached."""
        return self._cost(prompts, [(fixture, (metric or self.metric).continuations(fixture)) for fixture in fixtures])

    def count_tokens(self, text: str) -> int:
        """Tokens of a piece of prompt text."""
        return len(self.scorer.backend.tokenizer.encode(text, special_tokens=False))

    def answer_tokens(self, prompt: Prompt, fixtures: Sequence[Fixture]) -> dict[str, tuple[str, ...]]:
        """The right answer of each fixture, token by token as text; nothing where the model is not open, or where the
        metric's texts are responses, which need not be right."""
        return self.scorer.answer_texts(prompt, fixtures, self.metric) if self.metric.info.proxy else {}

    def _missing(
        self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture], metric: Metric
    ) -> Iterator[tuple[list[Prompt], list[tuple[Fixture, Texts]]]]:
        """Prompts grouped by the texts they lack, so that each group is one rectangle for the scorer."""
        groups: dict[tuple[tuple[str, Texts], ...], list[Prompt]] = {}
        for prompt in prompts:
            lacking = [(fixture.id, self._lacking(prompt, fixture, metric)) for fixture in fixtures]
            key = tuple((name, texts) for name, texts in lacking if texts)
            if key:
                groups.setdefault(key, []).append(prompt)
        by_id = {fixture.id: fixture for fixture in fixtures}
        for wanted, members in groups.items():
            yield members, [(by_id[name], texts) for name, texts in wanted]

    def _lacking(self, prompt: Prompt, fixture: Fixture, metric: Metric) -> Texts:
        known = self._journal.scores.get((prompt.template_digest, fixture.id), {})
        return tuple(text for text in metric.continuations(fixture) if text_key(text) not in known)

    def _row(self, prompt: Prompt, fixture: Fixture, metric: Metric) -> FixtureScore:
        key = (prompt.template_digest, fixture.id)
        if metric is self.metric:
            self._looked.add(key)
            if key in self._table:
                return self._table[key]
        known = self._journal.scores[key]
        scores = tuple(known[text_key(text)] for text in metric.continuations(fixture))
        measured = metric.measure(fixture, scores)
        row = FixtureScore(fixture.id, measured, fixture.group, fixture.weight, scores, fixture.location)
        if metric is self.metric:
            self._table[key] = row
        return row

    def _parts(self, prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
        rest = list(prompts)
        while rest:
            together = FIRST_TOGETHER
            if self._per_prompt is not None:
                together = int(AT_RISK_SECONDS / max(self._per_prompt, 1e-9))
            together = max(1, min(together, MAX_TOGETHER))
            yield rest[:together]
            rest = rest[together:]

    def _buy(self, prompts: Sequence[Prompt], wanting: Sequence[tuple[Fixture, Texts]], from_reserve: bool) -> None:
        self._ledger.require_forward(self._cost(prompts, wanting), from_reserve=from_reserve)
        texts = {fixture.id: wanted for fixture, wanted in wanting}
        fixtures = [fixture for fixture, _ in wanting]
        spent, cached, began = self.scorer.tokens_spent, self.scorer.tokens_cached, self._clock()
        results = self.scorer.score(prompts, fixtures, Wanted(texts))
        seconds = self._clock() - began
        self._ledger.pay_forward(self.scorer.tokens_spent - spent, self.scorer.tokens_cached - cached, seconds)
        self._per_prompt = seconds / len(prompts)
        for prompt, result in zip(prompts, results, strict=True):
            scores = {
                row.fixture_id: dict(zip(map(text_key, texts[row.fixture_id]), row.scores, strict=True))
                for row in result.fixtures
            }
            self._journal.record_score(prompt.template_digest, scores, self._ledger.spent)
            self._forget(prompt, wanting)
        self.on_work()

    def _cost(self, prompts: Sequence[Prompt], wanting: Sequence[tuple[Fixture, Texts]]) -> int:
        return distinct_tokens(
            [row for prompt in prompts for fixture, texts in wanting for row in self._encode(prompt, fixture, texts)]
        )

    def _encode(self, prompt: Prompt, fixture: Fixture, texts: Texts) -> tuple[EncodedSequence, ...]:
        place = (prompt.template_digest, fixture.id)
        rows = []
        for text in texts:
            key = (*place, text_key(text))
            if key not in self._encoded:
                self._encoded[key] = self._encode_one(prompt, fixture, text)
            rows.append(self._encoded[key])
        return tuple(rows)

    def _at_risk(self, prompt: Prompt, fixture: Fixture) -> Texts:
        """The longest text, and all that may not fit: none has more tokens than UTF-8 bytes and an end of turn."""
        first, *others = sorted(self.metric.continuations(fixture), key=lambda text: -len(text.text))
        limit = self.scorer.backend.context_length
        if limit is None:
            return (first,)
        room = limit - len(self._context(prompt, fixture).tokens)
        return (first, *(t for t in others if len(t.text.encode("utf-8", "surrogatepass")) + t.end_of_turn > room))

    def _context(self, prompt: Prompt, fixture: Fixture) -> EncodedContext:
        place = (prompt.template_digest, fixture.id)
        if place not in self._contexts:
            turns = render(prompt, fixture)
            self._contexts[place] = encode_context(self.scorer.backend.tokenizer, turns, location=fixture.location)
        return self._contexts[place]

    def _encode_one(self, prompt: Prompt, fixture: Fixture, text: Continuation) -> EncodedSequence:
        return encode_target(
            self.scorer.backend.tokenizer,
            self._context(prompt, fixture),
            text,
            label=f"fixture {fixture.id!r}",
            location=fixture.location,
            context_length=self.scorer.backend.context_length,
        )

    def _forget(self, prompt: Prompt, wanting: Sequence[tuple[Fixture, Texts]]) -> None:
        """Let go of the token ids of what has been scored."""
        for fixture, texts in wanting:
            self._contexts.pop((prompt.template_digest, fixture.id), None)
            for text in texts:
                self._encoded.pop((prompt.template_digest, fixture.id, text_key(text)), None)


class Wanted:
    """A metric that only wants certain texts scored, by fixture id."""

    info = MetricInfo("losses", "nats")

    def __init__(self, texts: Mapping[str, Texts]) -> None:
        self._texts = texts

    def supports(self, fixture: Fixture) -> str | None:
        """Fixtures with texts."""
        return None if fixture.id in self._texts else "no text of it is wanted"

    def continuations(self, fixture: Fixture) -> Texts:
        """The fixture's texts."""
        return self._texts[fixture.id]

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """Nothing: the losses themselves are what is wanted."""
        return Measurement(0.0)
