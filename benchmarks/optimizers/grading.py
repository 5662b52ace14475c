"""Answers to the prompts of finished runs, drawn and graded all together instead of inside every run.

    python -m benchmarks.optimizers.grading RESULTS.jsonl [MORE.jsonl …] --model DIR --device cuda --dtype bfloat16 \
        --graded 100 --answer-tokens 200 [--samples 8]

Reads what runs with ``--graded 0`` wrote and fills in the grades, in place. Every distinct (task, seed, prompt) is
answered once, a task's prompts together, by the decoder of ``benchmarks.validity`` (Llama and Qwen2), which fills a
slot again as soon as its answer ends. Files are written after each task, and lines that have their grades already are
left as they are: the same command goes on where it was stopped. No run may be adding to a file meanwhile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean

import torch
from transformers import AutoTokenizer

from benchmarks.optimizers import results, tasks
from benchmarks.optimizers.runs import Outcome, is_right
from benchmarks.validity.decoder import Decoder
from benchmarks.validity.sampling import CHECK_EVERY, Request, Sampler
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.prompts.render import render
from pytest_pmpo.scoring.backends.budget import free_bytes
from pytest_pmpo.scoring.backends.hf_tokenizer import HFTokenizer
from pytest_pmpo.scoring.encode import encode_context
from pytest_pmpo.scoring.models import resolve

SHARE = 0.6
"""Of a GPU's free memory for keys and values of answers being written; the rest is for reading prompts."""

Drawing = tuple[int, int, str]
"""Held-out fixtures, seed, prompt text: with a task, all that decides which conversations are answered."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn.

    Attributes:
        graded: the first so many held-out fixtures are answered.
        samples: answers at temperature 1 to each of them, beside the greedy one.
        answer_tokens: most tokens of an answer; 0 is the task's own.
        slots: answers written at once, at most.
    """

    graded: int
    samples: int = 0
    answer_tokens: int = 0
    slots: int = 1024
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Grades:
    """Per fixture: the greedy answer's grade, and the mean grade of the sampled ones (empty where none were drawn)."""

    greedy: tuple[float, ...]
    sampled: tuple[float, ...]


class Answerer:
    """A model that answers, and counts what it has read and written, in tokens."""

    def __init__(self, directory: Path, device: str, dtype: str) -> None:
        self.tokenizer = HFTokenizer(AutoTokenizer.from_pretrained(directory, local_files_only=True))
        self.decoder = Decoder(directory, device, getattr(torch, dtype))
        self.answers = self.read = self.written = 0

    def draw(self, asked: Sequence[tuple[Prompt, Fixture]], limit: int, plan: Plan) -> Iterator[tuple[int, bool, str]]:
        """(number of the conversation, whether greedy, text) as answers end; ``limit`` is their longest, in tokens."""
        contexts = [encode_context(self.tokenizer, render(prompt, fixture)).tokens for prompt, fixture in asked]
        # the longest first: a step costs as much as the longest row in it
        order = sorted(range(len(contexts)), key=lambda number: -len(contexts[number]))
        requests = [Request(("", number), contexts[number], plan.samples, greedy=True) for number in order]
        length = max(map(len, contexts)) + limit + 2 * CHECK_EVERY
        end = self.tokenizer.end_of_turn
        sampler = Sampler(
            self.decoder, -1 if end is None else end, slots=self._slots(len(contexts), length, plan), length=length,
            limit=limit, seed=plan.seed,
        )  # fmt: skip
        for answer in sampler.run(requests):
            self.answers += 1
            yield answer.key[1], answer.greedy, self.tokenizer.decode(answer.tokens)
        self.read += sampler.prefilled
        self.written += sampler.decoded

    def _slots(self, contexts: int, length: int, plan: Plan) -> int:
        """As many as are asked for, needed, and fit on the device; at least all answers to one conversation."""
        each = 1 + plan.samples
        slots = min(plan.slots, contexts * each)
        device = torch.device(self.decoder.device)
        if device.type == "cuda":
            torch.cuda.empty_cache()
            shape, head = self.decoder.shape, self.decoder.head
            row = 2 * shape.layers * shape.groups * shape.head_size * length * head.element_size()
            logits = 4 * 4 * len(head)  # fp32, with the noise that draws from them
            slots = min(slots, int(SHARE * free_bytes(device) / (row + logits)))
        return max(each, slots)


def grade_task(outcomes: Sequence[Outcome], answerer: Answerer, plan: Plan) -> list[Outcome]:
    """Outcomes of one task with the grades of its starting prompt and of their winners.

    Raises:
        SystemExit: if the public data no longer gives as many held-out fixtures as a run had.
    """
    loaded = {(len(o.loss_before), o.seed): _load(o) for o in outcomes}
    prompts: dict[Drawing, Prompt] = {}
    # its starting prompt is the same whatever the seed
    task = next(iter(loaded.values()))
    start = task.suite.prompt
    for outcome in outcomes:
        prompts[_before(outcome, start)] = start
        prompts[_after(outcome)] = winner(start, outcome)
    heldout = {
        where: [f for f in t.suite.fixtures if f.split == "heldout"][: plan.graded] for where, t in loaded.items()
    }
    asked = {drawing: [(prompt, f) for f in heldout[drawing[:2]]] for drawing, prompt in prompts.items()}
    found = _grades(asked, answerer, plan.answer_tokens or task.answer_tokens, plan)
    return [_graded(o, found[_before(o, start)], found[_after(o)]) for o in outcomes]


def winner(start: Prompt, outcome: Outcome) -> Prompt:
    """The prompt a run ended with. A task's prompt is a text file, one user turn with one template: its text is all
    that a run can change (few-shot examples are part of it; the format holds no further turns)."""
    return start.with_text(0, 0, outcome.prompt)


