"""What rewrites prompts, and what it is told.

A ``Rewriter`` turns a view of a prompt into proposals. ``StructuralEdits`` does so by itself; ``LanguageRewriter`` asks
a ``Writer`` (the scoring model, a chat server, a recorded file) through ``Ask``, which keeps the books and the journal.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_pmpo.optimize.hard_cases import HardCase
from pytest_pmpo.optimize.masking import MaskTable
from pytest_pmpo.optimize.records import Candidate
from pytest_pmpo.prompts.model import Fixture, Prompt, Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings


@dataclass(frozen=True, slots=True)
class Reply:
    """One sampled answer. ``tokens`` as the writer counts them; ``finished`` is False where a limit cut it."""

    text: str
    tokens: int
    finished: bool = True


class Writer(Protocol):
    """A language model that answers conversations."""

    @property
    def name(self) -> str:
        """For people: ``local``, ``openai:model``, ``recorded``."""
        ...

    @property
    def identity(self) -> str:
        """Everything its answers depend on besides the question; part of the journal's key."""
        ...

    def write(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int,
        seconds: float | None = None,
    ) -> Iterator[tuple[Reply, ...]]:
        """``samples`` answers to each conversation, in order, each row as soon as it is there (it is journalled before
        the next is waited for); never more than ``settings.max_new_tokens`` tokens an answer.

        Args:
            seconds: time left for all of it, or None.

        Raises:
            RewriterError: if no answer can be had.
        """
        ...


Ask = Callable[[Writer, Sequence[Sequence[Turn]], int], list[tuple[Reply, ...]]]
"""``ask(writer, conversations, samples)``: journalled, within the budget."""


@dataclass(frozen=True, slots=True)
class View:
    """All a rewriter may know: one prompt, what its parts are worth, where it fails. No held-out fixture is in it.

    Attributes:
        task: what the prompt is for, in words.
        hard: the train fixtures to improve on, worst first.
        train: all train fixtures, with ``losses`` under the parent (lower is better).
        rejected: rounds since this parent last led to an accepted prompt.
        unit: the losses' unit.
        takes_turns: whether the prompt's file can hold few-shot turns.
    """

    parent: Candidate
    task: str
    hard: tuple[HardCase, ...]
    masks: MaskTable | None
    train: tuple[Fixture, ...]
    losses: tuple[float, ...]
    rejected: int
    rng: random.Random
    unit: str = "nats/token"
    takes_turns: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """A prompt somebody suggests; not checked yet."""

    prompt: Prompt
    origin: str
    demos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """An answer that holds no usable prompt, and why; counted."""

    reason: str


class Rewriter(Protocol):
    """Proposes new versions of a prompt."""

    @property
    def name(self) -> str:
        """For people and for the request's digest."""
        ...

    def propose(self, view: View, ask: Ask, count: int) -> list[Proposal | Rejection]:
        """Up to ``count`` proposals (per hard case, for a language model).

        Raises:
            RewriterError: if it can give none, now or later.
            BudgetError: if the budget cannot buy its answers.
        """
        ...
