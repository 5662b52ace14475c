"""The last step of a verdict: whether a failure fails the build, or only informs."""

from __future__ import annotations

from dataclasses import replace

from pytest_pmpo.gate.records import Verdict


def informing(verdict: Verdict) -> Verdict:
    """The verdict; where it fails and ``policy.blocking`` does not let its metric block, as one that informs only.

    Its status stays what it is, and the reason says why the build does not fail.
    """
    if not verdict.failed or verdict.policy.blocks(verdict.metric):
        return verdict
    # said once, in the note, where that is why
    reason = verdict.reason.removesuffix(f"; {_proxy(verdict)}") if _by_proxy(verdict) else verdict.reason
    return replace(verdict, failed=False, informs=True, reason=f"{reason}; {_note(verdict)}")


def note(verdict: Verdict) -> str:
    """``informs only: blocking = "no-proxy" and cross-entropy is a proxy for accuracy``; empty where it does not."""
    return _note(verdict) if verdict.informs else ""


def _note(verdict: Verdict) -> str:
    because = f" and {_proxy(verdict)}" if _by_proxy(verdict) else ""
    return f'informs only: blocking = "{verdict.policy.blocking}"{because}'


def _by_proxy(verdict: Verdict) -> bool:
    return verdict.policy.blocking == "no-proxy"


def _proxy(verdict: Verdict) -> str:
    return f"{verdict.metric.name} is a proxy for accuracy"
