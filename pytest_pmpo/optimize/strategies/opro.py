"""OPRO (arXiv 2309.03409): the writer sees the best prompts so far with their losses and writes a better one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_pmpo.optimize.records import Step
from pytest_pmpo.optimize.strategies import population
from pytest_pmpo.optimize.study import Study


@dataclass(frozen=True, slots=True)
class Opro:
    """Keeps the best ``history`` prompts in the question, worst first, beside ``cases`` fixtures; ``steps`` answers a
    round (the published code's 20, 3 and 8)."""

    history: int = 20
    cases: int = 3
    steps: int = 8

    @property
    def name(self) -> str:
        """``opro``."""
        return "opro"

    @property
    def settings(self) -> str:
        """The three numbers."""
        return f"history={self.history}, cases={self.cases}, steps={self.steps}"

    def rounds(self, study: Study) -> Iterator[Step]:
        """See the class. New texts are put into the incumbent, so every prompt keeps its frame."""
        pool = population.score(study, [study.incumbent])
        while True:
            pool = population.again(study, pool)
            shown = [
                {"text": population.text(study, entry.candidate), "loss": f"{entry.loss:.4f}"}
                for entry in reversed(pool[: self.history])
            ]
            cases = population.sample(study, self.cases)
            question = population.ask(study, "opro", study.incumbent, cases, history=shown)
            (found,) = study.write(study.incumbent, [question], self.steps, "opro step")
            best = pool[0]
            pool = sorted([*pool, *population.score(study, found)], key=lambda s: s.loss)[: self.history]
            accepted = pool[0].loss < best.loss
            yield Step(pool[0].candidate, accepted, "opro step" if accepted else "no lower loss")
