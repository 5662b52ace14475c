"""EvoPrompt (arXiv 2309.08532): a language model as the crossover and mutation of an evolutionary algorithm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pytest_pmpo.optimize.records import Candidate, Step
from pytest_pmpo.optimize.strategies import population
from pytest_pmpo.optimize.strategies.population import Scored
from pytest_pmpo.optimize.study import Study

Algorithm = Literal["ga", "de"]


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
        children: list[Candidate] = []
        for _ in range(self.size):
            first, second = self._parents(study, people)
            children += self._child(study, first, "evo_ga", second=population.text(study, second))
        return sorted([*people, *population.score(study, children)], key=lambda s: s.loss)[: self.size]

    def _parents(self, study: Study, people: list[Scored]) -> tuple[Candidate, Candidate]:
        """Roulette wheel over the gap to the worst; a little luck for everyone."""
        worst = people[-1].loss
        weights = [worst - person.loss + 1e-6 for person in people]
        first, second = study.rng.choices(people, weights, k=2)
        return first.candidate, second.candidate

    def _differential(self, study: Study, people: list[Scored]) -> list[Scored]:
        best = people[0].candidate
        survivors: list[Scored] = []
        for person in people:
            others = [p for p in people if p is not person] or people
            a, b = study.rng.choice(others).candidate, study.rng.choice(others).candidate
            texts: dict[str, object] = {
                "second": population.text(study, b),
                "best": population.text(study, best),
                "base": population.text(study, person.candidate),
            }
            children = population.score(study, self._child(study, a, "evo_de", **texts))
            survivors.append(min([person, *children], key=lambda s: s.loss))
        return sorted(survivors, key=lambda s: s.loss)

    def _child(self, study: Study, parent: Candidate, template: str, **texts: object) -> list[Candidate]:
        question = population.ask(study, template, parent, (), first=population.text(study, parent), **texts)
        (found,) = study.write(parent, [question], 1, f"{self.name} child")
        return found
