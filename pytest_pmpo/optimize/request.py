"""What is asked of a run, and what names it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pytest_pmpo.errors import BankError, FixtureError
from pytest_pmpo.gate.records import Policy
from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.constraints import Constraints
from pytest_pmpo.optimize.rewriters.base import Rewriter
from pytest_pmpo.optimize.selection import Acceptance
from pytest_pmpo.optimize.state import SCHEMA, request_digest
from pytest_pmpo.optimize.strategies.base import Strategy
from pytest_pmpo.optimize.study import Tuning
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.model import PromptSuite
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class OptimizeRequest:
    """What to optimize, with what, within which limits.

    Attributes:
        suite: the prompt and its fixtures; ``data`` the bytes of its file, ``format`` what read them.
        context: how the format reads other files, where the prompt refers to some.
        metric: what is minimised; a ``BankObjective`` for the accuracy a response bank estimates, topped up on the way.
        model: the scoring model's name, for the verdict and the report.
        policy: the gate's; the same as for a pull request.
        journals: folder for journals; one file per distinct request.
        task: what the prompt is for; default the file's own description, else the prompt's text.
    """

    suite: PromptSuite
    data: bytes
    format: Format
    scorer: Scorer
    metric: Metric | BankObjective
    model: str
    strategy: Strategy
    rewriters: tuple[Rewriter, ...]
    journals: Path
    budget: Budget = field(default_factory=Budget)
    policy: Policy = field(default_factory=Policy)
    task: str | None = None
    seed: int = 0
    tuning: Tuning = field(default_factory=Tuning)
    acceptance: Acceptance | None = None
    constraints: Constraints = field(default_factory=Constraints)
    context: ParseContext | None = None

    @property
    def name(self) -> str:
        """Names the request's files."""
        return f"{Path(self.suite.prompt.path).name}-{self.digest[:12]}"

    @property
    def digest(self) -> str:
        """Names the path this request takes: everything but the limits."""
        prompt, fixtures = self.suite.prompt, self.suite.fixtures
        return request_digest(
            (
                prompt.path,
                prompt.template_digest,
                fixtures,
                SCHEMA,
                self.metric.info,
                self._measures,
                self.scorer.fingerprint,
                (self.strategy.name, self.strategy.settings),
                [rewriter.name for rewriter in self.rewriters],
                (self.task, self.seed, self.tuning, self.acceptance, self.constraints),
            )
        )

    @property
    def _measures(self) -> object:
        """What the metric measures by."""
        if isinstance(self.metric, BankObjective):
            return self.metric.settings
        return [self.metric.continuations(fixture) for fixture in self.suite.fixtures]

    def require_supported(self) -> None:
        """Refuse fixtures the metric cannot measure.

        Raises:
            FixtureError, BankError: with the fixture's place.
        """
        if isinstance(self.metric, BankObjective):
            lacking = self.metric.lacking(self.suite.fixtures, self.suite.prompt)
            if lacking is not None:
                raise BankError(
                    f"fixture {lacking.id!r} has no usable response in {self.metric.bank.path}",
                    location=lacking.location,
                    hint=f"pmpo bank build {self.suite.prompt.path}",
                )
            return
        for fixture in self.suite.fixtures:
            reason = self.metric.supports(fixture)
            if reason is not None:
                raise FixtureError(
                    f"fixture {fixture.id!r} cannot be measured by {self.metric.info.name}: {reason}",
                    location=fixture.location,
                )
