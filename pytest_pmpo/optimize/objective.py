"""What a run minimises: a metric that stays as it is, or a response bank that grows as the run needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pytest_pmpo.optimize.evaluation import Evaluation
from pytest_pmpo.optimize.form import HeldoutForm
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.responses.records import Proposal, Response

Part = Sequence[Fixture]


class Objective(Protocol):
    """The metric of a run. What it is worth for a prompt may have to be vouched for by sampling."""

    @property
    def version(self) -> int:
        """Grows whenever losses measured before are out of date."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know of it."""
        ...

    def plan(self, incumbent: Prompt) -> tuple[str, ...]:
        """Sentences for the plan, before anything is paid for."""
        ...

    def first_cost(self, incumbent: Prompt) -> int:
        """Forward tokens of the first scoring when nothing is cached."""
        ...

    def reserve(self, incumbent: Prompt) -> tuple[int, int]:
        """Forward tokens and generated tokens to keep aside for the held-out check."""
        ...

    def start(self, incumbent: Prompt) -> None:
        """Make ready to score.

        Raises:
            BankError: a bank that holds nothing usable.
            BudgetError: if the budget cannot buy that.
        """
        ...

    def vouch(self, prompt: Prompt, fixtures: Part, *, from_reserve: bool = False) -> bool:
        """See to it that the prompt's losses on these fixtures can be defended, and say whether they can.

        Raises:
            BudgetError: if the forward tokens do not suffice; the losses are as they were then.
            PmpoError: whatever sampling, grading or scoring raises.
        """
        ...

    def defended(self, prompt: Prompt, fixtures: Part) -> str | None:
        """None if the losses known now can be defended, else what covers how little of the prompt's answers."""
        ...

    def drawn(self) -> tuple[Proposal | Response, ...]:
        """What the run has added to a bank, as lines of it."""
        ...


class FixedObjective:
    """A metric of labels alone: the same losses from beginning to end, always defended."""

    version = 0
    notes: tuple[str, ...] = ()

    def __init__(
        self, evaluation: Evaluation, heldout: Part, everything: Part, form: HeldoutForm | None = None
    ) -> None:
        self._evaluation, self._heldout, self._everything = evaluation, heldout, everything
        self._form = form or HeldoutForm(evaluation, heldout)

    def plan(self, incumbent: Prompt) -> tuple[str, ...]:
        """Nothing to say."""
        return ()

    def first_cost(self, incumbent: Prompt) -> int:
        """The incumbent over all fixtures, with the form control of the held-out ones."""
        return self._evaluation.cost([incumbent], self._everything) + self._form.extra_cost(incumbent)

    def reserve(self, incumbent: Prompt) -> tuple[int, int]:
        """Two held-out passes, so that a winner of twice the incumbent's length can still be confirmed."""
        return 2 * (self._evaluation.cost([incumbent], self._heldout) + self._form.extra_cost(incumbent)), 0

    def start(self, incumbent: Prompt) -> None:
        """Nothing to do."""

    def vouch(self, prompt: Prompt, fixtures: Part, *, from_reserve: bool = False) -> bool:
        """Always."""
        return True

    def defended(self, prompt: Prompt, fixtures: Part) -> str | None:
        """Always."""
        return None

    def drawn(self) -> tuple[Proposal | Response, ...]:
        """Nothing."""
        return ()
