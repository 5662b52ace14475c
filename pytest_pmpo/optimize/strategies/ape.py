"""APE (arXiv 2211.01910): infer instructions from demonstrations, keep the best, resample around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_pmpo.optimize.records import Candidate, Step
from pytest_pmpo.optimize.strategies import population
from pytest_pmpo.optimize.strategies.population import Scored
from pytest_pmpo.optimize.study import Study


@dataclass(frozen=True, slots=True)
class Ape:
    """The first round infers instructions from random sets of ``demonstrations`` fixtures; each later one says the best
    ``keep`` in other words (iterative Monte Carlo search). As many answers per round as ``pmpo`` asks for."""

    demonstrations: int = 5
    keep: int = 3

    @property
    def name(self) -> str:
        """``ape``."""
        return "ape"

    @property
    def settings(self) -> str:
        """Both numbers."""
        return f"demonstrations={self.demonstrations}, keep={self.keep}"

    def rounds(self, study: Study) -> Iterator[Step]:
        """See the class."""
        pool = population.score(study, [study.incumbent])
        first = True
        while True:
            pool = population.again(study, pool)
            found = self._infer(study) if first else self._resample(study, pool)
            first = False
            best = pool[0]
            pool = sorted([*pool, *population.score(study, found)], key=lambda s: s.loss)
            accepted = pool[0].loss < best.loss
            yield Step(pool[0].candidate, accepted, pool[0].candidate.origin if accepted else "no lower loss")

    def _infer(self, study: Study) -> list[Candidate]:
        tuning, incumbent = study.tuning, study.incumbent
        questions = [
            population.ask(study, "ape_infer", incumbent, population.sample(study, self.demonstrations))
            for _ in range(tuning.hard_cases)
        ]
        rows = study.write(incumbent, questions, tuning.variants, "instruction inferred from demonstrations")
        return [candidate for row in rows for candidate in row]

    def _resample(self, study: Study, pool: list[Scored]) -> list[Candidate]:
        tops = pool[: self.keep]
        each = max(1, study.tuning.hard_cases * study.tuning.variants // len(tops))
        return [c for top in tops for c in population.paraphrases(study, top.candidate, each)]
