"""The records the optimizer passes around: candidates, rounds, what is asked and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pytest_pmpo.gate.records import Verdict
from pytest_pmpo.optimize.budget import Spent
from pytest_pmpo.optimize.masking import MaskTable
from pytest_pmpo.optimize.shown import Shown
from pytest_pmpo.prompts.model import Prompt
from pytest_pmpo.responses.records import Proposal, Response
from pytest_pmpo.scoring.records import MetricInfo, PromptScore

Ending = Literal["rounds", "budget", "interrupted", "exhausted", "failed"]
"""Why a run stopped: rounds used up, another limit reached, Ctrl-C, nothing new to try, a server or model that died."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A run of words of a candidate that also stands in a fixture but did not stand in the incumbent."""

    fixture_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prompt that met the constraints.

    Attributes:
        origin: what made it, as a person would say it: ``delete unit 2``, ``rewrite for fixture f3``.
        parent: template digest of the prompt it was made from.
        demos: ids of train fixtures it quotes on purpose as examples; their own loss says nothing about it.
        copied: text it shares with fixtures without meaning to.
    """

    prompt: Prompt
    origin: str
    parent: str | None = None
    demos: tuple[str, ...] = ()
    copied: tuple[Copy, ...] = ()

    @property
    def digest(self) -> str:
        """Two candidates with one digest are the same prompt."""
        return self.prompt.template_digest


@dataclass(frozen=True, slots=True)
class Step:
    """What a strategy says at the end of a round: its best prompt so far and how the round went."""

    best: Candidate
    accepted: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """One row of the history. Losses are means in the metric's unit; round 0 is the incumbent.

    Attributes:
        scored: distinct prompts scored in the round; ``duplicates``: proposals that were known already.
        dropped: proposals that failed a constraint, by reason.
        heldout: of the best prompt; measured for the record and never used to choose.
    """

    number: int
    best: Candidate
    accepted: bool
    train: float
    selection: float
    heldout: float | None
    scored: int = 0
    duplicates: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    spent: Spent = field(default_factory=lambda: Spent())


@dataclass(frozen=True, slots=True)
class Measured:
    """A prompt's scores on the three parts."""

    train: PromptScore
    selection: PromptScore
    heldout: PromptScore


@dataclass(frozen=True, slots=True)
class OptimizeResult:
    """What a run leaves behind.

    Attributes:
        won: True where the gate confirmed the winner on held-out fixtures; only then is there a patch.
        reason: one sentence, also where nothing was won.
        verdict: the gate's, incumbent as base and winner as head, held-out fixtures; None where nothing was accepted.
        data: bytes of the file with the winner written in; None unless ``won``.
        masks: the incumbent's and the winner's mask tables, where they were measured.
        splits: fixture ids by part.
        token_texts: the tokens of each held-out fixture's first answer as text, where the tokenizer can say them and
            the model was open.
        drawn: lines the run has to add to the response bank.
        shown: fixtures the winner shows, where there is a patch: they have to leave the fixture file with it.
    """

    path: str
    strategy: str
    rewriters: tuple[str, ...]
    model: str
    metric: MetricInfo
    incumbent: Candidate
    winner: Candidate
    won: bool
    reason: str
    ending: Ending
    ending_reason: str
    rounds: tuple[Round, ...]
    before: Measured
    after: Measured
    verdict: Verdict | None
    masks: tuple[MaskTable | None, MaskTable | None]
    splits: Mapping[str, tuple[str, ...]]
    spent: Spent
    limits: str
    base_data: bytes = b""
    data: bytes | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    scored: int = 0
    notes: tuple[str, ...] = ()
    token_texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drawn: tuple[Proposal | Response, ...] = ()
    shown: Shown = field(default_factory=Shown)
