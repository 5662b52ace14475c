"""What a suggestion says of itself: commit message, pull request title.

A host reads "fixes #1", "@name" and "[skip ci]" in either as orders, and a line break would begin a line of its own; so
names of files, fixtures and models lose such signs.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from math import isinf
from urllib.parse import quote

from pytest_pmpo.optimize.records import OptimizeResult

TRAILER = "Pmpo-Suggestion"
"""Names the prompt a suggestion is for; by it a branch is known to be this tool's to update."""


_LONGEST = 120
"""Characters of a path in a title: GitHub takes 256 in all."""


def title(result: OptimizeResult) -> str:
    """One line with the held-out mean before and after."""
    before, after = result.before.heldout.mean, result.after.heldout.mean
    path = _harmless(result.path)
    shown = path if len(path) <= _LONGEST else f"…{path[1 - _LONGEST :]}"
    return f"Improve {shown}: {result.metric.name} {before:.3f} → {after:.3f} {result.metric.unit}"


def trailer_value(path: str) -> str:
    """What stands for a prompt's path in the trailer: all but letters, digits and ``_./-`` percent-encoded.

    No two paths have the same one, so that a branch is never taken for that of another prompt.
    """
    return re.sub(r"[^\w./-]+", lambda found: quote(found[0], safe="", errors="surrogatepass"), path)


def commit_message(result: OptimizeResult) -> str:
    """Title, what was measured on how many fixtures, how much of it is form, what is left to do, how it was found."""
    before, after = result.before.heldout.mean, result.after.heldout.mean
    change = f" ({100 * (after - before) / abs(before):+.1f} %)" if before else ""
    comparison = result.verdict.comparison if result.verdict else None
    interval = (
        f"\n95 % interval of the difference (positive is worse): {_ends(comparison.low, comparison.high)}."
        if comparison
        else ""
    )
    rewriters = ", ".join(map(_named, result.rewriters)) or "none"
    counts = {part: len(ids) for part, ids in result.splits.items()}
    return (
        f"{title(result)}\n\n"
        f"Mean {result.metric.name} under {_named(result.model)} over {counts['heldout']} held-out fixtures:\n"
        f"{before:.4f} before, {after:.4f} after{change}, {result.metric.unit}.{interval}{_form(result)}\n\n"
        f"{_to_do(result)}"
        f"Found by pytest-pmpo, strategy {_named(result.strategy)}, rewriters {rewriters}, "
        f"on {counts['train']} train and\n{counts['selection']} selection fixtures; {result.spent}.\n\n"
        f"{TRAILER}: {trailer_value(result.path)}\n"
    )


def _ends(low: float, high: float) -> str:
    return "too few fixtures for one" if isinf(low) and isinf(high) else f"{low:+.4f} to {high:+.4f}"


def _form(result: OptimizeResult) -> str:
    form = result.verdict.form if result.verdict else None
    if form is None:
        return ""
    return (
        f"\nOf the difference {form.form:+.4f} is form: the same on labels shuffled among the fixtures.\n"
        f"{form.rest:+.4f} is left for the right labels ({_ends(form.low, form.high)})."
    )


def _to_do(result: OptimizeResult) -> str:
    """What is left to do."""
    shown = replace(
        result.shown, ids=tuple(map(_harmless, result.shown.ids)), files=tuple(map(_harmless, result.shown.files))
    )
    sentence = shown.sentence
    return textwrap.fill(f"To do: {sentence}.", 110, break_on_hyphens=False) + "\n\n" if sentence else ""


def _harmless(name: str) -> str:
    """A name of a file or fixture without the signs that mean something to a host."""
    return re.sub(r"[^\w./-]+", "_", name)


def _named(name: str) -> str:
    """The name of a model or rewriter, whose ``@revision`` and ``:variant`` order nothing and stay."""
    return re.sub(r"[^\w./:@+-]+|(?<!\w)@", "_", name)
