"""A prompt's response bank, where there is one: the metric it gives, and what the gate says where it does not reach.

A bank is the best metric the gate knows, so ``metric = "auto"`` takes it as soon as every fixture has graded responses
in it. Base and head are measured against the same responses. Where the bank covers too little of what either of them
would answer, the comparison cannot be defended: the verdict is ``inconclusive`` and says what a top-up would cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_pmpo.app.models import Engine
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import BankError, Location
from pytest_pmpo.gate.records import Verdict
from pytest_pmpo.gate.wording import amount
from pytest_pmpo.prompts.model import Note, Prompt
from pytest_pmpo.prompts.source import Source
from pytest_pmpo.responses.bank import bank_names, read_bank
from pytest_pmpo.responses.records import Bank
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.response_bank import NAME, coverage
from pytest_pmpo.scoring.records import PromptScore

SPEND = "or draw and grade in the run itself: pytest --pmpo-confirm, pmpo check --confirm"
"""Said beside the cost of a top-up."""

FEW_INFORMATIVE = 0.3
"""Share of fixtures with responses of different grades below which an undecided verdict says what would help."""


@dataclass(frozen=True, slots=True)
class BankMetric:
    """The metric a bank gives, or None with what there is to say about that.

    Attributes:
        bank: what it was made of; None where there is none, or the settings ask for another metric.
    """

    metric: Metric | None
    notes: tuple[Note, ...] = ()
    bank: Bank | None = None


def find_bank(source: Source, path: str) -> Bank | None:
    """The bank beside a prompt file.

    Raises:
        BankError: with file and line if it is malformed, or if there are two.
    """
    present = [name for name in bank_names(path) if source.exists(name)]
    if len(present) > 1:
        raise BankError(f"{path} has two banks: {' and '.join(present)}", hint="join them into one file")
    return read_bank(present[0], source.read(present[0])) if present else None


def bank_metric(source: Source, task: Task, engine: Engine, base: Prompt | None) -> BankMetric:
    """The bank's metric for a task whose settings allow it.

    Raises:
        BankError: the bank is malformed, or was asked for by name and is missing or lacks a fixture.
    """
    if task.settings.metric not in ("auto", NAME):
        return BankMetric(None)
    bank = find_bank(source, task.path)
    if bank is None:
        if task.settings.metric == NAME:
            raise BankError(
                f"metric = {NAME!r}, but {task.path} has no bank",
                location=Location(task.path),
                hint=f"pmpo bank build {task.path}",
            )
        return BankMetric(None)
    return metric_of(bank, task, engine, [task.suite.prompt] if base is None else [base, task.suite.prompt])


def metric_of(bank: Bank, task: Task, engine: Engine, known: Sequence[Prompt]) -> BankMetric:
    """The metric of a bank over a task's fixtures, or None with a note where a fixture has no usable response.

    Args:
        known: prompts that responses may name as their proposal beside those the bank holds.

    Raises:
        BankError: the bank was asked for by name and lacks a fixture; see also ``weigh``.
    """
    from pytest_pmpo.responses.weigh import known_prompts, usable_responses, weigh  # only a prompt with a bank pays

    required = task.settings.metric == NAME
    if not bank.responses and not required:
        note = Note("the bank is not used: it holds no response", Location(bank.path))
        return BankMetric(None, (*bank.notes, note), bank)
    fixtures, model = task.suite.fixtures, engine.model.fingerprint
    usable, notes = usable_responses(bank, fixtures, known_prompts(bank, known), model)
    lacking = [fixture for fixture in fixtures if fixture.id not in usable]
    if not lacking:
        weighed = weigh(bank, fixtures, engine.scorer, model=model, known=known)
        return BankMetric(weighed.metric, weighed.notes, bank)
    many = "1 fixture has" if len(lacking) == 1 else f"{len(lacking)} fixtures have"
    named = f"{many} no usable response in {bank.path}, such as {lacking[0].id!r}"
    if required:
        raise BankError(named, location=lacking[0].location, hint=f"pmpo bank build {task.path}")
    return BankMetric(None, (*notes, Note(f"the bank is not used: {named}", Location(bank.path))), bank)


def defend(verdict: Verdict, path: str, head: PromptScore, base: PromptScore | None) -> Verdict:
    """The verdict, or ``inconclusive`` where a bank covers too little of one of the versions compared."""
    short = uncovered(head, base)
    if verdict.comparison is None:
        return verdict
    if not short:
        # a saved baseline's numbers, and so their bias, do not change with the bank
        return _with_what_helps(verdict if base is None else _with_a_larger_bank(verdict, path, head), head)
    from pytest_pmpo.responses.topup import plan

    worst = min(short, key=_share)
    name = "prompt as it is now" if worst is head else "base"
    return replace(
        verdict,
        status="inconclusive",
        failed=verdict.policy.strict,
        reason=f"the response bank covers only {100 * _share(worst):.0f} % of what the {name} would answer; "
        f"a top-up of {plan(worst).cost} would cover it",
        advice=(
            f"pmpo bank top-up {path} --budget {plan(head).responses}, then judge again"
            if worst is head
            else f"to draw from the base too: pmpo bank build {path} --from base,steps,none,REF (REF: the base commit)",
            *(() if base is None else (SPEND,)),  # a saved baseline's numbers do not grow with the bank
        ),
    )


def _with_what_helps(verdict: Verdict, head: PromptScore) -> Verdict:
    """A verdict by a bank that cannot tell prompts apart says so; an undecided one by a poor bank, in its advice."""
    reach = coverage(head)
    if reach is None or verdict.status not in ("passed", "inconclusive"):
        return verdict
    if reach.informative == 0 and verdict.status == "passed" and _nothing_right(verdict):
        # an accuracy of nought cannot fall: to call every edit as good as its base would be no gate
        return replace(
            verdict,
            status="inconclusive",
            failed=verdict.policy.strict,
            reason="no response in the bank is right, so nothing could have got worse",
            advice=(
                "a bank needs right responses: use a stronger model, or judge by the labels (metric = "
                '"cross-entropy") until there are some',
                *verdict.advice,
            ),
        )
    if reach.informative == 0:
        blind = "no fixture has both right and wrong responses in the bank, so a difference could hardly show"
        verdict = replace(verdict, reason=f"{verdict.reason}; {blind}" if verdict.reason else blind)
    if verdict.status == "passed" or reach.informative >= FEW_INFORMATIVE:
        return verdict
    line = (
        f"only {100 * reach.informative:.0f} % of the fixtures have right and wrong responses in the bank; the others "
        "cannot tell prompts apart: more responses, finer grades or a stronger model would"
    )
    return replace(verdict, advice=(line, *verdict.advice))


def _nothing_right(verdict: Verdict) -> bool:
    c = verdict.comparison
    return c is not None and c.base_mean == c.head_mean == 0


def _with_a_larger_bank(verdict: Verdict, path: str, head: PromptScore) -> Verdict:
    """A verdict that only the bias of so small a bank leaves undecided says how to narrow it."""
    c, reach = verdict.comparison, coverage(head)
    if verdict.status != "inconclusive" or c is None or reach is None or verdict.tolerance is None:
        return verdict
    if not c.hidden_by_bias(verdict.tolerance):
        return verdict
    line = (
        f"pmpo bank build {path} --per-fixture {2 * math.ceil(reach.responses)}, then judge again: so small a bank may "
        f"be off by {amount(c.systematic, verdict.metric, c.base_mean)}, one of twice the responses by about half"
    )
    return replace(verdict, advice=(line, *verdict.advice))


def uncovered(head: PromptScore, base: PromptScore | None) -> list[PromptScore]:
    """The versions that a bank does not surely cover; none where another metric measured them."""
    versions = [head] if base is None else [head, base]
    return [score for score in versions if (reach := coverage(score)) is not None and not reach.sufficient()]


def _share(score: PromptScore) -> float:
    reach = coverage(score)
    return 1.0 if reach is None else reach.share
