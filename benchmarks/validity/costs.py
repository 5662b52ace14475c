"""What each way to judge a new version of a prompt costs: tokens and seconds on the machine of the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.validity.records import TaskRun


def table(runs: Sequence[TaskRun]) -> str:
    """Per version of a prompt: 120 items judged once."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for run in runs:
        seconds, tokens, samples = run.meta["seconds"], run.meta["tokens"], run.meta["samples"]
        p = len(run.prompts)
        decoded = tokens["decoded sampled"] + tokens["decoded greedy"] + tokens["decoded bank"]
        per_token = seconds["sample"] / decoded
        sampled, greedy = tokens["decoded sampled"] / p, tokens["decoded greedy"] / p
        scored = tokens["scored per prompt"]
        rows.setdefault(f"sample {samples} answers per item and grade", []).append(
            (sampled, sampled * per_token, samples * run.n)
        )
        rows.setdefault("one greedy answer per item and grade", []).append((greedy, greedy * per_token, run.n))
        rows.setdefault("score the response bank", []).append((scored, seconds["score"] / p, 0))
    lines = [
        "### Cost of judging one version",
        "",
        f"{runs[0].n} items, {runs[0].meta['device']}, {runs[0].meta['model']}; means over tasks. Seconds of decoding "
        "are the batch's seconds shared out by tokens, thousands of answers at once: the best case for sampling.",
        "",
        "| way | tokens | seconds | answers to grade | seconds, to sampling |",
        "|---|---|---|---|---|",
    ]
    first = np.mean([row[1] for row in next(iter(rows.values()))])
    for name, values in rows.items():
        tokens_, seconds_, grades = np.mean(values, 0)
        lines.append(f"| {name} | {tokens_:,.0f} | {seconds_:.2f} | {grades:.0f} | {seconds_ / first:.2f} |")
    return "\n".join(lines)
