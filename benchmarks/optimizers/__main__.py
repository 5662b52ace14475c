"""Optimizers compared on public tasks at equal forward-token budgets.

    python -m benchmarks.optimizers RESULTS.jsonl --tasks sports_understanding --seeds 1        # a laptop, minutes
    python -m benchmarks.optimizers RESULTS.jsonl --tasks choice --model PATH --device cuda --dtype bfloat16 \
        --rewriters structural local-large --strategies pmpo pmpo-paper ape opro evoprompt gepa --forward-tokens 2000000

Every finished run is a line of RESULTS.jsonl; the same command goes on where it was stopped. ``--tables`` only prints.
Needs the public data beside the project, and graders' answers come from the scoring model itself, greedily.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.optimizers import selection_cost, tables
from benchmarks.optimizers.runs import ABLATION, Outcome, optimize
from benchmarks.optimizers.tasks import CHOICE_TASKS, DATA, TASKS, load
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.scoring.cache import LossCache
from pytest_pmpo.scoring.models import resolve
from pytest_pmpo.scoring.scorer import Scorer

MANY_ROUNDS = 1_000
"""Rounds are not the limit here: every strategy stops at the same number of forward tokens, or of its own accord."""


def main() -> None:
    """See the module."""
    options = _options()
    kept = list(_read(options.results))
    if not options.tables:
        if not DATA.is_dir():
            raise SystemExit("the public data is not beside the project (../shared/data): nothing to measure")
        model = resolve(options.model, root=Path.cwd())
        cache = LossCache(options.results.parent / "losses")
        scorer = Scorer(model.fingerprint, lambda: model.open(options.device, options.dtype), cache=cache)
        if options.selection_cost:
            for name in options.tasks:
                task = load(name, 0, 0)
                print(*selection_cost.compare(task, scorer, options.candidates, options.fixtures), "", sep="\n")
            return
        kept += _run(options, scorer, model.name, kept)
    print(f"{platform.machine()}, Python {platform.python_version()}; {len(kept)} runs\n")
    print(*tables.by_task(kept), "", *tables.by_strategy(kept), sep="\n")


def _run(options: argparse.Namespace, scorer: Scorer, model: str, kept: Sequence[Outcome]) -> Iterator[Outcome]:
    done = {(o.task, o.strategy, o.seed, o.model) for o in kept}
    for seed in range(options.seeds):
        for name in options.tasks:
            for strategy in options.strategies:
                if (name, strategy, seed, model) in done:
                    continue
                task = load(name, options.heldout, seed)
                outcome = optimize(
                    task, strategy, options.rewriters, scorer, model, seed=seed,
                    budget=Budget(options.rounds, options.forward_tokens, options.generated_tokens),
                    journals=options.results.parent / "journals", graded=options.graded,
                )  # fmt: skip
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(outcome.to_dict()) + "\n")
                before, after = (sum(x) / len(x) for x in (outcome.loss_before, outcome.loss_after))
                print(
                    f"{name} {strategy} seed {seed}: {before:.3f} -> {after:.3f} in {outcome.seconds:.0f} s", flush=True
                )
                yield outcome


def _read(path: Path) -> Iterator[Outcome]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            row: dict[str, Any] = json.loads(line)
            yield Outcome(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizers", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("results", type=Path, help="JSON Lines; made when missing, added to when not")
    add("--tasks", nargs="+", default=["sports_understanding"], help=f"choice, all, or of {', '.join(TASKS)}")
    add("--strategies", nargs="+", default=["pmpo"], help=f"ablation, or names; rows of it: {', '.join(ABLATION)}")
    add("--rewriters", nargs="+", default=["structural"], help="structural, local, local-large, openai:MODEL@URL")
    add("--model", default="smollm2-135m")
    add("--device", default="cpu")
    add("--dtype", default="float32")
    add("--seeds", type=int, default=3)
    add("--rounds", type=int, default=MANY_ROUNDS)
    add("--forward-tokens", type=int, default=60_000)
    add("--generated-tokens", type=int, default=None)
    add("--heldout", type=int, default=100)
    add("--graded", type=int, default=100, help="held-out fixtures whose greedy answers are graded; 0 grades none")
    add("--tables", action="store_true", help="print the tables of what is there and run nothing")
    add("--selection-cost", action="store_true", help="time selection by loss against generating and grading")
    add("--candidates", type=int, default=12)
    add("--fixtures", type=int, default=50)
    options = parser.parse_args()
    sets = {"choice": CHOICE_TASKS, "all": TASKS}
    options.tasks = [name for given in options.tasks for name in sets.get(given, (given,))]
    if options.strategies == ["ablation"]:
        options.strategies = list(ABLATION)
    return options


if __name__ == "__main__":
    main()
