"""Answers written by the fixed-size cache beside transformers' own loop, in turn, on the same conversations.

    python -m benchmarks.writing                                            # the default model, one thread
    python -m benchmarks.writing --model DIR --device cuda --dtype bfloat16 --conversations 8 --samples 8

Prints seconds, the time of a step of the longest answer, and the ratio of each pair of turns.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.generation import Sampler
from pytest_pmpo.scoring.models import resolve

INSTRUCTIONS = "Solve the problem step by step. " + "Do not hurry, and check each step before the next one. " * 12
PROBLEM = "\n\nProblem: what is {a} times {b}, and what is left when it is divided by {c}?"


def main() -> None:
    """See the module."""
    options = _options()
    torch.set_num_threads(options.threads)
    backend: Any = resolve(options.model, root=Path.cwd()).open(options.device, options.dtype)
    since = time.monotonic()
    decoder = backend._decoder
    served = "served" if decoder is not None else "not served"
    print(f"{backend.description}; {served}, tried in {time.monotonic() - since:.2f} s")
    asked = [
        [Turn("user", INSTRUCTIONS + PROBLEM.format(a=i + 12, b=i + 7, c=i % 5 + 3))]
        for i in range(options.conversations)
    ]
    settings = SamplingSettings(max_new_tokens=options.tokens)
    print("| turn | way | seconds | tokens | ms a step | ratio |\n|---:|---|---:|---:|---:|---:|")
    for turn in range(options.turns):
        seconds = []
        for way, used in (("transformers", None), ("fixed cache", decoder)):
            sampler, since = Sampler(backend.model, backend.tokenizer, used), time.monotonic()
            drawn, _ = sampler.draw(asked, settings, options.samples, None)
            seconds.append(time.monotonic() - since)
            lengths = [len(answer.tokens) for answer in drawn]
            ratio = f"{seconds[0] / seconds[1]:.2f}" if len(seconds) == 2 else ""
            step = 1000 * seconds[-1] / max(lengths)
            print(f"| {turn + 1} | {way} | {seconds[-1]:.2f} | {sum(lengths):,} | {step:.1f} | {ratio} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.writing", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--model", default="smollm2-135m")
    add("--device", default="cpu")
    add("--dtype", default="float32")
    add("--threads", type=int, default=1)
    add("--conversations", type=int, default=4)
    add("--samples", type=int, default=8, help="answers to each conversation")
    add("--tokens", type=int, default=96, help="most tokens of an answer")
    add("--turns", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
