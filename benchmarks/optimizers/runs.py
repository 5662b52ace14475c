"""One optimization of one task by one strategy with one seed, and what it was worth on held-out fixtures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

from benchmarks.optimizers import bank
from benchmarks.optimizers.bank import BankPlan
from benchmarks.optimizers.tasks import Task
from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.rewriters.base import Rewriter
from pytest_pmpo.optimize.rewriters.select import create
from pytest_pmpo.optimize.strategies.pmpo_paper import PmpoPaper
from pytest_pmpo.optimize.strategies.select import Choice as StrategyChoice
from pytest_pmpo.optimize.strategies.select import choose as choose_strategy
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Prompt
from pytest_pmpo.prompts.render import render
from pytest_pmpo.responses.graders.choice import ChoiceLetter
from pytest_pmpo.responses.graders.exact import Exact
from pytest_pmpo.responses.graders.number import Number
from pytest_pmpo.scoring.backends.base import Generator, SamplingSettings
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.select import choose as choose_metric
from pytest_pmpo.scoring.scorer import Scorer

ABLATION = {
    "pmpo-paper": PmpoPaper(),
    "pmpo-paper, no masks": PmpoPaper(masks=False),
    "pmpo-paper, no hard cases": PmpoPaper(hard_cases=False),
    "pmpo-paper, no preference loss": PmpoPaper(),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is kept of a run. Lists are per held-out fixture, in one order; ``right_*`` are empty without grades."""

    task: str
    strategy: str
    rewriters: tuple[str, ...]
    seed: int
    model: str
    unit: str
    ending: str
    won: bool
    loss_before: tuple[float, ...]
    loss_after: tuple[float, ...]
    right_before: tuple[float, ...]
    right_after: tuple[float, ...]
    forward_tokens: int
    generated_tokens: int
    seconds: float
    dropped: dict[str, int]
    prompt: str
    estimated: tuple[float, ...] = ()
    """Held-out mean of the objective before and after, as the run saw it: for a response bank, estimated accuracy."""
    sampled_before: tuple[float, ...] = ()
    sampled_after: tuple[float, ...] = ()
    """Mean grade of answers sampled at temperature 1; see ``grading``."""

    def to_dict(self) -> dict[str, object]:
        """Plain data for a JSON line."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs of a comparison share.

    Attributes:
        passes: forward-token budget, in times the tokens of scoring the starting prompt on all its fixtures, held-out
            ones included; None leaves it to ``forward_tokens``.
        written: most tokens of a rewriter's answer.
        answer_tokens: most tokens of a graded answer; 0 is the task's own.
        bank: how to build the response bank that is optimized; None optimizes the loss of the labels.
    """

    rewriters: tuple[str, ...]
    rounds: int
    forward_tokens: int | None
    generated_tokens: int | None
    passes: float | None
    heldout: int
    graded: int
    written: int
    answer_tokens: int
    journals: Path
    bank: BankPlan | None = None

    def label(self, strategy: str) -> str:
        """What the tables call a strategy."""
        return strategy if self.bank is None else f"{strategy}, bank"

    def budget(self, scorer: Scorer, task: Task, metric: Metric) -> Budget:
        """Equal for every strategy on a task and objective."""
        tokens = self.forward_tokens
        if self.passes is not None:
            before = scorer.tokens_spent
            scorer.score([task.suite.prompt], task.suite.fixtures, metric)
            tokens = int(self.passes * (scorer.tokens_spent - before))
        return Budget(self.rounds, tokens, self.generated_tokens)


def strategy_choice(name: str) -> StrategyChoice:
    """A strategy by its name, or a row of the ablation."""
    if name in ABLATION:
        base = choose_strategy("pmpo-paper")
        return StrategyChoice(ABLATION[name], base.rounds, base.tuning, base.constraints, True)
    return choose_strategy(name)


