"""``--pmpo-save-baseline``: the numbers of every prompt, or no file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo


def test_every_prompt_is_saved_by_whoever_sees_all_results(repo: Repo, workers: tuple[str, ...]):
    """The file holds all prompts, whether they were judged here or in workers."""
    result = repo.run("--pmpo", "--pmpo-save-baseline=numbers.json", *workers)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["pmpo: baseline of 2 prompts: *numbers.json"])
    saved = json.loads((repo.path / "numbers.json").read_text())
    assert sorted(saved["models"]["fake"]["prompts"]) == ["prompts/greeting.md", "prompts/spam.prompt.yml"]


def test_asking_for_it_is_asking_for_prompts(repo: Repo):
    """``--pmpo`` need not be said again."""
    repo.run("--pmpo-save-baseline=numbers.json").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "spam"],
        ["-m", "pmpo"],
        ["--lf"],
        ["--deselect", "tests/test_unit.py"],
        ["--sw"],
        ["prompts/spam.prompt.yml"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_partial_selection_is_refused_before_anything_is_scored(repo: Repo, arguments: list[str]):
    """A baseline of some prompts would lose the others."""
    result = repo.run("--pmpo", "--pmpo-save-baseline=numbers.json", *arguments)
    assert result.ret == 4
    assert "--pmpo-save-baseline needs all prompts" in result.stderr.str()
    assert not (repo.path / "numbers.json").exists()


def test_nothing_is_saved_where_a_prompt_could_not_be_scored(repo: Repo):
    """The old file stays, and the run fails."""
    repo.write("numbers.json", "old")
    repo.edit("prompts/greeting.md", "{{ name }}", "{{ nobody }}")
    result = repo.run("--pmpo", "--pmpo-save-baseline=numbers.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["pmpo: error: no baseline is saved: prompts/greeting.md [[]fake] was not scored"])
    assert (repo.path / "numbers.json").read_text() == "old"


def test_nothing_is_saved_where_another_plugin_left_prompts_out(repo: Repo):
    """Deselection that no option tells of is noticed at the end: usage error."""
    repo.write("conftest.py", "def pytest_collection_modifyitems(items):\n    items[:] = items[:-1]\n")
    result = repo.run("--pmpo", "--pmpo-save-baseline=numbers.json")
    assert result.ret == 4
    assert not (repo.path / "numbers.json").exists()


def test_a_regressed_prompt_is_saved_as_it_is(repo: Repo):
    """Numbers are facts; accepting them is the user's business."""
    repo.worsen()
    assert repo.run("--pmpo", "--pmpo-save-baseline=numbers.json").ret == 1
    assert (repo.path / "numbers.json").exists()


def test_a_folder_that_is_not_there_is_told_before_anything_is_scored(repo: Repo):
    """A mistyped path costs no run."""
    result = repo.run("--pmpo", "--pmpo-save-baseline=no/where/numbers.json")
    assert result.ret == 4
    assert "there is no folder" in result.stderr.str()


def test_collect_only_writes_nothing(repo: Repo):
    """There are no numbers yet."""
    assert repo.run("--pmpo", "--pmpo-save-baseline=numbers.json", "--collect-only").ret == 0
    assert not (repo.path / "numbers.json").exists()
