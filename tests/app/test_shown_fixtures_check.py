"""What the head or its base shows of the fixtures is found from their texts, and the verdict goes without it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.extensions import Extensions, bare_manager
from pytest_pmpo.app.outputs import save_baseline
from pytest_pmpo.app.project import Project
from pytest_pmpo.app.results import Result, Results

LABELS = ("no", "yes")
SHOWN = ("f1", "f2")
ROWS = [
    {"id": f"f{i}", "vars": {"product": "The Acme Cloud Storage", "text": f"item {i}"}, "expected": LABELS[i % 2]}
    for i in range(9)
]
PLAIN = """messages:
  - role: system
    content: Answer for {product}.
  - role: user
    content: "Is it? {{{{text}}}}"
"""
SHOTS = """messages:
  - role: system
    content: Answer for {product}.
  - {{role: user, content: "Is it? item 1"}}
  - {{role: assistant, content: "yes"}}
  - {{role: user, content: "Is it? item 2"}}
  - {{role: assistant, content: "no"}}
  - {{role: user, content: "Is it? item 3"}}
  - {{role: assistant, content: "perhaps"}}
  - role: user
    content: "Is it? {{{{text}}}}"
"""
"""Two fixtures with their answers; of the third the prompt gives another answer."""


@pytest.fixture
def root(tmp_path: Path, clean_environment: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.pmpo]\nmodel = "fake"\n')
    (tmp_path / "prompts/a.fixtures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def write(root: Path, text: str, product: str = "a product", *, commit: bool = False) -> None:
    (root / "prompts/a.prompt.yml").write_text(text.format(product=product))
    if commit:
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
            subprocess.run(["git", *command], cwd=root, check=True)


def checker(root: Path, **given: object) -> tuple[Checker, Project]:
    project = Project.open(root, given, Extensions(bare_manager().hook))
    return Checker(project, environ={}), project


def check(root: Path, **given: object) -> Result:
    made, project = checker(root, **given)
    [task] = project.tasks("prompts/a.prompt.yml")
    return made.check(task)


def counted(result: Result) -> set[str]:
    return {row.fixture_id for row in result.entry.verdict.fixtures}


REST = {f"f{i}" for i in range(9)} - set(SHOWN)


@pytest.mark.parametrize(("before", "after"), [(PLAIN, SHOTS), (SHOTS, PLAIN)], ids=["the head", "the base"])
def test_few_shot_turns_with_a_fixtures_answer_take_it_out_of_the_verdict(root: Path, before: str, after: str) -> None:
    """Short inputs too, as they stand there word for word; every number is still kept for a baseline."""
    write(root, before, commit=True)
    write(root, after)
    result = check(root)
    assert counted(result) == REST
    assert "; 2 fixtures stand in the prompt or its base and are not counted" in result.entry.verdict.reason
    assert set(result.stored.fixtures) == REST | set(SHOWN)


def test_a_saved_baseline_is_compared_without_them(root: Path) -> None:
    write(root, PLAIN, commit=True)
    made, project = checker(root)
    [task] = project.tasks("prompts/a.prompt.yml")
    save_baseline(root / "baseline.json", made, Results(found={"a": made.check(task)}))
    write(root, SHOTS)
    assert counted(check(root, baseline="baseline.json")) == REST


def test_what_all_fixtures_have_in_common_shows_none_of_them(root: Path) -> None:
    """A prompt may name the product that every fixture is about."""
    write(root, PLAIN, commit=True)
    write(root, PLAIN, "The Acme Cloud Storage")
    result = check(root)
    assert counted(result) == REST | set(SHOWN)
    assert "not counted" not in result.entry.verdict.reason


def test_a_long_input_of_its_own_shows_a_fixture_wherever_it_stands(root: Path) -> None:
    rows = [{**row, "vars": {**row["vars"], "text": f"a long enough item number {row['id']}"}} for row in ROWS]
    (root / "prompts/a.fixtures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(root, PLAIN, commit=True)
    write(root, PLAIN, "things like a long enough  ITEM number f4")
    assert counted(check(root)) == {f"f{i}" for i in range(9)} - {"f4"}
