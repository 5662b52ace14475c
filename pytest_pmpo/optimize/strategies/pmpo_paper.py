"""PMPO as arXiv 2505.16307 describes it (Algorithm 1), with its modules switchable so that its ablation can be run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_pmpo.optimize.records import Step
from pytest_pmpo.optimize.selection import strict_best
from pytest_pmpo.optimize.study import Study


@dataclass(frozen=True, slots=True)
class PmpoPaper:
    """Greedy: score, mask, rewrite for each of the k hardest fixtures, replace only on a strictly lower loss.

    The paper has one training set and no selection set, so both parts serve as D. Its preference-loss module is the
    choice of the metric (``preference`` or ``choice`` against ``cross-entropy``) and so not a switch here.

    Attributes:
        masks: the mask-analysis module (TIM); off, rewriters see no table.
        hard_cases: the bad-case module (BCA); off, the cases shown are drawn at random, as many.
    """

    masks: bool = True
    hard_cases: bool = True

    @property
    def name(self) -> str:
        """``pmpo-paper``."""
        return "pmpo-paper"

    @property
    def settings(self) -> str:
        """Which modules are on."""
        return f"masks={self.masks}, hard_cases={self.hard_cases}"

    def rounds(self, study: Study) -> Iterator[Step]:
        """V = {P*} and its variants; P* = argmin of the loss over V if that is strictly lower."""
        best = study.incumbent
        while True:
            view = study.view(best, part="development", hard=self.hard_cases, masks=self.masks)
            variants = study.propose(view)
            incumbent, *losses = study.means([best, *variants], "development")
            winner = strict_best(losses, incumbent)
            if winner is not None:
                best = variants[winner]
            yield Step(best, winner is not None, best.origin if winner is not None else "no lower loss")
