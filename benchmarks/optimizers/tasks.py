"""Tasks from the public data beside the project: a starting prompt, 50 development fixtures, held-out ones."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Label, Preference, PromptSuite

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"

TRAIN, SELECTION = 30, 20
"""Together the 50 the paper trains on."""

CHOICE_TASKS = (
    "boolean_expressions",
    "date_understanding",
    "geometric_shapes",
    "logical_deduction_five_objects",
    "logical_deduction_three_objects",
    "reasoning_about_colored_objects",
    "salient_translation_error_detection",
    "sports_understanding",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_three_objects",
)
OTHER_TASKS = ("gsm8k", "aqua", "alpaca_eval")
TASKS = (*CHOICE_TASKS, *OTHER_TASKS)

_OPTION = re.compile(r"^\(([A-Z])\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt's file, what it says, and fixtures with their parts named. ``answer_tokens``: longest greedy answer."""

    name: str
    data: bytes
    suite: PromptSuite
    answer_tokens: int
    graded: bool


def load(name: str, heldout: int, seed: int) -> Task:
    """The task with ``heldout`` held-out fixtures; which fixtures are which depends on the seed alone."""
    read = _READERS.get(name, _bbh)
    instructions, rows, tokens = read(name)
    rng = random.Random(f"{name}/{seed}")
    chosen = rng.sample(range(len(rows)), min(len(rows), TRAIN + SELECTION + heldout))
    fixtures = []
    for place, number in enumerate(chosen):
        text, label = rows[number]
        fixtures.append(replace(Fixture(f"{name}-{number}", {"input": text}, label), split=_part(place)))
    data = f"{instructions}\n\nQuestion: {{{{ input }}}}\nAnswer:\n".encode()
    context = ParseContext(read=READS_NOTHING.__getitem__)
    prompt = TextFormat().parse(f"{name}.md", data, context)[0].prompt
    return Task(name, data, PromptSuite(prompt, tuple(fixtures)), tokens, name != "alpaca_eval")


def _part(place: int) -> Literal["train", "selection", "heldout"]:
    if place < TRAIN:
        return "train"
    return "selection" if place < TRAIN + SELECTION else "heldout"


Rows = list[tuple[str, Label]]


def _bbh(name: str) -> tuple[str, Rows, int]:
    examples = json.loads((DATA / "bbh" / "bbh" / f"{name}.json").read_text())["examples"]
    targets = sorted({example["target"] for example in examples})
    rows: Rows = []
    for example in examples:
        letters = [f"({letter})" for letter in _OPTION.findall(example["input"])]
        choices = tuple(letters or targets)
        if example["target"] in choices:
            rows.append((example["input"], Choice(choices, choices.index(example["target"]))))
    words = "Give the letter of the right option." if _OPTION.search(examples[0]["input"]) else "Give the answer."
    title = name.replace("_", " ")
    return f"You are a careful assistant. This is a task about {title}. Read the question. {words}", rows, 24


def _gsm8k(name: str) -> tuple[str, Rows, int]:
    lines = (DATA / "gsm8k" / "train_first1000.jsonl").read_text().splitlines()
    rows: Rows = [(row["question"], Expected(row["answer"])) for row in map(json.loads, lines)]
    return "You are a careful assistant. Solve the problem step by step. End with the number.", rows, 256


def _aqua(name: str) -> tuple[str, Rows, int]:
    rows: Rows = []
    for line in (DATA / "aqua" / "dev.json").read_text().splitlines():
        row = json.loads(line)
        letters = tuple(option[0] for option in row["options"])
        text = row["question"] + "\nOptions:\n" + "\n".join(row["options"])
        rows.append((text, Choice(letters, letters.index(row["correct"]))))
    return "You are a careful assistant. Solve the problem. Give the letter of the right option.", rows, 24


def _alpaca(name: str) -> tuple[str, Rows, int]:
    lines = (DATA / "alpaca_eval" / "pairs.jsonl").read_text().splitlines()
    rows: Rows = []
    for row in map(json.loads, lines):
        if 0 < len(row["chosen"]) < 1_500 and 0 < len(row["rejected"]) < 1_500:
            rows.append((row["instruction"], Preference((row["chosen"],), (row["rejected"],))))
    return "You are a helpful assistant. Follow the instruction well and fully.", rows, 0


_READERS: dict[str, Callable[[str], tuple[str, Rows, int]]] = {
    "gsm8k": _gsm8k,
    "aqua": _aqua,
    "alpaca_eval": _alpaca,
}
