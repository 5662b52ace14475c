"""Print the table: ``python -m benchmarks.scoring --device cuda --model qwen2.5-7b --job h200``.

All rows are from one run, so their ratios mean something on a shared machine; the floor's rate is measured in the
same run too. Every way's losses are compared with the first way's before its time is believed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.scoring import job as jobs
from benchmarks.scoring import models, ways
from benchmarks.scoring.floor import matmul_rate, matrix_flops, timed
from pytest_pmpo.scoring.records import EncodedSequence

JOBS = {"h200": jobs.H200, "cpu": jobs.CPU, "long": jobs.LONG}


def main() -> int:
    """Run every way and print seconds, × floor and peak memory beyond the weights."""
    arguments = _arguments()
    device = torch.device(arguments.device)
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if device.type == "cuda" else "float32"))
    model = models.load(arguments.model, device, dtype)
    sequences = JOBS[arguments.job].sequences(model.config.vocab_size)
    size = 8192 if device.type == "cuda" else 2048
    rate = matmul_rate(device, dtype, size)
    floor = matrix_flops(model, sequences) / rate
    print(f"{arguments.model}, {dtype}, {_machine(device)}, {_versions()}")
    print(JOBS[arguments.job].describe(sequences))
    print(f"floor {floor:.2f} s at {rate / 1e12:.3g} TFLOP/s (a {size}² product)\n")
    print(f"| {'way':<44} | seconds | × floor | peak GB beyond weights | largest difference, nats/token |")
    print(f"|{'-' * 46}|--------:|--------:|-----------------------:|-------------------------------:|")
    reference: np.ndarray | None = None
    for name, call in _ways(arguments, model, sequences):
        seconds, peak, means = _measure(call, device, arguments.repeats)
        reference = np.array(means) if reference is None else reference
        difference = float(np.abs(np.array(means) - reference).max())
        peak_text = "–" if peak is None else f"{peak / 1e9:.2f}"
        print(
            f"| {name:<44} | {seconds:7.2f} | {seconds / floor:7.2f} | {peak_text:>22} | {difference:30.1e} |",
            flush=True,
        )
    return 0


def _ways(
    arguments: argparse.Namespace, model: Any, sequences: Sequence[EncodedSequence]
) -> list[tuple[str, Callable[[], ways.Means]]]:
    def ours(path: str, tokens: int | None) -> Callable[[], ways.Means]:
        scorer = ways.Ours(model, path, tokens)
        return lambda: scorer(sequences)

    table: list[tuple[str, Callable[[], ways.Means]]] = [
        ("one sequence at a time, full logits", lambda: ways.one_at_a_time(model, sequences)),
    ]
    table += [
        (f"padded batches of {n}, full log-softmax", lambda n=n: ways.padded_full_logits(model, sequences, n))
        for n in arguments.batch_sizes
    ]
    if arguments.lm_eval:
        tokenizer = models.tokenizer(arguments.model)
        table += [
            (
                f"lm-evaluation-harness, batch {n}",
                lambda n=n: ways.lm_evaluation_harness(model, tokenizer, sequences, n),
            )
            for n in arguments.lm_eval
        ]
    table += [(f"pytest-pmpo {path} path", ours(path, None)) for path in ("plain", "prefix", "tree")]
    table += [(f"pytest-pmpo tree path, {n} tokens a row", ours("tree", n)) for n in arguments.row_tokens]
    return [row for row in table if not arguments.only or any(word in row[0] for word in arguments.only)]


def _measure(
    call: Callable[[], ways.Means], device: torch.device, repeats: int
) -> tuple[float, int | None, ways.Means]:
    held: list[ways.Means] = []
    if device.type == "cuda":
        call()  # kernels load on first use
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    seconds = min(timed(lambda: held.append(call()), device) for _ in range(repeats))
    peak = torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else None
    return seconds, peak, held[-1]


def _machine(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"


def _versions() -> str:
    names = ("torch", "transformers", "lm_eval") if "--lm-eval" in sys.argv else ("torch", "transformers")
    return ", ".join([f"Python {platform.python_version()}", *(f"{n} {importlib.metadata.version(n)}" for n in names)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype")
    parser.add_argument("--model", default="smollm2-135m", help="a shape or a directory")
    parser.add_argument("--job", choices=JOBS, default="cpu")
    parser.add_argument("--repeats", type=int, default=2, help="the fastest of so many runs counts")
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[8])
    parser.add_argument("--lm-eval", type=int, nargs="*", default=[], help="batch sizes of lm-evaluation-harness")
    parser.add_argument("--row-tokens", type=int, nargs="*", default=[])
    parser.add_argument("--only", nargs="*", help="ways whose name holds one of these words")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
