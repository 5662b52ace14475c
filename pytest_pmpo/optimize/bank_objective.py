"""A response bank as what is optimized: what is asked for, and the metric it is at any moment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_pmpo.errors import BankError, ConfigError
from pytest_pmpo.optimize.objective import Part
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.responses.bank import SUFFIX, read_bank
from pytest_pmpo.responses.build import BATCH, load
from pytest_pmpo.responses.demands import usual_limit
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.lines import proposal_line, response_line
from pytest_pmpo.responses.records import Bank, Proposal, Response
from pytest_pmpo.responses.weigh import usable_responses
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.metrics.response_bank import MIN_COVERAGE, ResponseBank, coverage
from pytest_pmpo.scoring.records import Continuation, Measurement, MetricInfo, PromptScore, TargetScore


@dataclass(frozen=True, slots=True)
class BankObjective:
    """A bank, and how it is topped up.

    Attributes:
        bank: graded responses to every fixture.
        grader: grades fresh responses; the one that graded the bank.
        model: fingerprint of the scoring model itself, as bank lines hold it.
        per_fixture: fresh responses to each fixture from every prompt about to be accepted (more where the bank has
            grown so large that so few would not cover the prompt).
        max_new_tokens: of one response; None for the limit the bank's own were drawn with.
        minimum: share of a prompt's own responses that must be covered.
        batch: conversations per call of the generator.
    """

    bank: Bank
    grader: Grader
    model: str
    per_fixture: int = 2
    max_new_tokens: int | None = None
    minimum: float = MIN_COVERAGE
    batch: int = BATCH

    def __post_init__(self) -> None:
        if self.per_fixture < 1 or (self.max_new_tokens is not None and self.max_new_tokens < 1):
            raise ConfigError(
                "a top-up needs at least one response of at least one token",
                hint="to optimize the loss of the labels instead, --metric cross-entropy",
            )

    @property
    def info(self) -> MetricInfo:
        """``response-bank``."""
        return ResponseBank({}).info

    @property
    def settings(self) -> tuple[object, ...]:
        """Everything a run's path depends on; order and proposals' names are none of it."""
        rows = sorted(repr((row.identity, row.grade, row.grader, row.label)) for row in self.bank.responses)
        numbers = (self.model, self.per_fixture, self.max_new_tokens, self.minimum, self.batch)
        return (
            hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest(),
            self.grader.identity,
            numbers,
        )

    def token_limit(self, count: Callable[[str], int]) -> int:
        """Most tokens of a fresh response: as given, else the limit the bank was drawn with.

        Args:
            count: tokens of a text.
        """
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        return usual_limit(count(row.text) for row in self.bank.responses if not row.finished)

    def without(self, drawn: Bank) -> BankObjective:
        """The bank as it was before these responses joined it."""
        added = {row.identity for row in drawn.responses}
        rest = tuple(row for row in self.bank.responses if row.identity not in added)
        return replace(self, bank=replace(self.bank, responses=rest))

    def lacking(self, fixtures: Part, incumbent: Prompt) -> Fixture | None:
        """A fixture without a usable response, if there is one."""
        usable = self.usable(fixtures, incumbent)
        return next((fixture for fixture in fixtures if fixture.id not in usable), None)

    def prompts(self, incumbent: Prompt) -> dict[str, Prompt]:
        """The incumbent and the proposals by digest."""
        known = {digest: proposal.prompt for digest, proposal in self.bank.proposals.items()}
        return {**known, incumbent.template_digest: incumbent}

    def usable(self, fixtures: Part, incumbent: Prompt) -> dict[str, tuple[Response, ...]]:
        """Graded responses to today's inputs and labels, by fixture id."""
        return usable_responses(self.bank, fixtures, self.prompts(incumbent), self.model)[0]


def uncovered(score: PromptScore, minimum: float) -> str | None:
    """What there is to say against a score by a bank, or None: ``the response bank covers only 31 % (± 6 %)``."""
    reach = coverage(score)
    if reach is None or reach.sufficient(minimum):
        return None
    return f"the response bank covers only {100 * reach.share:.0f} % (± {100 * reach.error:.0f} %)"


def grown(path: str, data: bytes, drawn: Iterable[Proposal | Response]) -> bytes:
    """A bank file with what a run has drawn at its end; lines it has already are not added again.

    Raises:
        BankError: the file is malformed.
    """
    bank = read_bank(path, data)
    known = {row.identity for row in bank.responses}
    lines = [
        proposal_line(row) if isinstance(row, Proposal) else response_line(row)
        for row in drawn
        if (row.digest not in bank.proposals if isinstance(row, Proposal) else row.identity not in known)
    ]
    joint = b"" if not lines or data.endswith(b"\n") or not data else b"\n"
    return data + joint + "".join(line + "\n" for line in lines).encode("utf-8")


def resumable(wanted: BankObjective, journals: Path, name: Callable[[BankObjective], str]) -> BankObjective:
    """The bank as it was when a run of this request began, where that run's responses have joined it since; else as
    it is.

    Args:
        name: a request's file of fresh responses, by its bank.

    Raises:
        BankError: a file of fresh responses that is malformed.
    """
    prompt = name(wanted).rpartition("-")[0]
    for file in sorted(file for file in journals.glob(f"*{SUFFIX}") if file.name.startswith(f"{prompt}-")):
        earlier = wanted.without(load(file, file.name))
        if len(earlier.bank.responses) < len(wanted.bank.responses) and name(earlier) == file.name:
            return earlier
    return wanted


@dataclass(frozen=True, slots=True)
class PartedBank:
    """Banks of some fixtures each as one metric: a prompt that only drew for some need not be scored on the others."""

    info: MetricInfo = field(default_factory=lambda: ResponseBank({}).info)
    of: Mapping[str, Metric] = field(default_factory=dict)

    def joined(self, fixtures: Part, metric: Metric) -> PartedBank:
        """With these fixtures measured by ``metric`` from now on."""
        return replace(self, of={**self.of, **{fixture.id: metric for fixture in fixtures}})

    def supports(self, fixture: Fixture) -> str | None:
        """What the fixture's bank says."""
        return self._of(fixture).supports(fixture)

    def continuations(self, fixture: Fixture) -> tuple[Continuation, ...]:
        """What the fixture's bank wants scored."""
        return self._of(fixture).continuations(fixture)

    def measure(self, fixture: Fixture, scores: Sequence[TargetScore]) -> Measurement:
        """What the fixture's bank makes of it."""
        return self._of(fixture).measure(fixture, scores)

    def _of(self, fixture: Fixture) -> Metric:
        if fixture.id not in self.of:
            raise BankError(f"fixture {fixture.id!r} has no responses in the bank", location=fixture.location)
        return self.of[fixture.id]
