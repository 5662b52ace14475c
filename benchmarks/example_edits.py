"""Does the loss agree with what the model writes, on the example's own edits? ``python -m benchmarks.example_edits``.

For ``example_repo/prompts/triage.prompt.yml`` and every patch in ``example_repo/edits``: the mean loss of the right
answers, and how many greedy answers hold a JSON object with the right keys, and the right values. The table of
``example_repo/README.md`` is this program's.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pmpo.prompts.formats.registry import builtin_formats
from pytest_pmpo.prompts.load import load
from pytest_pmpo.prompts.model import Expected, PromptSuite
from pytest_pmpo.prompts.render import render
from pytest_pmpo.prompts.source import WorkingTree
from pytest_pmpo.scoring.backends.base import Generator, SamplingSettings
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.models import DEFAULT, resolve
from pytest_pmpo.scoring.scorer import Scorer

EXAMPLE = Path(__file__).parents[1] / "example_repo"
PROMPT = "prompts/triage.prompt.yml"
GREEDY = SamplingSettings(temperature=0.0, max_new_tokens=60)


@dataclass(frozen=True)
class Answers:
    """How many of the greedy answers hold an object with the right keys, and how many the right values too."""

    keys: int
    values: int


def main() -> None:
    """Print one row for the prompt as it is and one for each edit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT)
    arguments = parser.parse_args()
    model = resolve(arguments.model, root=Path.cwd(), notify=print)
    backend: Any = model.open("cpu", "float32")  # scores and writes
    scorer = Scorer(model.scoring_fingerprint("cpu", "float32").digest, lambda: backend)
    print(f"{model.name}@{model.revision}: {backend.description}")
    print("| prompt | nats/token | right keys | right values | of |")
    print("|---|---:|---:|---:|---:|")
    for name in ("as it is", *sorted(path.stem for path in (EXAMPLE / "edits").glob("*.patch"))):
        suite = edited(name)
        [score] = scorer.score([suite.prompt], suite.fixtures, CrossEntropy())
        answers = judge(suite, write(backend, suite))
        print(f"| {name} | {score.mean:.3f} | {answers.keys} | {answers.values} | {len(suite.fixtures)} |", flush=True)


def edited(name: str) -> PromptSuite:
    """The prompt with the edit of that name, and its fixtures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "example"
        shutil.copytree(EXAMPLE, folder)
        subprocess.run(["git", "init", "--quiet", folder], check=True)
        if name != "as it is":
            subprocess.run(["git", "apply", f"edits/{name}.patch"], cwd=folder, check=True)
        [suite] = load(WorkingTree(folder), PROMPT, builtin_formats())
        return suite


def write(backend: Generator, suite: PromptSuite) -> list[str]:
    """A greedy answer to every fixture."""
    conversations = [render(suite.prompt, fixture) for fixture in suite.fixtures]
    return [answers[0].text for answers in backend.generate(conversations, GREEDY)]


def judge(suite: PromptSuite, texts: Sequence[str]) -> Answers:
    """Compare the first JSON object of each answer with the fixture's."""
    keys = values = 0
    for fixture, text in zip(suite.fixtures, texts, strict=True):
        assert isinstance(fixture.label, Expected)
        expected, found = json.loads(fixture.label.text), first_object(text)
        keys += found.keys() == expected.keys()
        values += found == expected
    return Answers(keys, values)


def first_object(text: str) -> dict[str, object]:
    """The first flat JSON object in a text, empty where there is none."""
    match = re.search(r"\{[^{}]*\}", text)
    try:
        found = json.loads(match[0]) if match else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    main()
