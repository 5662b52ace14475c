"""What ``make demo`` runs: the story it tells, and that it notices when the story does not come true."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.errors import ModelNotFoundError
from pytest_pmpo.scoring.models import DEFAULT, resolve

EXAMPLE = Path(__file__).parents[2] / "example_repo"


@pytest.fixture(scope="module", autouse=True)
def model() -> None:
    """The default model, fetched if it is missing."""
    try:
        resolve(DEFAULT, root=Path.cwd())
    except ModelNotFoundError as error:
        pytest.skip(f"the default model is not here: {error.message}")


def demonstrate(example: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(example / "demo.py")],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_gate_passes_what_is_unchanged_or_better_and_fails_what_is_worse() -> None:
    done = demonstrate(EXAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    acts = done.stdout.split("\n=== ")[2:]
    assert ["(exit code 0)" in act for act in acts] == [True, True, False]
    assert ["REGRESSED" in act for act in acts] == [False, False, True]
    assert "3 unchanged" in acts[0]
    assert "1 improved, 2 unchanged" in acts[1]
    assert "(exit code 1)" in acts[2]
    assert acts[2].count("worst of 24:") == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_the_variables_of_a_surrounding_job_do_not_reach_the_demonstration() -> None:
    done = demonstrate(EXAMPLE, CI="true", GITHUB_ACTIONS="true", GITHUB_BASE_REF="release", PYTEST_ADDOPTS="--no-such")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_story_that_does_not_come_true_ends_with_an_error(tmp_path: Path) -> None:
    example = tmp_path / "example"
    shutil.copytree(EXAMPLE, example)
    improve, worsen = example / "edits" / "improve.patch", example / "edits" / "worsen.patch"
    good, bad = improve.read_bytes(), worsen.read_bytes()
    improve.write_bytes(bad)
    worsen.write_bytes(good)
    done = demonstrate(example)
    assert done.returncode == 1
    assert "did not go as told: 2. " in done.stdout
    assert "; 3. " in done.stdout
