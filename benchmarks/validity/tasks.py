"""The tasks: what is asked, what is right, and how it is graded. Data from ``../shared/data``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pmpo.prompts.model import Expected, Fixture
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.graders.choice import ChoiceLetter
from pytest_pmpo.responses.graders.exact import Exact
from pytest_pmpo.responses.graders.number import Number

LETTER = "the letter of the right option in parentheses, such as (A)"
NUMBER = "a number"


@dataclass(frozen=True)
class Item:
    """One question, its right answer, and the answers to choose from where there are any (the right one among them)."""

    question: str
    gold: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A named set of questions with one form of answer. ``limit``: longest answer in tokens."""

    name: str
    form: str
    grader: Grader
    limit: int
    items: tuple[Item, ...]

    def grade(self, item: int, response: str) -> int:
        """1 if the response is right."""
        fixture = Fixture(str(item), {}, Expected(self.items[item].gold))
        return int(self.grader.grade(fixture, response).score)


FORMS: dict[str, tuple[str, Grader, int]] = {
    # looked at while the estimator was chosen
    "date_understanding": (LETTER, ChoiceLetter(), 160),
    "logical_deduction_three_objects": (LETTER, ChoiceLetter(), 160),
    "boolean_expressions": ("True or False", Exact(), 160),
    "tracking_shuffled_objects_three_objects": (LETTER, ChoiceLetter(), 160),
    # not looked at before
    "object_counting": (NUMBER, Number(), 160),
    "sports_understanding": ("yes or no", Exact(), 160),
    "reasoning_about_colored_objects": (LETTER, ChoiceLetter(), 160),
    "multistep_arithmetic_two": (NUMBER, Number(), 160),
    "geometric_shapes": (LETTER, ChoiceLetter(), 160),
    "gsm8k": (NUMBER, Number(), 224),
    "aqua": (LETTER, ChoiceLetter(), 224),
}


def load(name: str, data: Path, count: int, limit: int | None = None) -> Task:
    """The first ``count`` items of a task; ``limit`` replaces its own limit of tokens."""
    form, grader, own = FORMS[name]
    return Task(name, form, grader, limit or own, tuple(_items(name, data)[:count]))


def _items(name: str, data: Path) -> list[Item]:
    if name == "gsm8k":
        rows = _json_lines(data / "gsm8k" / "train_first1000.jsonl")
        return [Item(row["question"], row["answer"].rpartition("####")[2].strip()) for row in rows]
    if name == "aqua":
        rows = _json_lines(data / "aqua" / "dev.json")
        return [
            Item(
                _with_options(row["question"], row["options"]),
                f"({row['correct']})",
                ("(A)", "(B)", "(C)", "(D)", "(E)"),
            )
            for row in rows
        ]
    examples = json.loads((data / "bbh" / "bbh" / f"{name}.json").read_text())["examples"]
    return [Item(example["input"], example["target"], _options(name, example["input"])) for example in examples]


def _options(name: str, question: str) -> tuple[str, ...]:
    form = FORMS[name][0]
    if form == LETTER:
        return tuple(dict.fromkeys(re.findall(r"^\([A-Z]\)", question, re.MULTILINE)))
    return () if form == NUMBER else tuple(form.split(" or "))


def _with_options(question: str, options: list[str]) -> str:
    return "\n".join((question, "Options:", *(f"({option[0]}) {option[2:].strip()}" for option in options)))


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
