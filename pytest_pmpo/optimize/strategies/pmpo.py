"""PMPO with what it lacks: a Pareto pool, acceptance above the noise, tables measured once, hard cases that rotate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pytest_pmpo.optimize.records import Candidate, Step
from pytest_pmpo.optimize.selection import ParetoPool
from pytest_pmpo.optimize.study import Study
from pytest_pmpo.prompts.model import Fixture

HEATS = 3
"""A heat is this part of the train fixtures: enough to drop what hurts, which most proposals do."""

SHORTEST_HEAT = 6
"""Fixtures below which a heat is chance."""

PATIENCE = 4
"""Rounds in a row without a single new proposal after which nothing is left to try."""


@dataclass(frozen=True, slots=True)
class Pmpo:
    """The default strategy.

    Each round: draw a parent from the Pareto pool; mask it (once); show its hardest train fixtures to the rewriters;
    race the proposals over the train fixtures: all run a heat of a third, the better half runs the rest; take the
    ``finalists`` that beat the parent there to the selection fixtures; a finalist joins the pool if it is best on some
    selection fixture, and becomes the best prompt if it is better than the best so far on selection and its gain over
    all development fixtures is above the noise (``Acceptance``). Where the objective is a response bank it must still
    be so by fresh responses of its own.
    """

    finalists: int = 4

    @property
    def name(self) -> str:
        """``pmpo``."""
        return "pmpo"

    @property
    def settings(self) -> str:
        """The number of finalists, and how they are raced."""
        return f"finalists={self.finalists}, heat=1/{HEATS} of {SHORTEST_HEAT} or more"

    def rounds(self, study: Study) -> Iterator[Step]:
        """See the class."""
        best = study.incumbent
        pool = ParetoPool()
        pool.add(best, study.losses([best], "selection")[0])
        rejected: Counter[str] = Counter()
        barren, version = 0, study.version
        while barren < PATIENCE:
            if study.version != version:
                pool, version = self._measured_again(study, pool), study.version
            # the best prompt is the parent every other round: exploring must not starve it
            parent = pool.draw(study.rng) if sum(rejected.values()) % 2 else best
            proposals = study.propose(study.view(parent, rejected=rejected[parent.digest]))
            barren = 0 if proposals else barren + 1
            finalists = self._finalists(study, parent, proposals)
            winner = self._accept(study, pool, best, finalists)
            if winner is None:
                rejected[parent.digest] += 1
                note = (
                    "nothing new to try" if not proposals else f"{len(finalists)} of {len(proposals)} reached selection"
                )
                yield Step(best, False, note)
            else:
                best = winner
                yield Step(best, True, winner.origin)

    def _finalists(self, study: Study, parent: Candidate, proposals: Sequence[Candidate]) -> list[Candidate]:
        """Proposals with a lower train loss than the parent's, best first; fixtures a proposal quotes do not count."""
        survivors = self._survivors(study, parent, proposals)
        study.losses(survivors, "train")
        gains = []
        for number, candidate in enumerate(survivors):
            quoted = {*candidate.demos, *parent.demos}
            ours, theirs = study.means([candidate, parent], "train", without=tuple(quoted))
            if ours < theirs:
                gains.append((ours - theirs, number, candidate))
        return [candidate for _, _, candidate in sorted(gains, key=lambda row: row[:2])[: self.finalists]]

    def _survivors(self, study: Study, parent: Candidate, proposals: Sequence[Candidate]) -> Sequence[Candidate]:
        """The better half by a heat, fixtures drawn anew each round; all where a heat would be too short to tell."""
        train = study.fixtures("train")
        kept = max(self.finalists, (len(proposals) + 1) // 2)
        heat = study.rng.sample(train, len(train) // HEATS)
        if len(heat) < SHORTEST_HEAT or kept >= len(proposals):
            return proposals
        reference, *rows = study.losses_on([parent, *proposals], heat)
        gains = [
            heat_gain(heat, reference, row, without={*candidate.demos, *parent.demos})
            for candidate, row in zip(proposals, rows, strict=True)
        ]
        best = sorted(range(len(proposals)), key=lambda i: (-gains[i], i))[:kept]
        return [proposals[i] for i in sorted(best)]

    def _accept(
        self, study: Study, pool: ParetoPool, best: Candidate, finalists: Sequence[Candidate]
    ) -> Candidate | None:
        if not finalists:
            return None
        for candidate, losses in zip(finalists, study.losses(finalists, "selection"), strict=True):
            pool.add(candidate, losses)
        means = study.means(finalists, "selection")
        for i in sorted(range(len(finalists)), key=lambda i: (means[i], i)):
            candidate = finalists[i]
            if not self._convinces(study, best, candidate) or not study.vouch(candidate):
                continue
            if self._convinces(study, best, candidate):  # again: vouching may have changed what it is worth
                return candidate
        return None

    def _convinces(self, study: Study, best: Candidate, candidate: Candidate) -> bool:
        """Better on selection and over all development fixtures, beyond the noise, and nothing breaks."""
        old, new = study.means([best, candidate], "selection")
        better = old - new > study.acceptance.noise_floor and self._beyond_doubt(study, best, candidate)
        return better and not self._breaks(study, candidate)

    def _measured_again(self, study: Study, pool: ParetoPool) -> ParetoPool:
        """The pool by today's losses."""
        members = [candidate for candidate, _ in pool.members.values()]
        fresh = ParetoPool()
        for candidate, losses in zip(members, study.losses(members, "selection"), strict=True):
            fresh.add(candidate, losses)
        return fresh

    def _beyond_doubt(self, study: Study, best: Candidate, candidate: Candidate) -> bool:
        """Whether the gain exceeds the noise over all fixtures a strategy may see, but those that a prompt quotes.

        The selection fixtures alone are few: a small gain on many fixtures is better evidence than a large one on few.
        """
        quoted = {*best.demos, *candidate.demos}
        kept = [i for i, f in enumerate(study.fixtures("development")) if f.id not in quoted]
        old, new = study.losses([best, candidate], "development")
        weights = study.weights("development")
        return study.acceptance.improves([new[i] for i in kept], [old[i] for i in kept], [weights[i] for i in kept])

    def _breaks(self, study: Study, candidate: Candidate) -> bool:
        """Whether a fixture breaks hard against the incumbent: the gate would refuse the candidate for it."""
        return any(
            study.acceptance.breaks(study.answer_losses(candidate, part), study.answer_losses(study.incumbent, part))
            for part in ("train", "selection")
        )


def heat_gain(
    heat: Sequence[Fixture], before: Sequence[float], after: Sequence[float], without: Collection[str]
) -> float:
    """Weighted mean of how much lower the losses are, fixtures named in ``without`` left out; 0 where none is left."""
    kept = [
        (fixture.weight, old - new)
        for fixture, old, new in zip(heat, before, after, strict=True)
        if fixture.id not in without
    ]
    total = sum(weight for weight, _ in kept)
    return sum(weight * gain for weight, gain in kept) / total if total else 0.0
