"""``--pmpo-confirm``: what a bank lacks is drawn in the run, once per bank, however many workers there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_pmpo.cli import main

if TYPE_CHECKING:
    from tests.conftest import Repo

BANK = "prompts/ask.responses.jsonl"
FIXTURES = "".join(
    f"- {{id: f{i}, vars: {{t: message {i}}}, expected: {'spam' if i % 2 else 'ham'}}}\n" for i in range(6)
)


@pytest.fixture
def shared(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """Two prompts with one bank, both changed in the same way to something the bank does not cover."""
    monkeypatch.chdir(repo.path)
    for name in ("a", "b"):
        repo.write(f"prompts/ask.{name}.md", "Sort {{ t }} into spam or ham, spam or ham, spam, ham\n")
    repo.write("prompts/ask.fixtures.yaml", FIXTURES)
    build = ["bank", "build", "prompts/ask.a.md", "--per-fixture", "3", "--max-new-tokens", "6", "--grader", "contains"]
    assert main(build) == 0
    repo.commit("bank")
    for name in ("a", "b"):
        repo.write(f"prompts/ask.{name}.md", "qqqq zzzz {{ t }} wwww xxxx qqqq zzzz wwww xxxx\n")
    return repo


def drawn(repo: Repo) -> int:
    lines = [json.loads(line) for line in (repo.path / BANK).read_text("utf-8").splitlines()]
    return sum(line.get("kind") != "proposal" for line in lines)


def test_a_bank_is_topped_up_once_whoever_judges_its_prompts(shared: Repo, workers: tuple[str, ...]) -> None:
    before = drawn(shared)
    result = shared.run("--pmpo-confirm", "prompts", "--pmpo-json=out.json", *workers)
    result.stdout.fnmatch_lines(["*prompts/ask.?.md: 6 responses drawn from the head*"])
    assert drawn(shared) == before + 6
    entries = [entry for entry in shared.json()["entries"] if entry["path"].startswith("prompts/ask")]
    assert {entry["verdict"]["metric"]["name"] for entry in entries} == {"response-bank"}
    assert [bool(entry["spent"]) for entry in entries].count(True) == 1
    assert not any("covers only" in entry["verdict"]["reason"] for entry in entries)


def test_without_it_nothing_is_drawn_and_the_summary_names_the_cost(shared: Repo) -> None:
    before = (shared.path / BANK).read_bytes()
    result = shared.run("--pmpo", "prompts")
    result.stdout.fnmatch_lines(["*the response bank covers only*"])
    assert "a top-up of 6 responses" in " ".join(result.stdout.str().split())
    assert (shared.path / BANK).read_bytes() == before
