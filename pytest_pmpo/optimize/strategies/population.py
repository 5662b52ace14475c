"""What the rival strategies share: candidates with their losses, and the questions they ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.optimize import metaprompts
from pytest_pmpo.optimize.pages import page
from pytest_pmpo.optimize.records import Candidate
from pytest_pmpo.optimize.study import Study
from pytest_pmpo.prompts.model import Fixture, Turn


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate and its mean development loss."""

    candidate: Candidate
    loss: float


def score(study: Study, candidates: Sequence[Candidate]) -> list[Scored]:
    """Candidates with their mean losses over train and selection, best first; ties keep their order."""
    losses = study.means(candidates, "development")
    return sorted((Scored(c, loss) for c, loss in zip(candidates, losses, strict=True)), key=lambda s: s.loss)


def again(study: Study, pool: Sequence[Scored]) -> list[Scored]:
    """A pool by today's losses: a response bank that has grown since estimates its prompts anew."""
    return score(study, [entry.candidate for entry in pool])


def text(study: Study, candidate: Candidate) -> str:
    """What of the candidate the study's language rewriter may rewrite."""
    sheet = page(candidate.prompt, study.language.scope)
    return "" if sheet is None else sheet.text


def ask(
    study: Study, template: str, parent: Candidate, cases: Sequence[Fixture] = (), **values: object
) -> tuple[Turn, ...]:
    """A question about ``parent`` from a meta-prompt."""
    common = metaprompts.common_values(
        text(study, parent),
        parent.prompt.engine,
        study.task,
        cases,
        keep_format_lines=study.constraints.keep_format_lines,
    )
    return metaprompts.question(template, common | values, study.language.overrides)


def sample(study: Study, count: int) -> list[Fixture]:
    """Development fixtures drawn at random."""
    fixtures = study.fixtures("development")
    return study.rng.sample(fixtures, min(count, len(fixtures)))


def paraphrases(study: Study, parent: Candidate, count: int) -> list[Candidate]:
    """The parent said in other words."""
    (found,) = study.write(parent, [ask(study, "paraphrase", parent)], count, f"paraphrase of {parent.origin[:40]}")
    return found
