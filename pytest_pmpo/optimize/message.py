"""What a suggestion says of itself: commit message, pull request title."""

from __future__ import annotations

from pytest_pmpo.optimize.records import OptimizeResult

TRAILER = "Pmpo-Suggestion"
"""Names the prompt a suggestion is for; by it a branch is known to be this tool's to update."""


def title(result: OptimizeResult) -> str:
    """One line with the held-out mean before and after."""
    before, after = result.before.heldout.mean, result.after.heldout.mean
    return f"Improve {result.path}: {result.metric.name} {before:.3f} → {after:.3f} {result.metric.unit}"


def commit_message(result: OptimizeResult) -> str:
    """Title, what was measured on how many fixtures, how it was found, and the trailer."""
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
        f"{before:.4f} before, {after:.4f} after{change}, {result.metric.unit}.{interval}\n\n"
        f"Found by pytest-pmpo, strategy {result.strategy}, rewriters {', '.join(result.rewriters) or 'none'}, "
        f"on {counts['train']} train and\n{counts['selection']} selection fixtures; {result.spent}.\n\n"
        f"{TRAILER}: {result.path}\n"
    )