def optimize(task: Task, strategy: str, scorer: Scorer, model: str, seed: int, settings: Settings) -> Outcome:
    """Run, then grade greedy answers of both prompts on the first ``settings.graded`` held-out fixtures."""
    choice = strategy_choice(strategy)
    fixtures = task.suite.fixtures
    metric: Metric | BankObjective = choose_metric(fixtures)
    counted: Metric = choose_metric(fixtures)
    if strategy.endswith("no preference loss"):
        metric = counted = CrossEntropy()
    if settings.bank is not None:
        metric = bank.objective(task, scorer, model, seed, settings.bank, is_right)
        counted = bank.texts(metric, fixtures, task.suite.prompt)
    # the paper's strategies have no structural edits; a comparison gives every strategy the same writer
    made: tuple[Rewriter, ...] = tuple(
        create(spec, scorer, root=Path.cwd(), environ={})
        for spec in settings.rewriters
        if not (choice.asks_model and spec == "structural")
    )
    began = time.monotonic()
    result = run(
        OptimizeRequest(
            task.suite,
            task.data,
            TextFormat(),
            scorer,
            metric,
            model,
            choice.strategy,
            made,
            settings.journals,
            settings.budget(scorer, task, counted),
            seed=seed,
            tuning=replace(choice.tuning, sampling=replace(choice.tuning.sampling, max_new_tokens=settings.written)),
            constraints=choice.constraints,
        )
    )
    seconds = time.monotonic() - began
    heldout = [fixture for fixture in fixtures if fixture.split == "heldout"][: settings.graded]
    # the ablation without preference loss is measured by the same yardstick as the others
    before, after = scorer.score(
        [result.incumbent.prompt, result.winner.prompt],
        [f for f in fixtures if f.split == "heldout"],
        choose_metric(fixtures),
    )
    answer = [] if not task.graded else [result.incumbent.prompt, result.winner.prompt]
    tokens = settings.answer_tokens or task.answer_tokens
    right = [grade(scorer, prompt, heldout, tokens) for prompt in answer] or [(), ()]
    return Outcome(
        task=task.name, strategy=settings.label(strategy), rewriters=tuple(r.name for r in made), seed=seed,
        model=model, unit=before.metric.unit, ending=result.ending, won=result.won,
        loss_before=tuple(f.value for f in before.fixtures), loss_after=tuple(f.value for f in after.fixtures),
        right_before=right[0], right_after=right[1], forward_tokens=result.spent.forward_tokens,
        generated_tokens=result.spent.generated_tokens, seconds=seconds, dropped=dict(result.dropped),
        prompt="\n".join(message.text for message in result.winner.prompt.messages),
        estimated=(result.before.heldout.mean, result.after.heldout.mean),
    )  # fmt: skip


def answers(scorer: Scorer, prompt: Prompt, fixtures: Sequence[Fixture], tokens: int) -> list[tuple[str, int]]:
    """Greedy answers with their lengths in tokens."""
    settings = SamplingSettings(temperature=0.0, max_new_tokens=tokens)
    turns = [render(prompt, fixture) for fixture in fixtures]
    rows = cast(Generator, scorer.backend).generate(turns, settings)
    return [(row[0].text, len(row[0].tokens)) for row in rows]


def grade(scorer: Scorer, prompt: Prompt, fixtures: Sequence[Fixture], tokens: int) -> tuple[float, ...]:
    """1 or 0 per fixture."""
    written = answers(scorer, prompt, fixtures, tokens)
    return tuple(is_right(fixture, text) for fixture, (text, _) in zip(fixtures, written, strict=True))


def is_right(fixture: Fixture, text: str) -> float:
    """1 if the answer is right by the grader that fits the label, else 0."""
    label = fixture.label
    if not isinstance(label, Choice):
        return Number().grade(fixture, text).score
    if all(len(choice.strip("()")) == 1 for choice in label.choices):
        return ChoiceLetter().grade(fixture, text).score
    # an answer that begins with the right word and goes on is right
    word = Expected(label.choices[label.expected], prefix=True)
    return Exact().grade(replace(fixture, label=word), text).score
