"""Two prompts nobody here wrote, unchanged, gated on a real model: edited for better, then for worse."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the model libraries are not installed")

DATA = Path(__file__).parents[3] / "shared/data/formats/github-models/github__ai-moderator/prompts"
FORMAT = "Provide your analysis in the specified JSON format."
CLEAR = "Answer with exactly one word: true if it is, false if it is not."
NAMES = ("ai-detection.prompt.yml", "spam-detection.prompt.yml")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not DATA.is_dir():
        pytest.skip("the collection of real prompt files is not here")
    for name in ("GITHUB_BASE_REF", "CI", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "prompts").mkdir()
    for name in NAMES:
        shutil.copyfile(DATA / name, tmp_path / "prompts" / name)
    (tmp_path / "pyproject.toml").write_text('[tool.pmpo]\nprompts = ["prompts"]\n')
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "as published"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def edit(repository: Path, old: str, new: str) -> None:
    changed = 0
    for name in NAMES:
        file = repository / "prompts" / name
        text = file.read_text(encoding="utf-8")
        changed += old in text
        file.write_text(text.replace(old, new), encoding="utf-8")
    assert changed == len(NAMES)


def gate(repository: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--pmpo", "-v", "-p", "no:cacheprovider"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_unchanged_better_and_worse(repository: Path) -> None:
    """Unchanged passes; saying how to answer is an improvement; asking for something else fails the build."""
    code, output = gate(repository)
    assert (code, output.count("PASSED unchanged")) == (0, 2), output
    edit(repository, FORMAT, CLEAR)
    code, output = gate(repository)
    assert (code, output.count("PASSED improved")) == (0, 2), output
    edit(repository, CLEAR, "Write a long poem about parrots and the sea, in French, and say nothing else.")
    code, output = gate(repository)
    assert code == 1, output
    assert "REGRESSED" in output
    assert "Traceback" not in output
