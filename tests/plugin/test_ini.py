"""``pmpo = true`` in pytest's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\ntestpaths = tests\npmpo = true\n"),
        ("pytest.ini", "[pytest]\ntestpaths = tests\naddopts = --pmpo\n"),
    ],
    ids=["setting", "addopts"],
)
def test_prompts_are_judged_in_every_run_without_arguments(repo: Repo, name: str, text: str):
    """And runs of named tests stay runs of named tests."""
    repo.write(name, text)
    repo.run().assert_outcomes(passed=3)
    assert repo.ids("tests/test_unit.py") == ["tests/test_unit.py::test_unit"]


def test_it_is_off_by_default(repo: Repo):
    """No prompt, no line of ours."""
    result = repo.run("-v")
    result.assert_outcomes(passed=1)
    assert not [line for line in result.outlines if line.startswith("pmpo")]


def test_the_settings_of_pyproject_work_beside_those_of_pytest(repo: Repo):
    """Both tools in one file."""
    (repo.path / "pytest.ini").unlink()
    repo.settings('[tool.pytest.ini_options]\npmpo = true\ntestpaths = ["tests"]\n')
    repo.run().assert_outcomes(passed=3)


def test_pmpo_toml_is_read(repo: Repo):
    """For those who keep tools out of pyproject."""
    repo.write("pyproject.toml", "")
    repo.write("pmpo.toml", 'model = "fake"\nalpha = 0.2\n')
    repo.run("--pmpo", "--pmpo-json=out.json").assert_outcomes(passed=3)
    assert {entry["verdict"]["policy"]["alpha"] for entry in repo.json()["entries"]} == {0.2}