def _grades(
    asked: Mapping[Drawing, Sequence[tuple[Prompt, Fixture]]], answerer: Answerer, limit: int, plan: Plan
) -> dict[Drawing, Grades]:
    flat = [pair for pairs in asked.values() for pair in pairs]
    greedy = [0.0] * len(flat)
    sampled: list[list[float]] = [[] for _ in flat]
    for number, is_greedy, text in answerer.draw(flat, limit, plan):
        grade = is_right(flat[number][1], text)
        if is_greedy:
            greedy[number] = grade
        else:
            sampled[number].append(grade)
    found, start = {}, 0
    for drawing, pairs in asked.items():
        end = start + len(pairs)
        means = tuple(map(fmean, sampled[start:end])) if plan.samples else ()
        found[drawing] = Grades(tuple(greedy[start:end]), means)
        start = end
    return found


def _graded(outcome: Outcome, before: Grades, after: Grades) -> Outcome:
    return replace(
        outcome, right_before=before.greedy, right_after=after.greedy, sampled_before=before.sampled,
        sampled_after=after.sampled,
    )  # fmt: skip


def _before(outcome: Outcome, start: Prompt) -> Drawing:
    return len(outcome.loss_before), outcome.seed, start.messages[0].text


def _after(outcome: Outcome) -> Drawing:
    return len(outcome.loss_before), outcome.seed, outcome.prompt


_task = cache(tasks.load)


def _load(outcome: Outcome) -> tasks.Task:
    task = _task(outcome.task, len(outcome.loss_before), outcome.seed)
    count = sum(fixture.split == "heldout" for fixture in task.suite.fixtures)
    if count != len(outcome.loss_before):
        there = f"{count} held-out fixtures, the run had {len(outcome.loss_before)}"
        raise SystemExit(f"{outcome.task}: the public data gives {there}")
    return task


def lacks_grades(outcome: Outcome, plan: Plan) -> bool:
    """Whether a line is to be graded: its task can be, and it has not the grades the plan asks for."""
    if not _task(outcome.task, 0, 0).graded:
        return False
    wanted = min(plan.graded, len(outcome.loss_before))
    return len(outcome.right_after) != wanted or (plan.samples > 0 and len(outcome.sampled_after) != wanted)


def of_model(files: Mapping[Path, Sequence[Outcome]], name: str) -> str:
    """The model whose lines are graded: the only one there is, else the one given.

    Raises:
        SystemExit: if the files hold lines of several models and none of this one.
    """
    there = sorted({outcome.model for outcomes in files.values() for outcome in outcomes})
    if len(there) == 1:
        return there[0]
    if name not in there:
        raise SystemExit(f"no line is of the model {name!r}; there are {', '.join(there) or 'no lines'}")
    return name


def main() -> None:
    """Every task of every file."""
    options = _options()
    plan = Plan(options.graded, options.samples, options.answer_tokens, options.slots)
    given = Path(options.model)
    model = None if given.is_dir() else resolve(options.model, root=Path.cwd())
    directory, name = (given, given.resolve().name) if model is None else (model.directory, model.name)
    if directory is None:
        raise SystemExit(f"{options.model} has no weights to read")
    files = {path: results.read(path) for path in options.results}
    name = of_model(files, name)
    todo = [
        (path, number)
        for path, outcomes in files.items()
        for number, outcome in enumerate(outcomes)
        if outcome.model == name and lacks_grades(outcome, plan)
    ]
    print(f"{len(todo)} of {sum(map(len, files.values()))} lines to grade, model {name}", flush=True)
    answerer, began = Answerer(directory, options.device, options.dtype), time.monotonic()
    for task in dict.fromkeys(files[path][number].task for path, number in todo):
        places = [(path, number) for path, number in todo if files[path][number].task == task]
        since = time.monotonic()
        graded = grade_task([files[path][number] for path, number in places], answerer, plan)
        for (path, number), outcome in zip(places, graded, strict=True):
            files[path][number] = outcome
        for path in dict.fromkeys(path for path, _ in places):
            results.rewrite(path, files[path])
        before = fmean(grade for outcome in graded for grade in outcome.right_before)
        after = fmean(grade for outcome in graded for grade in outcome.right_after)
        print(
            f"{task}: {len(graded)} lines, {before:.3f} -> {after:.3f} in {time.monotonic() - since:.1f} s", flush=True
        )
    print(
        f"{time.monotonic() - began:.1f} s, {answerer.answers:,} answers, {answerer.written:,} tokens written, "
        f"{answerer.read:,} tokens read"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.optimizers.grading", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("results", type=Path, nargs="+", help="JSON Lines of finished runs; rewritten in place")
    add("--model", required=True, help="a directory of a Llama or Qwen2 model, or as the runs name it")
    add("--device", default="cuda")
    add("--dtype", default="bfloat16")
    add("--graded", type=int, default=100, help="the first so many held-out fixtures of a run are answered")
    add("--samples", type=int, default=0, help="answers at temperature 1 to each fixture, beside the greedy one")
    add("--answer-tokens", type=int, default=0, help="most tokens of an answer; default the task's own")
    add("--slots", type=int, default=1024, help="answers written at once")
    options = parser.parse_args()
    missing = [str(path) for path in options.results if not path.exists()]
    if missing:
        parser.error(f"no such file: {', '.join(missing)}")
    if options.graded < 1 or options.samples < 0 or options.slots < 1:
        parser.error("--graded and --slots are at least 1, --samples at least 0")
    return options


if __name__ == "__main__":
    main()
