"""What a suggestion says of itself: commit message, pull request title."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace

from pytest_pmpo.optimize.records import OptimizeResult

TRAILER = "Pmpo-Suggestion"
"""Names the prompt a suggestion is for; by it a branch is known to be this tool's to update."""


def title(result: OptimizeResult) -> str:
    """One line with the held-out mean before and after."""
    before, after = result.before.heldout.mean, result.after.heldout.mean
    return f"Improve {result.path}: {result.metric.name} {before:.3f} → {after:.3f} {result.metric.unit}"


def commit_message(result: OptimizeResult) -> str:
    """Title, what was measured on how many fixtures, how much of it is form, what is left to do, how it was found."""
    before, after = result.before.heldout.mean, result.after.heldout.mean
    change = f" ({100 * (after - before) / abs(before):+.1f} %)" if before else ""
    comparison = result.verdict.comparison if result.verdict else None
    interval = (
        f"\n95 % interval of the difference (positive is worse): {comparison.low:+.4f} to {comparison.high:+.4f}."
        if comparison
        else ""
    )
    counts = {part: len(ids) for part, ids in result.splits.items()}
    return (
        f"{title(result)}\n\n"
        f"Mean {result.metric.name} under {result.model} over {counts['heldout']} held-out fixtures:\n"
        f"{before:.4f} before, {after:.4f} after{change}, {result.metric.unit}.{interval}{_form(result)}\n\n"
        f"{_to_do(result)}"
        f"Found by pytest-pmpo, strategy {result.strategy}, rewriters {', '.join(result.rewriters) or 'none'}, "
        f"on {counts['train']} train and\n{counts['selection']} selection fixtures; {result.spent}.\n\n"
        f"{TRAILER}: {result.path}\n"
    )


def _form(result: OptimizeResult) -> str:
    form = result.verdict.form if result.verdict else None
    if form is None:
        return ""
    return (
        f"\nOf the difference {form.form:+.4f} is form: the same on labels shuffled among the fixtures.\n"
        f"{form.rest:+.4f} is left for the right labels ({form.low:+.4f} to {form.high:+.4f})."
    )


def _to_do(result: OptimizeResult) -> str:
    """What is left to do. A host reads "fixes #1" and "@name" in a commit message as orders, so ids lose such signs."""
    harmless = tuple(re.sub(r"[^\w./-]+", "_", name) for name in result.shown.ids)
    sentence = replace(result.shown, ids=harmless).sentence
    return textwrap.fill(f"To do: {sentence}.", 110, break_on_hyphens=False) + "\n\n" if sentence else ""
