"""``pmpo optimize`` on the example's triage prompt: an honest headline, and a patch whose advice works."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.cli import main
from pytest_pmpo.errors import ModelNotFoundError
from pytest_pmpo.prompts.formats.github import GitHubFormat
from pytest_pmpo.prompts.load import load
from pytest_pmpo.prompts.model import PromptSuite
from pytest_pmpo.prompts.source import WorkingTree
from pytest_pmpo.scoring.models import DEFAULT, resolve

EXAMPLE = Path(__file__).parents[2] / "example_repo"
TRIAGE = "prompts/triage.prompt.yml"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example as a repository of one commit."""
    try:
        resolve(DEFAULT, root=Path.cwd())
    except ModelNotFoundError as error:
        pytest.skip(f"the default model is not here: {error.message}")
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    for arguments in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        ("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "Start"),
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    return folder


def suite(folder: Path) -> PromptSuite:
    return load(WorkingTree(folder), TRIAGE, (GitHubFormat(),))[0]


def take_out(file: Path, lines: Sequence[int]) -> None:
    """Delete the list items that begin on these lines (1-based) of a YAML file."""
    kept, gone = [], False
    for number, line in enumerate(file.read_text().splitlines(keepends=True), 1):
        if line.startswith("  - ") or not line.startswith(" "):
            gone = number in lines
        kept += [] if gone else [line]
    file.write_text("".join(kept))


def test_a_win_by_examples_names_them_and_says_how_much_is_form(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", TRIAGE, "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    assert "% better" in out
    assert "is form (the same on labels shuffled among the fixtures" in out
    assert f"out of {TRIAGE}" in out
    subprocess.run(["git", "apply", "pmpo-out/triage.patch"], cwd=example, check=True)

    assert main(["lint", TRIAGE]) == 1
    leaks = [line for line in capsys.readouterr().out.splitlines() if "[fixture-leak]" in line]
    patched = suite(example)
    named = [fixture for fixture in patched.fixtures if fixture.id in out]
    assert named
    assert len(leaks) == len(named)

    take_out(example / TRIAGE, [fixture.location.line or 0 for fixture in named if fixture.location])
    assert len(suite(example).fixtures) == len(patched.fixtures) - len(named)
    assert main(["lint", TRIAGE]) == 0
    assert main(["check", TRIAGE, "--base", "HEAD"]) == 0
    assert "1 improved" in capsys.readouterr().out
