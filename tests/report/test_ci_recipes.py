"""The CI recipes in docs/ci.md: they parse, name options that exist, and keep secrets away from untrusted code."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_pmpo.options import OUTPUTS, RUN, SETTINGS

TEXT = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS: list[Any] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
WORKFLOWS = {block["name"]: block for block in BLOCKS if isinstance(block, dict) and "jobs" in block}
COMMENT = WORKFLOWS["prompts comment"]


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_option_exists() -> None:
    known = {option.name for option in (*SETTINGS, *OUTPUTS, *RUN)}
    named = set(re.findall(r"--pmpo-([a-z][a-z-]*)", TEXT))
    assert named
    assert named <= known
    for command in re.findall(r"pmpo report [^`\n]*", TEXT):
        assert set(re.findall(r"--([a-z-]+)", command)) <= {option.name for option in OUTPUTS}


def test_the_workflow_that_scores_can_write_nothing() -> None:
    workflow = WORKFLOWS["prompts"]
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow[True]) == {"pull_request"}  # YAML 1.1 reads the key `on` as true
    checkout = next(step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout"))
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}
    assert "secrets." not in str(workflow)


def test_the_workflow_that_comments_runs_no_code_of_the_pull_request() -> None:
    assert set(COMMENT[True]) == {"workflow_run"}
    assert COMMENT["permissions"] == {}
    assert COMMENT["jobs"]["comment"]["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert not any(step.get("uses", "").startswith("actions/checkout") for step in steps(COMMENT))
    assert not any("${{" in step.get("run", "") for step in steps(COMMENT)), "an expression in a script is an injection"


GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
  *"/pulls "*) printf '%s' "$NUMBER" ;;
  *"/comments --jq"*) printf '%s' "$OLD" ;;
esac
"""


@pytest.mark.skipif(os.name == "nt", reason="the recipe's shell is bash")
@pytest.mark.parametrize(
    ("number", "old", "last"),
    [
        ("7", "", "api --method POST repos/o/r/issues/7/comments -F body=@comment.md --silent"),
        ("7", "123", "api --method PATCH repos/o/r/issues/comments/123 -F body=@comment.md --silent"),
        ("", "", None),
    ],
)
def test_the_comment_is_posted_once_and_replaced_later(tmp_path: Path, number: str, old: str, last: str | None) -> None:
    script = next(step["run"] for step in steps(COMMENT) if "gh api" in step.get("run", ""))
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "comment.md").write_text("<!-- pytest-pmpo:default -->\n\ntext\n")
    environ = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "NUMBER": number,
        "OLD": old,
        "REPOSITORY": "o/r",
        "HEAD": "fork:$(touch pwned)",
        "HEAD_SHA": "abc",
    }
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environ, check=True, capture_output=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    writes = [call for call in calls if "POST" in call or "PATCH" in call]
    assert writes == ([] if last is None else [last])
    assert not (tmp_path / "pwned").exists()
