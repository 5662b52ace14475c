"""The work: prompts × fixtures as token sequences that share prefixes the way real ones do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_pmpo.scoring.records import EncodedSequence, distinct_tokens

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Job:
    """Prompts × fixtures; lengths in tokens."""

    prompts: int
    fixtures: int
    prefix: int
    input: int
    target: int
    system: int = 24

    def sequences(self, vocabulary: int, seed: int = 0) -> list[EncodedSequence]:
        """Random ids: ``system`` shared by all, ``prefix`` by a prompt's fixtures; inputs and targets vary by ±25 %."""
        rng = random.Random(seed)
        system = _draw(rng, vocabulary, self.system)
        rows = []
        for p in range(self.prompts):
            prefix = system + _draw(rng, vocabulary, self.prefix - self.system)
            for f in range(self.fixtures):
                rows.append(_row(prefix, *self._fixture(rng, vocabulary), f"{p}/{f}"))
        return rows

    def with_fixtures(self, fixtures: int) -> Job:
        """The same prompts with another number of fixtures."""
        return replace(self, fixtures=fixtures)

    def describe(self, sequences: Sequence[EncodedSequence]) -> str:
        """Counts for the table's heading."""
        return (
            f"{self.prompts} prompts × {self.fixtures} fixtures (prefix ~{self.prefix}, input ~{self.input}, target"
            f" ~{self.target} tokens): {in_full(sequences):,} tokens in full, {distinct_tokens(sequences):,} distinct"
        )

    def _fixture(self, rng: random.Random, vocabulary: int) -> tuple[Ids, Ids]:
        return _draw(rng, vocabulary, _about(rng, self.input)), _draw(rng, vocabulary, _about(rng, self.target))


@dataclass(frozen=True)
class Variants:
    """What an optimizer asks for in one step: a prompt of equal parts, masked and rewritten, over the same fixtures."""

    job: Job
    parts: int = 5
    rewritten: int = 12

    def with_fixtures(self, fixtures: int) -> Variants:
        """The same variants over another number of fixtures."""
        return replace(self, job=self.job.with_fixtures(fixtures))

    def sequences(self, vocabulary: int, seed: int = 0) -> list[list[EncodedSequence]]:
        """Per variant its sequences: the prompt without each part in turn, then with one part replaced, in rotation."""
        rng = random.Random(seed)
        job = self.job
        system = _draw(rng, vocabulary, job.system)
        size = (job.prefix - job.system) // self.parts
        prompt = [_draw(rng, vocabulary, size) for _ in range(self.parts)]
        fixtures = [job._fixture(rng, vocabulary) for _ in range(job.fixtures)]
        prompts = [prompt[:i] + prompt[i + 1 :] for i in range(self.parts)]
        for number in range(self.rewritten):
            i = number % self.parts
            prompts.append([*prompt[:i], _draw(rng, vocabulary, _about(rng, size)), *prompt[i + 1 :]])
        return [
            [_row(sum(parts, system), *fixture, f"{v}/{f}") for f, fixture in enumerate(fixtures)]
            for v, parts in enumerate(prompts)
        ]


def in_full(sequences: Sequence[EncodedSequence]) -> int:
    """Tokens of all sequences, each counted whole."""
    return sum(len(s.tokens) for s in sequences)


def _row(prefix: Ids, text: Ids, target: Ids, label: str) -> EncodedSequence:
    return EncodedSequence(prefix + text + target, len(prefix) + len(text), label)


def _draw(rng: random.Random, vocabulary: int, n: int) -> Ids:
    return tuple(rng.randrange(vocabulary) for _ in range(n))


def _about(rng: random.Random, n: int) -> int:
    return rng.randint(max(1, 3 * n // 4), 5 * n // 4)


H200 = Job(prompts=8, fixtures=64, prefix=600, input=80, target=40)
CPU = Job(prompts=2, fixtures=16, prefix=400, input=60, target=20)
LONG = Job(prompts=1, fixtures=16, prefix=2000, input=60, target=20)
VARIANTS = Variants(Job(prompts=1, fixtures=16, prefix=400, input=60, target=20))
