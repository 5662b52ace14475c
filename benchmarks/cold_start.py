"""From nothing to a real model's first losses: ``python -m benchmarks.cold_start DIR --device cuda --dtype bfloat16``.

Every row is a process of its own. Bytecode is stored, as pip stores it at installation: a first process, which is not
counted, writes it and brings the weights into the page cache. Compiled kernels are kept in folders of this run alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from benchmarks.scoring.job import H200, Job

CPU_JOB = Job(prompts=2, fixtures=8, prefix=60, input=8, target=4)


@dataclass(frozen=True)
class Stages:
    """Seconds a process took: ``torch`` and ``imports`` from its start, the former part of the latter."""

    torch: float
    imports: float
    opening: float
    scoring: float
    description: str

    @property
    def total(self) -> float:
        """From the process's start to the last loss; what makes up the prompts is not in it."""
        return self.imports + self.opening + self.scoring


def main() -> int:
    """Print the table; with ``--began`` be one of the processes it times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="of a causal language model")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--repeats", type=int, default=2, help="of every row (default 2)")
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    if not directory.is_dir():
        parser.error(f"no directory {directory}")
    if arguments.began is not None:
        print(json.dumps(asdict(open_and_score(directory, arguments.device, arguments.dtype, arguments.began))))
        return 0
    command = [str(directory), "--device", arguments.device, "--dtype", arguments.dtype]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers"))
    print(f"{directory.name}, {arguments.device}, {arguments.dtype}, Python {platform.python_version()}, {versions}\n")
    with tempfile.TemporaryDirectory() as scratch:
        print_table(command, Path(scratch), arguments.repeats)
    return 0


def print_table(command: list[str], scratch: Path, repeats: int) -> None:
    """Per repeat one process without compiled kernels and one that finds those the other left."""
    run(command, environment(scratch, "first"))
    print(f"| {'seconds':<31} | imports (of these torch) | opening | two prompts | total |")
    print(f"|{'-' * 33}|-------------------------:|--------:|------------:|------:|")
    for number in range(repeats):
        for row in ("no compile cache", "compile cache of the run before"):
            stages = run(command, environment(scratch, f"compiled-{number}"))
            imports = f"{stages.imports:.2f} ({stages.torch:.2f})"
            rest = f"{stages.opening:7.2f} | {stages.scoring:11.2f} | {stages.total:5.2f}"
            print(f"| {row:<31} | {imports:>24} | {rest} |", flush=True)
    print(f"\n{stages.description}")


def environment(scratch: Path, compiled: str) -> Mapping[str, str]:
    """Of a process: bytecode shared by all of the run, and the named folder for what Triton and the driver compile."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    folders = {
        "PYTHONPYCACHEPREFIX": scratch / "bytecode",
        "TRITON_CACHE_DIR": scratch / compiled / "triton",
        "CUDA_CACHE_PATH": scratch / compiled / "driver",
    }
    return kept | {key: str(folder) for key, folder in folders.items()}


def run(command: list[str], environ: Mapping[str, str]) -> Stages:
    """One process; its errors go where ours go."""
    began = ["--began", repr(time.time())]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cold_start", *command, *began],
        cwd=Path(__file__).parents[1],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Stages(**json.loads(done.stdout.splitlines()[-1]))


def open_and_score(directory: Path, device: str, dtype: str, began: float) -> Stages:
    """What a test run does first, in this process, which was started at ``began``, seconds since the epoch."""
    import torch  # noqa: F401

    torch_at = time.time()
    from pytest_pmpo.scoring.backends.loading import open_directory

    imported_at = time.time()
    backend = open_directory(directory, device=device, dtype=dtype)
    opened_at = time.time()
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    job = replace(H200, prompts=2) if device.startswith("cuda") else CPU_JOB
    sequences = job.sequences(config.get_text_config().vocab_size)
    ready_at = time.time()
    backend.score(sequences)
    return Stages(
        torch=torch_at - began,
        imports=imported_at - began,
        opening=opened_at - imported_at,
        scoring=time.time() - ready_at,
        description=backend.description,
    )


if __name__ == "__main__":
    raise SystemExit(main())
