"""What the installed plugin costs a pytest that does not ask for it: ``python -m benchmarks.idle_cost``.

``pytest --collect-only`` on an empty project, with the plugin and with ``-p no:pmpo``, in turn; medians of wall and CPU
time. The package must be installed in this environment, or its entry point is not found.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata

GOAL_SECONDS = 0.030


def main() -> int:
    """Print medians, their difference, and the spread of what is compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=25, help="of each kind (default 25)")
    runs = parser.parse_args().runs
    if "pytest_pmpo.plugin" not in {entry.value for entry in metadata.entry_points(group="pytest11")}:
        parser.error("the package is not installed here: pip install -e .")
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"without the plugin": ["-p", "no:pmpo"], "idle plugin": []}
        for arguments in kinds.values():
            seconds_of(folder, arguments)  # fill the file system's cache and write bytecode
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for _ in range(runs):
            for kind, arguments in kinds.items():
                times[kind].append(seconds_of(folder, arguments))
    print(
        f"Python {platform.python_version()}, pytest {metadata.version('pytest')}, {platform.platform()}, {runs} runs"
    )
    print(f"| {'pytest --collect-only':<22} | wall ms | quartiles ms | CPU ms |")
    print(f"|{'-' * 24}|--------:|-------------:|-------:|")
    for kind, pairs in times.items():
        low, middle, high = statistics.quantiles([wall for wall, _ in pairs], n=4)
        cpu = statistics.median(cpu for _, cpu in pairs)
        print(f"| {kind:<22} | {middle * 1e3:7.1f} | {low * 1e3:5.0f}–{high * 1e3:<6.0f} | {cpu * 1e3:6.1f} |")
    for i, name in enumerate(("wall", "CPU")):
        added = statistics.median(b[i] - a[i] for a, b in zip(*times.values(), strict=True))
        print(f"idle plugin, {name}: {added * 1e3:+.1f} ms (median of pairs; goal < {GOAL_SECONDS * 1e3:.0f} ms)")
    return 0


def seconds_of(folder: str, arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU time of one pytest process."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


if __name__ == "__main__":
    raise SystemExit(main())
