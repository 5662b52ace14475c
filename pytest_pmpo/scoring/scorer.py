"""Prompts × fixtures × metric → numbers: render, look up, encode, run the model on what is missing, measure.

The model is opened at the first miss and never before, so a run that finds everything in the cache imports no
framework. All misses of one call go to the backend together: base, head and an optimizer's variants share every common
prefix.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_pmpo.errors import BackendError, PmpoError
from pytest_pmpo.prompts.model import Fixture, Prompt, Turn
from pytest_pmpo.prompts.render import render
from pytest_pmpo.scoring.backends.base import Backend, Progress
from pytest_pmpo.scoring.cache import Key, LossCache, Losses, digest
from pytest_pmpo.scoring.encode import EncodedContext, encode_context, encode_target
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.records import (
    Continuation,
    EncodedSequence,
    FixtureScore,
    PromptScore,
    TargetScore,
    distinct_tokens,
)
from pytest_pmpo.scoring.token_texts import token_texts

Turns = tuple[Turn, ...]

END_OF_TURN = "⟨end of turn⟩"
"""What reports call the token that ends a turn."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One continuation under one rendered context, with what an error should call it."""

    key: Key
    turns: Turns
    continuation: Continuation
    fixture: Fixture
    label: str


class Scorer:
    """Scores prompts under one model.

    Args:
        fingerprint: names the model and all else two losses must share to be comparable; part of every cache key.
        open_backend: called once, at the first loss that has to be computed.
        cache: None computes everything anew (each distinct request still once per call).
        progress: see ``Progress``; called while the model runs.
    """

    def __init__(
        self,
        fingerprint: str,
        open_backend: Callable[[], Backend],
        *,
        cache: LossCache | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.cache = cache
        self.progress = progress
        self.tokens_spent = 0
        self.tokens_cached = 0
        self._open_backend = open_backend
        self._backend: Backend | None = None

    @property
    def backend(self) -> Backend:
        """The model, opened when first needed."""
        if self._backend is None:
            self._backend = self._open_backend()
        return self._backend

    @property
    def opened(self) -> bool:
        """Whether the model had to be opened."""
        return self._backend is not None

    def score(self, prompts: Sequence[Prompt], fixtures: Sequence[Fixture], metric: Metric) -> list[PromptScore]:
        """Every prompt over the same fixtures, in the order given.

        Raises:
            PmpoError: any of the tree, with the prompt's or the fixture's place: a template that does not render, a
                target without a boundary, a sequence too long, a model that is missing or gives NaN.
        """
        requests = [[self._requests(prompt, fixture, metric) for fixture in fixtures] for prompt in prompts]
        losses = self._losses([request for rows in requests for row in rows for request in row])
        return [
            PromptScore(
                prompt.path,
                metric.info,
                tuple(_measure(metric, fixture, row, losses) for fixture, row in zip(fixtures, rows, strict=True)),
            )
            for prompt, rows in zip(prompts, requests, strict=True)
        ]

    def losses(self, turns: Turns, continuations: Sequence[Continuation], fixture: Fixture) -> tuple[TargetScore, ...]:
        """Token losses of texts after turns that are rendered already."""
        requests = [self._request(turns, continuation, fixture, i) for i, continuation in enumerate(continuations)]
        losses = self._losses(requests)
        return tuple(_target_score(request, losses) for request in requests)

    def answer_texts(self, prompt: Prompt, fixtures: Sequence[Fixture], metric: Metric) -> dict[str, tuple[str, ...]]:
        """What each token of every fixture's first text says, by fixture id, for those that were scored.

        Looked up where it was asked before; else asked of the model's tokenizer if the model is open, and left out if
        it is not: nothing is opened for the sake of a report.
        """
        requests = {fixture.id: self._requests(prompt, fixture, metric)[0] for fixture in fixtures}
        keys = [request.key for request in requests.values()]
        found = {} if self.cache is None else self.cache.get_texts(keys)
        missing = {request.key: request for request in requests.values() if request.key not in found}
        if missing and self.opened:
            contexts: dict[Turns, EncodedContext] = {}
            said = {key: self._say(request, contexts) for key, request in missing.items()}
            found |= said
            if self.cache is not None:
                self.cache.put_texts(said)
        return {id_: found[request.key] for id_, request in requests.items() if request.key in found}

    def _say(self, request: _Request, contexts: dict[Turns, EncodedContext]) -> tuple[str, ...]:
        sequence = self._encode(self.backend, request, contexts)
        texts = token_texts(self.backend.tokenizer, sequence.tokens[sequence.target_start :])
        return (*texts[:-1], END_OF_TURN) if request.continuation.end_of_turn else texts

    def _requests(self, prompt: Prompt, fixture: Fixture, metric: Metric) -> list[_Request]:
        turns = render(prompt, fixture)
        return [self._request(turns, text, fixture, i) for i, text in enumerate(metric.continuations(fixture))]

    def _request(self, turns: Turns, continuation: Continuation, fixture: Fixture, number: int) -> _Request:
        shown = json.dumps([[turn.role, turn.content] for turn in turns])
        key = digest(self.fingerprint, shown, continuation.text, str(int(continuation.end_of_turn)))
        return _Request(key, turns, continuation, fixture, f"fixture {fixture.id!r}, text {number + 1}")

    def _losses(self, requests: Sequence[_Request]) -> dict[Key, Losses]:
        distinct = {request.key: request for request in requests}
        found = {} if self.cache is None else self.cache.get(list(distinct))
        self.tokens_cached += sum(len(losses) for losses in found.values())
        missing = [request for key, request in distinct.items() if key not in found]
        if missing:
            found.update(self._compute(missing))
        return found

    def _compute(self, requests: Sequence[_Request]) -> dict[Key, Losses]:
        backend = self.backend
        contexts: dict[Turns, EncodedContext] = {}
        sequences = [self._encode(backend, request, contexts) for request in requests]
        try:
            rows = backend.score(sequences, progress=self.progress)
        except PmpoError:
            raise
        except (RuntimeError, ValueError, OSError) as error:
            raise BackendError(f"the model failed while scoring: {error}", hint=backend.description) from error
        self.tokens_spent += distinct_tokens(sequences)
        computed = {request.key: row for request, row in zip(requests, rows, strict=True)}
        if self.cache is not None:
            self.cache.put(computed)
        return computed

    def _encode(self, backend: Backend, request: _Request, contexts: dict[Turns, EncodedContext]) -> EncodedSequence:
        location = request.fixture.location
        if request.turns not in contexts:
            contexts[request.turns] = encode_context(backend.tokenizer, request.turns, location=location)
        return encode_target(
            backend.tokenizer,
            contexts[request.turns],
            request.continuation,
            label=request.label,
            location=location,
            context_length=backend.context_length,
        )


def _measure(metric: Metric, fixture: Fixture, requests: Sequence[_Request], losses: dict[Key, Losses]) -> FixtureScore:
    scores = tuple(_target_score(request, losses) for request in requests)
    measurement = metric.measure(fixture, scores)
    return FixtureScore(fixture.id, measurement, fixture.group, fixture.weight, scores, fixture.location)


def _target_score(request: _Request, losses: dict[Key, Losses]) -> TargetScore:
    return TargetScore(losses[request.key], len(request.continuation.text.encode("utf-8", "surrogatepass")))
