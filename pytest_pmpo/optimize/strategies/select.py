"""Strategies by name, each with the numbers its source gives it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_pmpo.errors import ConfigError
from pytest_pmpo.optimize.constraints import Constraints
from pytest_pmpo.optimize.strategies.ape import Ape
from pytest_pmpo.optimize.strategies.base import Strategy
from pytest_pmpo.optimize.strategies.evoprompt import EvoPrompt
from pytest_pmpo.optimize.strategies.fixed import FixedPrompt
from pytest_pmpo.optimize.strategies.gepa import Gepa
from pytest_pmpo.optimize.strategies.opro import Opro
from pytest_pmpo.optimize.strategies.pmpo import Pmpo
from pytest_pmpo.optimize.strategies.pmpo_paper import PmpoPaper
from pytest_pmpo.optimize.study import Tuning

PAPER = Tuning(hard_cases=3, variants=4, edits=12, max_units=5, deletion=False)
"""k = 3, n = 4, m = 5, ``<MASK>`` alone. The paper gives no sampling settings; these are the defaults here."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy and what goes with it unless the user says otherwise.

    Attributes:
        rounds: the number of rounds of its source.
        asks_model: whether it needs a rewriter that is a language model.
    """

    strategy: Strategy
    rounds: int = 5
    tuning: Tuning = field(default_factory=Tuning)
    constraints: Constraints = field(default_factory=Constraints)
    asks_model: bool = False


def _paper() -> Choice:
    return Choice(PmpoPaper(), 20, PAPER, Constraints(keep_format_lines=False), asks_model=True)


CHOICES: dict[str, Callable[[], Choice]] = {
    "pmpo": lambda: Choice(Pmpo()),
    "pmpo-paper": _paper,
    "ape": lambda: Choice(Ape(), asks_model=True),
    "opro": lambda: Choice(Opro(), asks_model=True),
    "evoprompt": lambda: Choice(EvoPrompt("de"), asks_model=True),
    "evoprompt-de": lambda: Choice(EvoPrompt("de"), asks_model=True),
    "evoprompt-ga": lambda: Choice(EvoPrompt("ga"), asks_model=True),
    "gepa": lambda: Choice(Gepa(), rounds=20, asks_model=True),
    "cot": lambda: Choice(FixedPrompt("cot"), rounds=1),
    "step-back": lambda: Choice(FixedPrompt("step-back"), rounds=1),
    "rephrase": lambda: Choice(FixedPrompt("rephrase"), rounds=1),
}


def choose(name: str) -> Choice:
    """The strategy called ``name``.

    Raises:
        ConfigError: unknown name; says the nearest known one.
    """
    if name in CHOICES:
        return CHOICES[name]()
    near = difflib.get_close_matches(name, CHOICES, n=1)
    raise ConfigError(
        f"there is no strategy {name!r}", hint=f"did you mean {near[0]!r}?" if near else f"one of {', '.join(CHOICES)}"
    )
