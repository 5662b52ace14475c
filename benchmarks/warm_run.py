"""What ``pytest --pmpo`` adds where nothing changed and the cache is warm: ``python -m benchmarks.warm_run``.

A git repository with 100 prompts of four fixtures and one test. After a first run that fills the cache, ``pytest`` and
``pytest --pmpo`` run in turn, and ``pytest`` over 100 test files more, for what pytest itself takes for so many items;
medians of wall and CPU time. The run says what its process had imported when it ended, and how often it ran git.
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
from pathlib import Path

GOAL_SECONDS = 0.5

CONFTEST = """
import sys
git = []
sys.addaudithook(lambda event, args: event == "subprocess.Popen" and git.append(args[1][:1]))
def pytest_unconfigure(config):
    heavy = sorted({"torch", "transformers", "scipy", "numpy", "pydantic"} & sys.modules.keys())
    print("IMPORTED", heavy, "and", len(sys.modules), "modules in all;", len(git), "processes started")
"""


def main() -> int:
    """Print the medians, what is added, and what was imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--runs", type=int, default=9, help="of each kind (default 9)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_repository(folder, arguments.prompts, arguments.model)
        first, _, _ = run(folder, "--pmpo")
        print(f"first run: {first:.1f} s (what the cache of this machine knows already is not scored again)")
        kinds = {"pytest": (), "pytest --pmpo": ("--pmpo",), "pytest, more files": ("tests", "more")}
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        said: dict[str, str] = {}
        for options in kinds.values():
            run(folder, *options)
        for _ in range(arguments.runs):
            for kind, options in kinds.items():
                wall, cpu, said[kind] = run(folder, *options)
                times[kind].append((wall, cpu))
    print(f"Python {platform.python_version()}, pytest {metadata.version('pytest')}, {platform.platform()}")
    print(f"{arguments.prompts} unchanged prompts under {arguments.model}, {arguments.runs} runs of each")
    for kind, pairs in times.items():
        low, middle, high = statistics.quantiles([wall for wall, _ in pairs], n=4)
        cpu = statistics.median(cpu for _, cpu in pairs)
        print(f"{kind:<18} wall {middle:.3f} s (quartiles {low:.3f}–{high:.3f}), CPU {cpu:.3f} s")
    for kind in ("pytest --pmpo", "pytest, more files"):
        for i, name in enumerate(("wall", "CPU")):
            added = statistics.median(b[i] - a[i] for a, b in zip(times["pytest"], times[kind], strict=True))
            goal = f"; goal <= {GOAL_SECONDS} s" if kind == "pytest --pmpo" else ""
            print(f"{kind} adds, {name}: {added:.3f} s (median of pairs{goal})")
    for kind, line in said.items():
        print(f"{kind:<18} {line}")
    return 0


def make_repository(folder: Path, prompts: int, model: str) -> None:
    """The job: prompts that differ, committed."""
    (folder / "prompts").mkdir()
    (folder / "tests").mkdir()
    (folder / "more").mkdir()
    (folder / "pyproject.toml").write_text(f'[tool.pmpo]\nmodel = "{model}"\n')
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "tests/test_x.py").write_text("def test_x():\n    pass\n")
    (folder / ".gitignore").write_text("__pycache__\n.pytest_cache\n")
    for i in range(prompts):
        (folder / f"more/test_{i:03}.py").write_text("def test_x():\n    pass\n")
        rows = "".join(f"  - {{text: message {i} {k}, expected: {'ham' if k % 2 else 'spam'}}}\n" for k in range(4))
        (folder / f"prompts/p{i:03}.prompt.yml").write_text(
            f"name: p{i}\nmessages:\n  - role: system\n    content: Prompt {i}. Sort the message into spam or ham.\n"
            f'  - role: user\n    content: "{{{{text}}}}"\ntestData:\n{rows}'
        )
    identity = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.invalid"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def run(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Wall and CPU time of one pytest process that passes (with the git processes it starts), and what it imported."""
    # without stored bytecode every run would compile both suites' plugins anew
    foreign = ("GITHUB_", "CI", "PYTHONDONTWRITEBYTECODE")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, next(line for line in done.stdout.splitlines() if line.startswith("IMPORTED"))


if __name__ == "__main__":
    raise SystemExit(main())
