"""EvoPrompt (arXiv 2309.08532): a language model as the crossover and mutation of an evolutionary algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_pmpo.optimize.records import Candidate, Step
from pytest_pmpo.optimize.strategies import population
from pytest_pmpo.optimize.strategies.population import Scored
from pytest_pmpo.optimize.study import Study
from pytest_pmpo.prompts.model import Turn

Algorithm = Literal["ga", "de"]
Asked = tuple[Candidate, tuple[Turn, ...]]


@dataclass(frozen=True, slots=True)
class EvoPrompt:
    """A population of ``size`` prompts (the incumbent and paraphrases of it), one generation a round.

    ``ga``: parents drawn with a chance that falls with their loss, children join and the best ``size`` survive.
    ``de``: for each member two others' difference is mixed into the best; the child takes its place if its loss is
    lower.
    """

    algorithm: Algorithm = "de"
    size: int = 10

    @property
    def name(self) -> str:
        """``evoprompt-de`` or ``evoprompt-ga``."""
        return f"evoprompt-{self.algorithm}"

    @property
    def settings(self) -> str:
        """Population size."""
        return f"size={self.size}"

    def rounds(self, study: Study) -> Iterator[Step]:
        """The first round makes the population."""
        start = [study.incumbent, *population.paraphrases(study, study.incumbent, self.size - 1)]
        people = population.score(study, start)
        before = study.incumbent.digest
        while True:
            best = people[0].candidate
            yield Step(best, best.digest != before, best.origin)
            before = best.digest
            people = population.again(study, people)
            people = self._genetic(study, people) if self.algorithm == "ga" else self._differential(study, people)

    def _genetic(self, study: Study, people: list[Scored]) -> list[Scored]:
        pairs = [self._parents(study, people) for _ in range(self.size)]
        asked = [
            self._question(study, first, "evo_ga", second=population.text(study, second)) for first, second in pairs
        ]
        children = [child for row in self._children(study, asked) for child in row]
        return sorted([*people, *population.score(study, children)], key=lambda s: s.loss)[: self.size]

    def _parents(self, study: Study, people: list[Scored]) -> tuple[Candidate, Candidate]:
        """Roulette wheel over the gap to the worst; a little luck for everyone."""
        worst = people[-1].loss
        weights = [worst - person.loss + 1e-6 for person in people]
        first, second = study.rng.choices(people, weights, k=2)
        return first.candidate, second.candidate

    def _differential(self, study: Study, people: list[Scored]) -> list[Scored]:
        best = population.text(study, people[0].candidate)
        asked = []
        for person in people:
            others = [p for p in people if p is not person] or people
            a, b = study.rng.choice(others).candidate, study.rng.choice(others).candidate
            base = population.text(study, person.candidate)
            asked.append(self._question(study, a, "evo_de", second=population.text(study, b), best=best, base=base))
        survivors = [
            min([person, *population.score(study, children)], key=lambda s: s.loss)
            for person, children in zip(people, self._children(study, asked), strict=True)
        ]
        return sorted(survivors, key=lambda s: s.loss)

    def _question(self, study: Study, parent: Candidate, template: str, **texts: object) -> Asked:
        first = population.text(study, parent)
        return parent, population.ask(study, template, parent, (), first=first, **texts)

    def _children(self, study: Study, asked: Sequence[Asked]) -> list[list[Candidate]]:
        """One answer to each question. Parents are of the last generation, so a whole one is written together."""
        return study.write_each(asked, 1, f"{self.name} child")
