"""How much of a held-out gain is form: the gate's control, paid for together with the held-out losses it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pmpo.errors import BudgetError, EncodingError, ModelError
from pytest_pmpo.gate.form import significant, with_form
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.optimize.evaluation import Evaluation
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.form_control import WithControl
from pytest_pmpo.scoring.records import PromptScore


class HeldoutForm:
    """Scores prompts on the held-out fixtures; under cross-entropy with labels shuffled among them, in the same call.

    Prompt and input are paid for once, the shuffled labels' tokens come on top. They are journalled like any other
    text's, and nothing is chosen by them.
    """

    def __init__(self, evaluation: Evaluation, fixtures: Sequence[Fixture]) -> None:
        self._evaluation, self._fixtures = evaluation, tuple(fixtures)
        self._controls: dict[str, PromptScore] = {}
        self._why_not = ""
        self._metric: WithControl | None = None
        if isinstance(evaluation.metric, CrossEntropy):
            metric = WithControl(evaluation.metric, self._fixtures)
            if all(metric.supports(fixture) is None for fixture in self._fixtures):
                self._metric = metric
            else:
                self._why_not = "all held-out fixtures have the same label"

    def score(self, prompt: Prompt) -> PromptScore:
        """The prompt over the held-out fixtures, and its control as far as it can be had.

        Raises:
            BudgetError: if not even the right labels fit.
            PmpoError: whatever the scorer raises for them.
        """
        if self._metric is not None and prompt.template_digest not in self._controls:
            try:
                [both] = self._evaluation.score([prompt], self._fixtures, self._metric, from_reserve=True)
            except (BudgetError, EncodingError, ModelError) as error:
                self._why_not = error.message  # if the right labels are to blame, it is raised again
            else:
                self._controls[prompt.template_digest] = self._metric.split(both, self._fixtures)[1]
        return self._evaluation.score([prompt], self._fixtures, from_reserve=True)[0]

    def extra_cost(self, prompt: Prompt) -> int:
        """Forward tokens of the prompt's control, beyond those of its right labels."""
        if self._metric is None:
            return 0
        try:
            both = self._evaluation.cost([prompt], self._fixtures, self._metric)
        except EncodingError:
            return 0  # a label that cannot follow another fixture's input: then there is no control
        return both - self._evaluation.cost([prompt], self._fixtures)

    def beside(
        self, verdict: Verdict, base: tuple[Prompt, PromptScore], head: tuple[Prompt, PromptScore], policy: Policy
    ) -> tuple[Verdict, tuple[str, ...]]:
        """The verdict with the share of its change that is form, and a note where that should be there and is not."""
        if not significant(verdict) or not isinstance(self._evaluation.metric, CrossEntropy):
            return verdict, ()
        controls = [self._controls.get(prompt.template_digest) for prompt, _ in (base, head)]
        if controls[0] is None or controls[1] is None:
            why = self._why_not
            return verdict, (f"how much of the held-out change is form could not be measured: {why}",)
        return with_form(verdict, (base[1], controls[0]), (head[1], controls[1]), policy), ()
