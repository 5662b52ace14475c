"""The same candidates ranked by loss and by grading an answer per fixture: seconds, tokens, agreement."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from scipy.stats import spearmanr

from benchmarks.optimizers.runs import answers, is_right
from benchmarks.optimizers.tasks import Task
from pytest_pmpo.optimize.units import delete_unit, segment
from pytest_pmpo.prompts.model import Prompt
from pytest_pmpo.scoring.metrics.select import choose
from pytest_pmpo.scoring.scorer import Scorer


def candidates(prompt: Prompt, count: int) -> list[Prompt]:
    """The prompt, and versions without one or two of its units."""
    found = [prompt]
    for unit in segment(prompt, 8):
        if not unit.protected:
            once = delete_unit(prompt, unit)
            found.append(once)
            found += [delete_unit(once, other) for other in segment(once, 8)[:1] if not other.protected]
    distinct = {p.template_digest: p for p in found if p.messages[0].text.strip()}
    return list(distinct.values())[:count]


def compare(task: Task, scorer: Scorer, count: int, fixtures: int) -> Iterator[str]:
    """The table. The cache is not used, so both ways pay for everything; loading the model is not counted."""
    fresh = Scorer(scorer.fingerprint, lambda: scorer.backend)
    tried = candidates(task.suite.prompt, count)
    chosen = [f for f in task.suite.fixtures if f.split != "heldout"][:fixtures]
    began = time.perf_counter()
    scores = fresh.score(tried, chosen, choose(chosen))
    by_loss = time.perf_counter() - began
    written = 0
    right = []
    began = time.perf_counter()
    for prompt in tried:
        replies = answers(scorer, prompt, chosen, task.answer_tokens)
        written += sum(tokens for _, tokens in replies)
        right.append(float(np.mean([is_right(f, text) for f, (text, _) in zip(chosen, replies, strict=True)])))
    by_grades = time.perf_counter() - began
    losses = [score.mean for score in scores]
    rank = spearmanr(losses, right).statistic if len(set(right)) > 1 else float("nan")
    yield f"{task.name}: {len(tried)} candidates, {len(chosen)} fixtures"
    yield ""
    yield "| way | seconds | forward tokens | generated tokens |"
    yield "|---|---:|---:|---:|"
    yield f"| loss | {by_loss:.1f} | {fresh.tokens_spent:,} | 0 |"
    yield f"| generate greedily and grade | {by_grades:.1f} | (prompts, unshared) | {written:,} |"
    yield ""
    yield f"Loss takes 1/{by_grades / by_loss:.1f} of the time. Rank correlation of loss and accuracy: {rank:+.2f}"
