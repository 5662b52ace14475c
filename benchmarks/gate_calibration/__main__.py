"""How often the gate fails a change that is none, and how often it finds one that is.

    python -m benchmarks.gate_calibration            # five to seven minutes on two idle cores
    python -m benchmarks.gate_calibration --quick    # half a minute, wider standard errors

Prints Markdown tables; ``--out FILE`` writes them into that file under the heading "Gate calibration", in place of an
older such section.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from benchmarks.gate_calibration import runs, tables

SIZES = (8, 20, 50, 200)
EFFECTS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.2)

Job = TypeVar("Job")
Result = TypeVar("Result")


def main() -> None:
    """Run, print, and write where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_calibration", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the replications")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="Markdown file to write the section into")
    arguments = parser.parse_args()
    share = 10 if arguments.quick else 1
    started = time.monotonic()
    with ProcessPoolExecutor(arguments.processes) as pool:
        levels = _run(pool, runs.level, runs.jobs(SIZES, 6000 // share, 1000 // share))
        powers = _run(pool, runs.found, runs.power_jobs(SIZES, EFFECTS, 400 // share))
    facts = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()} with {os.cpu_count()} cores, {arguments.processes} "
        f"processes, {time.monotonic() - started:.0f} s ({_processor_seconds():.0f} s of processor time); "
        f"Python {platform.python_version()}, numpy {version('numpy')}, scipy {version('scipy')}. "
        f"`python -m benchmarks.gate_calibration{' --quick' if arguments.quick else ''}`"
    )
    text = tables.section(facts, levels, powers)
    print(text)
    if arguments.out:
        arguments.out.write_text(tables.replaced(arguments.out, text), encoding="utf-8")


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(pool: ProcessPoolExecutor, work: Callable[[Job], Result], jobs: Sequence[Job]) -> list[Result]:
    return list(pool.map(work, jobs))


if __name__ == "__main__":
    main()
