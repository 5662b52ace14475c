"""Limits of a run and what was spent of them. A step that might not fit is not begun.

Costs are known before they are paid: forward tokens are counted by encoding what is about to be scored, generated
tokens are bounded by the length asked for, minutes are estimated from the speed measured so far. So a limit is never
exceeded (a forward pass that turns out slower than all before it is the one thing nobody can know).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pytest_pmpo.errors import BudgetError, ConfigError


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits; None = no limit.

    Attributes:
        rounds: rounds of the strategy.
        forward_tokens: tokens run through the scoring model.
        generated_tokens: tokens sampled, by rewriters and for a response bank together.
        minutes: wall-clock time, summed over interrupted and resumed runs.
        top_up_tokens: tokens sampled for a response bank.
    """

    rounds: int = 5
    forward_tokens: int | None = None
    generated_tokens: int | None = None
    minutes: float | None = None
    top_up_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("rounds", "forward_tokens", "generated_tokens", "minutes", "top_up_tokens"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"budget {name} is {value}", hint="give a positive number, or leave it out")

    def __str__(self) -> str:
        parts = [_rounds(self.rounds)]
        if self.forward_tokens is not None:
            parts.append(f"{self.forward_tokens:,} forward tokens")
        if self.generated_tokens is not None:
            parts.append(f"{self.generated_tokens:,} generated tokens")
        if self.top_up_tokens is not None:
            parts.append(f"{self.top_up_tokens:,} tokens for the response bank")
        if self.minutes is not None:
            parts.append(f"{self.minutes:g} minutes")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has cost so far. ``cached_tokens``, tokens whose losses were in the cache, cost nothing;
    ``top_up_tokens`` are those of ``generated_tokens`` that were sampled for a response bank."""

    rounds: int = 0
    forward_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    top_up_tokens: int = 0

    def __str__(self) -> str:
        bank = f" ({self.top_up_tokens:,} for the response bank)" if self.top_up_tokens else ""
        tokens = f"{self.forward_tokens:,} forward tokens, {self.generated_tokens:,} generated tokens{bank}"
        return f"{_rounds(self.rounds)}, {tokens}, {self.seconds / 60:.1f} minutes"


class Ledger:
    """Keeps the books of one run.

    Args:
        before: what earlier, interrupted runs of the same command spent, from the journal.
        clock: seconds, monotonic; a test may give its own.
    """

    def __init__(
        self, budget: Budget, before: Spent | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.budget = budget
        self.reserved_forward = 0
        self.reserved_generated = 0
        self._spent = before or Spent()
        self._clock = clock
        self._started = clock()
        self._before_seconds = self._spent.seconds
        self._forward_rate = _Rate()
        self._generation_rate = _Rate()

    @property
    def spent(self) -> Spent:
        """Everything spent so far, this run and those before it."""
        return replace(self._spent, seconds=self._before_seconds + self._clock() - self._started)

    @property
    def seconds_left(self) -> float | None:
        """Until the time limit, or None without one."""
        if self.budget.minutes is None:
            return None
        return max(0.0, self.budget.minutes * 60 - self.spent.seconds)

    def generated_left(self) -> int | None:
        """Tokens that may still be sampled, what is kept for the held-out check included; None without a limit."""
        if self.budget.generated_tokens is None:
            return None
        return max(0, self.budget.generated_tokens - self._spent.generated_tokens)

    def top_up_left(self) -> int | None:
        """Tokens that may still be sampled for the response bank; None without a limit."""
        limit = self.budget.top_up_tokens
        own = None if limit is None else max(0, limit - self._spent.top_up_tokens)
        left = [tokens for tokens in (own, self.generated_left()) if tokens is not None]
        return min(left) if left else None

    def require_forward(self, tokens: int, *, from_reserve: bool = False) -> None:
        """Refuse a forward pass that does not fit. ``from_reserve`` may use what is kept for the confirmation."""
        limit = self.budget.forward_tokens
        reserved = 0 if from_reserve else self.reserved_forward
        if limit is not None and self._spent.forward_tokens + tokens + reserved > limit:
            raise BudgetError(
                f"the next step needs {tokens:,} forward tokens"
                + (f" and {reserved:,} are kept for the held-out check" if reserved else "")
                + f", but {self._spent.forward_tokens:,} of {limit:,} are spent",
                hint="raise the forward-token limit; the same command goes on from here",
            )
        self._require_time(self._forward_rate.seconds(tokens))

    def require_generation(self, tokens: int) -> None:
        """Refuse to sample up to ``tokens`` tokens for a rewriter where they do not fit."""
        left = self.generated_left()
        if left is not None and tokens + self.reserved_generated > left:
            kept = (
                f" and {self.reserved_generated:,} are kept for the held-out check" if self.reserved_generated else ""
            )
            raise BudgetError(
                f"the next step may generate {tokens:,} tokens{kept}, but {left:,} of "
                f"{self.budget.generated_tokens:,} are left",
                hint="raise the generated-token limit; the same command goes on from here",
            )
        self._require_time(self._generation_rate.seconds(tokens))

    def require_top_up(self, tokens: int, *, from_reserve: bool = False) -> None:
        """Refuse to sample up to ``tokens`` tokens for the response bank where they do not fit."""
        left = self.top_up_left()
        reserved = 0 if from_reserve else self.reserved_generated
        if left is not None and tokens + reserved > left:
            raise BudgetError(
                f"the next top-up of the response bank may generate {tokens:,} tokens"
                + (f" and {reserved:,} are kept for the held-out check" if reserved else "")
                + f", but {left:,} are left",
                hint="raise the top-up or generated-token limit; the same command goes on from here",
            )
        self._require_time(self._generation_rate.seconds(tokens))

    def _require_time(self, seconds: float) -> None:
        left = self.seconds_left
        if left is not None and (left == 0 or seconds > left):
            raise BudgetError(
                f"the next step needs about {seconds:.0f} s, but {left:.0f} s of "
                f"{self.budget.minutes:g} minutes are left",
                hint="raise the limit in minutes; the same command goes on from here",
            )

    def pay_forward(self, tokens: int, cached: int, seconds: float) -> None:
        """Book a forward pass."""
        self._spent = replace(
            self._spent,
            forward_tokens=self._spent.forward_tokens + tokens,
            cached_tokens=self._spent.cached_tokens + cached,
        )
        self._forward_rate.add(tokens, seconds)

    def pay_generation(self, tokens: int, seconds: float) -> None:
        """Book sampled tokens."""
        self._spent = replace(self._spent, generated_tokens=self._spent.generated_tokens + tokens)
        self._generation_rate.add(tokens, seconds)

    def pay_top_up(self, tokens: int, seconds: float) -> None:
        """Book tokens sampled for the response bank."""
        self.pay_generation(tokens, seconds)
        self._spent = replace(self._spent, top_up_tokens=self._spent.top_up_tokens + tokens)

    def next_round(self) -> None:
        """Book a round."""
        self._spent = replace(self._spent, rounds=self._spent.rounds + 1)


def _rounds(count: int) -> str:
    return f"{count} round" if count == 1 else f"{count:,} rounds"


class _Rate:
    """Speed so far; 0 seconds are expected of what was never measured."""

    def __init__(self) -> None:
        self.tokens, self.time = 0, 0.0

    def add(self, tokens: int, seconds: float) -> None:
        self.tokens += tokens
        self.time += seconds

    def seconds(self, tokens: int) -> float:
        return tokens * self.time / self.tokens if self.tokens else 0.0
