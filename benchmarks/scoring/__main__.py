"""Print the table: ``python -m benchmarks.scoring --device cuda --model qwen2.5-7b --job h200``.

All rows are from one run, so their ratios mean something on a shared machine; the floor's rate is measured in the
same run too. Every way's losses are compared with the first way's before its time is believed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.scoring import job as jobs
from benchmarks.scoring import models, vllm_engine, ways
from benchmarks.scoring.floor import matmul_rate, matrix_flops
from benchmarks.scoring.tables import Way, growth_table, variants_table, ways_table
from pytest_pmpo.scoring.records import EncodedSequence

Work = TypeVar("Work", jobs.Job, jobs.Variants)

JOBS = {"h200": jobs.H200, "cpu": jobs.CPU}


def main() -> int:
    """Print what was asked for: the ways of one job, or how one way's cost grows."""
    arguments = _arguments()
    device = torch.device(arguments.device)
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if device.type == "cuda" else "float32"))
    model = models.load(arguments.model, device, dtype)
    print(f"{arguments.model}, {dtype}, {_machine(device)}, {_versions()}")
    if arguments.job == "long":
        growth_table(_sized(jobs.LONG, arguments.fixtures), model, device, arguments.repeats)
    elif arguments.job == "variants":
        variants_table(_sized(jobs.VARIANTS, arguments.fixtures), model, device, arguments.repeats)
    else:
        _compare(arguments, model, device, dtype)
    return 0


def _sized(work: Work, fixtures: int | None) -> Work:
    return work if fixtures is None else work.with_fixtures(fixtures)


def _compare(arguments: argparse.Namespace, model: Any, device: torch.device, dtype: torch.dtype) -> None:
    job = _sized(JOBS[arguments.job], arguments.fixtures)
    sequences = job.sequences(model.config.vocab_size)
    size = 8192 if device.type == "cuda" else 2048
    print(job.describe(sequences))
    print(f"floor: linear layers at the rate of a {size}² product")
    with tempfile.TemporaryDirectory() as scratch:
        table = [*_library_ways(arguments, model), *_our_ways(arguments, model)]
        skipped = vllm_engine.reason_to_skip(device)
        if skipped is None:
            table += _vllm_ways(arguments, model, sequences, Path(scratch))
        chosen = [way for way in table if not arguments.only or any(word in way.name for word in arguments.only)]
        rate = partial(matmul_rate, device, dtype, size)
        ways_table(chosen, sequences, matrix_flops(model, sequences), rate, device, arguments.repeats)
    if skipped is not None:
        print(f"\nskipped: {skipped}")


def _library_ways(arguments: argparse.Namespace, model: Any) -> list[Way]:
    table = [Way("one sequence at a time, full logits", partial(ways.one_at_a_time, model))]
    for n in arguments.batch_sizes:
        table.append(
            Way(f"padded batches of {n}, full log-softmax", partial(ways.padded_full_logits, model, batch_size=n))
        )
    for n in arguments.lm_eval:
        call = partial(ways.lm_evaluation_harness, model, models.tokenizer(arguments.model), batch_size=n)
        table.append(Way(f"lm-evaluation-harness, batch {n}", call))
    return table


def _our_ways(arguments: argparse.Namespace, model: Any) -> list[Way]:
    table = [Way(f"pytest-pmpo, {path} path", ways.Ours(model, path)) for path in ("plain", "prefix", "tree")]
    return table + [
        Way(f"pytest-pmpo, tree path, {n} a row", ways.Ours(model, "tree", n)) for n in arguments.row_tokens
    ]


def _vllm_ways(
    arguments: argparse.Namespace, model: Any, sequences: Sequence[EncodedSequence], scratch: Path
) -> list[Way]:
    folder = models.directory(arguments.model, model, arguments.weights or scratch)
    engine = vllm_engine.VLLM(lambda: folder, max(len(s.tokens) for s in sequences))
    return [
        Way("vLLM prompt_logprobs", engine.prompt_logprobs, memory=False),
        Way("vLLM prefill with prefix cache, no loss", engine.prefill, memory=False),
    ]


def _machine(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "transformers", "liger_kernel", "lm_eval", "vllm"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype")
    parser.add_argument("--model", default="smollm2-135m", help="a shape or a directory")
    parser.add_argument("--job", choices=[*JOBS, "long", "variants"], default="cpu")
    parser.add_argument("--fixtures", type=int, help="of every prompt, instead of the job's own number")
    parser.add_argument("--repeats", type=int, default=2, help="the fastest run counts; a slow way runs once")
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[8])
    parser.add_argument("--lm-eval", type=int, nargs="*", default=[], help="batch sizes of lm-evaluation-harness")
    parser.add_argument("--row-tokens", type=int, nargs="*", default=[])
    parser.add_argument("--only", nargs="*", help="ways whose name holds one of these words")
    parser.add_argument("--weights", type=Path, help="where random weights are written for vLLM")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
