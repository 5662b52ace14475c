"""A response bank for a task, as the objective of its optimization: sampled, graded once, kept beside the results."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.optimizers.tasks import Task
from pytest_pmpo.errors import ConfigError
from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.evaluation import Wanted
from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.responses.build import Writer, fill, load
from pytest_pmpo.responses.demands import demands
from pytest_pmpo.responses.graders.base import Grade
from pytest_pmpo.responses.records import Proposal
from pytest_pmpo.scoring.backends.base import Generator, SamplingSettings
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.records import Continuation
from pytest_pmpo.scoring.scorer import Scorer

COT = "Think step by step, then give the final answer."
BATCH = 256


@dataclass(frozen=True, slots=True)
class Right:
    """The benchmark's own rule of what is right, as a grader."""

    right: Callable[[Fixture, str], float]
    identity: str = "benchmark"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """1 or 0."""
        return Grade(self.right(fixture, response))


@dataclass(frozen=True, slots=True)
class BankPlan:
    """How a task's bank is made.

    Attributes:
        per_fixture: responses to each fixture, shared among the proposals.
        proposals: of ``incumbent``, ``none`` (the question alone), ``cot``.
        top_up: fresh responses to each fixture from every prompt about to be accepted.
        tokens: most tokens of one response.
        folder: where banks are kept; runs of one task, seed and model share theirs.
    """

    per_fixture: int
    proposals: tuple[str, ...]
    top_up: int
    tokens: int
    folder: Path


def objective(
    task: Task, scorer: Scorer, model: str, seed: int, plan: BankPlan, right: Callable[[Fixture, str], float]
) -> BankObjective:
    """The task's bank, built as far as it is not there yet.

    Raises:
        ConfigError: for a task whose answers nobody can grade.
    """
    if not task.graded:
        raise ConfigError(f"{task.name} has no grader, so it can have no response bank")
    # the fingerprint of the arithmetic stands in for the model's: these banks are used by nobody else
    grader = Right(right)
    file = plan.folder / f"{task.name}-{seed}-{model}-{plan.tokens}.responses.jsonl"
    with _alone(file):
        kept = load(file, file.name)
        drawn_from = [Proposal(name, variant(task, name)) for name in plan.proposals]
        wanted = demands(kept, task.suite.fixtures, drawn_from, plan.per_fixture, scorer.fingerprint)
        if wanted:
            backend = scorer.backend
            settings = SamplingSettings(max_new_tokens=plan.tokens, seed=seed)
            writer = Writer(
                cast(Generator, backend), backend.tokenizer, backend.context_length, scorer.fingerprint, grader,
                settings, batch=BATCH,
            )  # fmt: skip
            report = fill(file, kept, wanted, writer)
            made = f"{report.kept} responses, {report.right:.0%} right, {report.cut} cut, {report.tokens:,} tokens"
            print(f"{file.name}: {made}", flush=True)
    return BankObjective(
        load(file, file.name), grader, scorer.fingerprint, plan.top_up, max_new_tokens=plan.tokens, batch=BATCH
    )


def variant(task: Task, name: str) -> Prompt:
    """A prompt to draw from.

    Raises:
        ConfigError: for an unknown name.
    """
    instructions, question = task.data.decode().split("\n\n", 1)
    texts = {
        "incumbent": task.data.decode(),
        "none": question,
        "cot": f"{instructions} {COT}\n\n{question}",
    }
    if name not in texts:
        raise ConfigError(f"no proposal is called {name!r}", hint=f"one of {', '.join(texts)}")
    context = ParseContext(read=READS_NOTHING.__getitem__)
    return TextFormat().parse(f"{task.name}.md", texts[name].encode(), context)[0].prompt


def texts(wanted: BankObjective, fixtures: Sequence[Fixture], incumbent: Prompt) -> Metric:
    """What one pass over the bank scores, to count its tokens by."""
    usable = wanted.usable(fixtures, incumbent)
    return Wanted({n: tuple({Continuation(r.text, r.finished): 0 for r in rows}) for n, rows in usable.items()})


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One process builds a bank; the others wait for it and find it there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
