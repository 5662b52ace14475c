"""Optimizers compared on public tasks at equal forward-token budgets.

    python -m benchmarks.optimizers RESULTS.jsonl --tasks sports_understanding --seeds 1        # a laptop, minutes
    python -m benchmarks.optimizers RESULTS.jsonl --tasks choice --model PATH --device cuda --dtype bfloat16 \
        --rewriters structural local-large --strategies pmpo pmpo-paper ape opro evoprompt gepa --forward-tokens 2000000

    python -m benchmarks.optimizers RESULTS.jsonl --objective bank --bank-per-fixture 6 --answer-tokens 256 …

Every finished run is a line of RESULTS.jsonl; the same command goes on where it was stopped. ``--tables`` only prints.
Needs the public data beside the project, and graders' answers come from the scoring model itself, greedily; with
``--graded 0`` none are drawn, and ``python -m benchmarks.optimizers.grading`` grades all runs at once afterwards.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from benchmarks.optimizers import pool, results, selection_cost, tables
from benchmarks.optimizers.bank import BankPlan
from benchmarks.optimizers.pool import Engine, Job, SideBySide
from benchmarks.optimizers.runs import ABLATION, Outcome, Settings
from benchmarks.optimizers.tasks import CHOICE_TASKS, DATA, TASKS, load

MANY_ROUNDS = 1_000
"""Rounds are not the limit here: every strategy stops at the same number of forward tokens, or of its own accord."""


def main() -> None:
    """See the module."""
    options = _options()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    kept = results.read(options.results)
    if not options.tables:
        if not DATA.is_dir():
            raise SystemExit("the public data is not beside the project (../shared/data): nothing to measure")
        engine = Engine(options.model, options.device, options.dtype, options.memory / options.processes)
        if options.selection_cost:
            for name in options.tasks:
                task = load(name, 0, 0)
                compared = selection_cost.compare(task, engine.scorer(), options.candidates, options.fixtures)
                print(*compared, "", sep="\n")
            return
        kept += _run(options, engine, kept)
    print(f"{platform.machine()}, Python {platform.python_version()}; {len(kept)} runs\n")
    print(*tables.by_task(kept), "", sep="\n")
    _compare(kept)
    shared = tables.shared(kept)
    if 0 < len(shared) < len(kept):
        print(f"\nOnly the {len(shared)} runs on tasks and seeds that every strategy ended:\n")
        _compare(shared)


def _compare(outcomes: Sequence[Outcome]) -> None:
    print(*tables.by_strategy(outcomes), sep="\n")
    print("\nAs handed over: a run whose winner the gate did not confirm leaves no patch.\n")
    print(*tables.by_strategy(tables.handed_over(outcomes)), sep="\n")


def _run(options: argparse.Namespace, engine: Engine, kept: Sequence[Outcome]) -> Iterator[Outcome]:
    settings = Settings(
        rewriters=tuple(options.rewriters), rounds=options.rounds, forward_tokens=options.forward_tokens,
        generated_tokens=options.generated_tokens, passes=options.passes, heldout=options.heldout,
        graded=options.graded, written=options.written, answer_tokens=options.answer_tokens,
        journals=options.results.parent / "journals", bank=_bank(options),
    )  # fmt: skip
    done = {(o.task, o.strategy, o.seed, o.model) for o in kept}
    name = engine.name
    wanted = product(range(options.first_seed, options.seeds), options.tasks, options.strategies)
    jobs = [
        Job(task, strategy, seed)
        for seed, task, strategy in wanted
        if (task, settings.label(strategy), seed, name) not in done
    ]
    for outcome in pool.run(jobs, engine, settings, SideBySide(options.processes, options.threads), options.minutes):
        results.append(options.results, outcome)
        before, after = (sum(x) / len(x) for x in (outcome.loss_before, outcome.loss_after))
        title = f"{outcome.task} {outcome.strategy} seed {outcome.seed}"
        print(f"{title}: {before:.3f} -> {after:.3f} in {outcome.seconds:.0f} s", flush=True)
        yield outcome


def _bank(options: argparse.Namespace) -> BankPlan | None:
    if options.objective == "loss":
        return None
    return BankPlan(
        options.bank_per_fixture, tuple(options.bank_from.split(",")), options.bank_top_up,
        options.answer_tokens or 256, options.results.parent / "banks",
    )  # fmt: skip


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
    add("--first-seed", type=int, default=0, help="for a second GPU: the seeds below it are left to another command")
    add("--rounds", type=int, default=MANY_ROUNDS)
    add("--forward-tokens", type=int, default=60_000)
    add("--passes", type=float, help="instead: times the tokens of scoring the starting prompt on all its fixtures")
    add("--generated-tokens", type=int, default=None)
    add("--heldout", type=int, default=100)
    add("--graded", type=int, default=100, help="held-out fixtures whose greedy answers are graded; 0 grades none")
    add("--written", type=int, default=512, help="most tokens of a rewriter's answer")
    add("--answer-tokens", type=int, default=0, help="most tokens of a graded answer; default the task's own")
    add("--processes", type=int, default=1, help="runs side by side, each process with its own copy of the model")
    add("--threads", type=int, default=1, help="runs side by side in one process; they share the model")
    add("--memory", type=float, default=0.9, help="share of the GPU's memory for all of them; less beside other runs")
    add("--minutes", type=float, default=float("inf"), help="no run begins later than this")
    add("--objective", choices=("loss", "bank"), default="loss", help="of the labels, or of a response bank")
    add("--bank-per-fixture", type=int, default=6, metavar="N", help="responses to each fixture")
    add("--bank-from", default="incumbent,none,cot", help="prompts the bank is drawn from")
    add("--bank-top-up", type=int, default=2, metavar="N", help="responses to each from a prompt about to be accepted")
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
