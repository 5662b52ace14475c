"""The results as Markdown tables."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gate_calibration import nulls
from benchmarks.gate_calibration.runs import ALPHA, AT_MDE, HARD_BREAK, SCALE, SHARED, Level, Power

HEADING = "## Gate calibration"


def section(facts: str, levels: Sequence[Level], powers: Sequence[Power]) -> str:
    """The whole section, heading first."""
    return "\n\n".join(
        [
            HEADING,
            facts,
            *_level_tables(sorted(levels, key=lambda r: (nulls.NULLS.index(r.name), r.n))),
            *_power_table(sorted(powers, key=lambda r: (r.name, r.n, r.effect))),
        ]
    )


def _percent(share: float, replications: int) -> str:
    error = math.sqrt(max(share * (1 - share), 1 / replications) / replications)
    return f"{100 * share:.1f} ± {100 * error:.1f}"


def _level_tables(levels: Sequence[Level]) -> list[str]:
    rows = [
        "| null | draws | regressed, alpha 5 % | regressed, alpha 0.5 % | 95 % interval covers | hard break "
        "| sign-flip alone | BCa alone | Hall × 2 alone |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in levels:
        parts = " | ".join(_percent(share, r.parts_replications) for share in r.parts.values())
        high = r.false_alarms - ALPHA > 3 * math.sqrt(ALPHA * (1 - ALPHA) / r.replications)
        high_shared = r.false_alarms_shared - SHARED > 3 * math.sqrt(SHARED * (1 - SHARED) / r.replications)
        rows.append(
            f"| {r.name} | {r.n} | {_marked(_percent(r.false_alarms, r.replications), high)} "
            f"| {_marked(_percent(r.false_alarms_shared, r.replications), high_shared)} "
            f"| {_percent(r.coverage, r.replications)} | {100 * r.hard_breaks:.1f} | {parts} |"
        )
    replications, few = levels[0].replications, levels[0].parts_replications
    return [
        f"Share of false `regressed`, in percent ± Monte Carlo standard error, when the true mean difference is zero "
        f"and the tolerance is zero ({replications} replications; the last three columns are the ingredients alone at "
        f"5 %, {few} replications). **Bold** is above alpha by more than three standard errors. Alpha 0.5 % is what "
        f"each of ten changed prompts gets. The hard-break guard stands outside alpha: its column is the share of runs "
        f"with a fixture losing more than {HARD_BREAK:g} nat/token if one standard deviation is {SCALE:g} nats/token.",
        "\n".join(rows),
    ]


def _marked(text: str, high: bool) -> str:
    return f"**{text}**" if high else text


def _power_table(powers: Sequence[Power]) -> list[str]:
    effects = sorted({r.effect for r in powers if r.effect > 0})
    columns = " | ".join(f"{e:g} sd" for e in effects)
    rows = [f"| differences | draws | {columns} | at the printed MDE |", "| --- |" + " ---: |" * (len(effects) + 2)]
    cells = {(r.name, r.n, r.effect): r for r in powers}
    for name, n in sorted({(r.name, r.n) for r in powers}):
        row = [cells.get((name, n, e)) for e in (*effects, AT_MDE)]
        shown = " | ".join("—" if r is None else f"{100 * r.found:.0f} / {100 * r.found_shared:.0f}" for r in row)
        rows.append(f"| {name} | {n} | {shown} |")
    return [
        f"Power: share of runs called `regressed`, in percent, at alpha 5 % / 0.5 %, by true mean difference in "
        f"standard deviations of a difference ({powers[0].replications} replications, standard error at most "
        f"{50 / math.sqrt(powers[0].replications):.1f}; a dash is an effect beyond five standard errors, not run). "
        f"The last column is the power at the minimum detectable effect that the gate prints, which aims at 80 %.",
        "\n".join(rows),
    ]


def replaced(path: Path, text: str) -> str:
    """The file's text with this section new: in place of the old one, else at the end."""
    old = path.read_text(encoding="utf-8") if path.exists() else "# Benchmark results\n"
    pattern = re.compile(rf"^{re.escape(HEADING)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(old):
        return pattern.sub(lambda _: text + "\n\n", old).rstrip() + "\n"
    return f"{old.rstrip()}\n\n{text}\n"
