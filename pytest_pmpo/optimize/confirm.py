"""The held-out check: the gate of a pull request, on fixtures no strategy has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pytest_pmpo.errors import PmpoError
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.optimize.form import HeldoutForm
from pytest_pmpo.optimize.objective import Objective, Part
from pytest_pmpo.optimize.records import Candidate, Measured


@dataclass(frozen=True, slots=True)
class Checked:
    """Old and new prompt on every part, the gate's verdict (None where nothing was accepted) and what follows."""

    before: Measured
    after: Measured
    verdict: Verdict | None
    won: bool
    reason: str
    notes: tuple[str, ...] = ()


def confirm(
    objective: Objective,
    measure: Callable[[Candidate], Measured],
    versions: tuple[Candidate, Candidate],
    heldout: Part,
    policy: Policy,
    model: str,
    form: HeldoutForm,
    *,
    sampling: bool = True,
) -> Checked:
    """Compare the incumbent and the best prompt. Only ``improved``, by losses that can be defended, is a win.

    Args:
        versions: incumbent and best.
        form: what ``measure`` scores the held-out fixtures by.
        sampling: False asks for no fresh responses (a run that was stopped).
    """
    incumbent, best = versions
    if best.digest == incumbent.digest:
        same = measure(incumbent)
        return Checked(same, same, None, False, "no candidate was better than the prompt as it is, beyond the noise")
    notes = _vouched(objective, versions, heldout) if sampling else ()
    before, after = measure(incumbent), measure(best)
    verdict = _defended(decide(after.heldout, before.heldout, policy, model=model), objective, versions, heldout)
    base, head = (incumbent.prompt, before.heldout), (best.prompt, after.heldout)
    verdict, missing = form.beside(verdict, base, head, policy)
    notes += missing
    if verdict.status == "improved":
        return Checked(before, after, verdict, True, f"confirmed on held-out fixtures: {verdict.reason}", notes)
    reason = f"not confirmed on held-out fixtures ({verdict.status}): {verdict.reason}"
    return Checked(before, after, verdict, False, reason, notes)


def _vouched(objective: Objective, versions: tuple[Candidate, Candidate], heldout: Part) -> tuple[str, ...]:
    """Fresh responses of both; what keeps them from coming leaves the check to what there is."""
    try:
        for candidate in versions:
            objective.vouch(candidate.prompt, heldout, from_reserve=True)
    except KeyboardInterrupt:
        return ("the held-out check was cut short by Ctrl-C",)
    except PmpoError as error:
        return (f"the held-out check had to do with the responses there were: {error}",)
    return ()


def _defended(verdict: Verdict, objective: Objective, versions: tuple[Candidate, Candidate], heldout: Part) -> Verdict:
    for name, candidate in zip(("new", "old"), reversed(versions), strict=True):
        short = objective.defended(candidate.prompt, heldout)
        if short is not None:
            reason = f"{short} of what the {name} prompt would answer"
            return replace(verdict, status="inconclusive", failed=verdict.policy.strict, reason=reason)
    return verdict
