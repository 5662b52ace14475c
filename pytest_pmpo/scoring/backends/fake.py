"""A language model small enough to read: a byte-level cache model, shipped for tests.

It predicts the next byte from what followed the same few bytes earlier in the sequence, blended over context lengths by
Witten and Bell (1991). That makes it a true probability model (every distribution sums to one), deterministic on every
machine, and a little like the real thing: a prompt that names the labels makes them likelier. It needs no framework.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import Generation, Progress, SamplingSettings
from pytest_pmpo.scoring.records import EncodedSequence

END_OF_TURN = 256
VOCABULARY = 257
MAX_ORDER = 4

_Counts = dict[tuple[int, ...], Counter[int]]


class FakeTokenizer:
    """UTF-8 bytes as tokens, with one id above them for the end of a turn."""

    has_chat_template = True
    end_of_turn: int | None = END_OF_TURN

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        """``<role>`` on a line of its own before each turn."""
        text = "".join(f"<{turn.role}>\n{turn.content}\n" for turn in turns)
        return text + "<assistant>\n" if generation_prompt else text

    def encode(self, text: str, *, special_tokens: bool) -> tuple[int, ...]:
        """One id per byte; lone surrogates are kept as their three bytes."""
        return tuple(text.encode("utf-8", "surrogatepass"))

    def decode(self, tokens: Sequence[int]) -> str:
        """The bytes as text, without the end of a turn."""
        return bytes(token for token in tokens if token != END_OF_TURN).decode("utf-8", "replace")


class FakeBackend:
    """Scores and samples with the cache model. Counts what it was asked, so that tests can look."""

    def __init__(self, context_length: int | None = 65_536) -> None:
        self.tokenizer = FakeTokenizer()
        self.context_length = context_length
        self.description = "byte cache model, no framework"
        self.sequences_scored = 0

    def score(
        self, sequences: Sequence[EncodedSequence], *, progress: Progress | None = None
    ) -> list[tuple[float, ...]]:
        """Negative log-likelihoods, nats, of every target byte."""
        total = sum(len(sequence.tokens) for sequence in sequences)
        done, results = 0, []
        for sequence in sequences:
            results.append(_losses(sequence))
            done += len(sequence.tokens)
            if progress is not None:
                progress(done, total)
        self.sequences_scored += len(sequences)
        return results

    def generate(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int = 1,
        progress: Progress | None = None,
    ) -> list[tuple[Generation, ...]]:
        """Sampled bytes; mostly echoes of the prompt."""
        results = []
        for number, turns in enumerate(conversations):
            context = self.tokenizer.encode(self.tokenizer.render(turns, generation_prompt=True), special_tokens=False)
            rng = random.Random(f"{settings.seed}/{number}/{bytes(t for t in context if t < 256)!r}")
            results.append(tuple(_sample(context, settings, rng) for _ in range(samples)))
            if progress is not None:
                progress(number + 1, len(conversations))
        return results


def _count(tokens: Sequence[int], counts: _Counts, start: int = 0) -> _Counts:
    for i in range(start, len(tokens)):
        for order in range(min(MAX_ORDER, i) + 1):
            counts[tuple(tokens[i - order : i])][tokens[i]] += 1
    return counts


def _probability(token: int, history: Sequence[int], counts: _Counts) -> float:
    """Witten–Bell: p_n = (c + T·p_{n−1}) / (N + T), from a uniform p over the vocabulary upwards."""
    probability = 1.0 / VOCABULARY
    for order in range(min(MAX_ORDER, len(history)) + 1):
        seen = counts.get(tuple(history[len(history) - order :]))
        if seen:
            kinds = len(seen)
            probability = (seen[token] + kinds * probability) / (seen.total() + kinds)
    return probability


def _losses(sequence: EncodedSequence) -> tuple[float, ...]:
    tokens, start = sequence.tokens, sequence.target_start
    counts = _count(tokens[:start], defaultdict(Counter))
    losses = []
    for i in range(start, len(tokens)):
        losses.append(-math.log(_probability(tokens[i], tokens[max(0, i - MAX_ORDER) : i], counts)))
        _count(tokens[: i + 1], counts, start=i)
    return tuple(losses)


def _sample(context: Sequence[int], settings: SamplingSettings, rng: random.Random) -> Generation:
    tokens, counts = list(context), _count(context, defaultdict(Counter))
    logprob = 0.0
    while len(tokens) - len(context) < settings.max_new_tokens:
        history = tokens[-MAX_ORDER:]
        weights = [_probability(token, history, counts) for token in range(VOCABULARY)]
        token = _draw(weights, settings.temperature, rng)
        logprob += math.log(weights[token])
        tokens.append(token)
        if token == END_OF_TURN:
            break
        _count(tokens, counts, start=len(tokens) - 1)
    new = tuple(tokens[len(context) :])
    finished = bool(new) and new[-1] == END_OF_TURN
    return Generation(FakeTokenizer().decode(new), new, logprob, finished)


def _draw(weights: list[float], temperature: float, rng: random.Random) -> int:
    if temperature == 0:
        return max(range(len(weights)), key=weights.__getitem__)
    return rng.choices(range(len(weights)), [weight ** (1 / temperature) for weight in weights])[0]
