"""From a finished run to patch, branch and push, in a real repository; and nothing where nothing was won."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_pmpo.errors import ProposalError
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.handover import HandOver, hand_over, short_name, write_patch
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.message import commit_message, title, trailer_value
from pytest_pmpo.optimize.records import OptimizeResult


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def result(make_request: Callable[..., OptimizeRequest]) -> OptimizeResult:
    won = run(make_request(budget=Budget(rounds=1)))
    assert won.won
    return won


@pytest.fixture
def work(tmp_path: Path, result: OptimizeResult) -> Path:
    """A repository with a bare one on the same disk as its remote."""
    folder = tmp_path / "work"
    (folder / "prompts").mkdir(parents=True)
    (folder / result.path).write_bytes(result.base_data)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "A Person")
    git(folder, "config", "user.email", "person@example.org")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Start")
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(folder, "push", "-q", "origin", "main")
    return folder


def test_the_patch_applies_and_gives_the_winner(work: Path, result: OptimizeResult, tmp_path: Path) -> None:
    patch = write_patch(result, work, tmp_path / "pmpo-out")
    assert patch == tmp_path / "pmpo-out" / "praise.patch"
    git(work, "apply", "--check", str(patch))
    git(work, "apply", str(patch))
    assert (work / result.path).read_bytes() == result.data


def test_a_prompt_below_the_top_gets_a_patch_from_the_top(work: Path, result: OptimizeResult, tmp_path: Path) -> None:
    inner = replace(result, path="praise.md")
    patch = write_patch(inner, work / "prompts", tmp_path / "out")
    git(work, "apply", "--check", str(patch))


def test_outside_a_repository_there_is_a_patch_all_the_same(result: OptimizeResult, tmp_path: Path) -> None:
    patch = write_patch(result, tmp_path, tmp_path / "out")
    assert patch is not None
    assert patch.read_bytes().startswith(b"diff --git a/prompts/praise.md")


def test_where_nothing_was_won_nothing_is_handed_over(work: Path, result: OptimizeResult, tmp_path: Path) -> None:
    lost = replace(result, won=False, data=None)
    everything = HandOver(branch=True, push=True, open_pr=True)
    delivered = hand_over(lost, work, tmp_path / "out", everything, body="", environ={})
    assert (delivered.patch, delivered.suggestion, delivered.opened) == (None, None, None)
    assert git(work, "branch", "--list") == "* main"


def test_without_being_asked_there_is_no_branch(work: Path, result: OptimizeResult, tmp_path: Path) -> None:
    delivered = hand_over(result, work, tmp_path / "out", HandOver(), body="", environ={})
    assert delivered.patch is not None
    assert git(work, "branch", "--list") == "* main"


def test_a_push_makes_the_branch_too(work: Path, result: OptimizeResult, tmp_path: Path) -> None:
    delivered = hand_over(result, work, tmp_path / "out", HandOver(push=True), body="", environ={})
    assert delivered.pushed
    assert delivered.suggestion is not None
    assert git(tmp_path / "remote.git", "rev-parse", "pmpo/praise") == delivered.suggestion.commit
    assert git(work, "status", "--porcelain") == ""


def test_a_remote_that_is_a_folder_takes_no_pull_request(work: Path, result: OptimizeResult, tmp_path: Path) -> None:
    with pytest.raises(ProposalError, match="names no host"):
        hand_over(result, work, tmp_path / "out", HandOver(open_pr=True), body="", environ={"PATH": ""})


def test_the_commit_message_says_what_was_measured_on_how_many(result: OptimizeResult) -> None:
    message = commit_message(result)
    before, after = result.before.heldout.mean, result.after.heldout.mean
    title, *rest = message.splitlines()
    assert title == f"Improve prompts/praise.md: cross-entropy {before:.3f} → {after:.3f} nats/token"
    body = "\n".join(rest)
    assert "over 6 held-out fixtures" in body
    assert f"{before:.4f} before, {after:.4f} after" in body
    assert body.rstrip().endswith("Pmpo-Suggestion: prompts/praise.md")


HOSTILE = (
    "prompts/fixes #1.md",
    "prompts/cc @octocat.md",
    "closes GH-7.md",
    "a\nPmpo-Suggestion: x.md",
    "a\rb\u2028c.md",
    "a\x1b[2J\u202egnp.md",
    "[skip ci].md",
)


@pytest.mark.parametrize("path", HOSTILE)
def test_a_prompts_name_is_no_order_in_what_is_handed_over(result: OptimizeResult, path: str) -> None:
    message = commit_message(replace(result, path=path))
    heading = title(replace(result, path=path))
    assert message.startswith(f"{heading}\n\n")
    assert sum(line.startswith("Pmpo-Suggestion") for line in message.splitlines()) == 1
    assert "\r" not in message
    for text in (message, heading):
        assert path not in text
        assert not set("@#[]\x1b\u202e\u2028") & set(text)
        assert "closes GH-7" not in text


def test_a_prompts_name_that_is_plain_stays_as_it_is(result: OptimizeResult) -> None:
    assert trailer_value("prompts/été-2_b.prompt.yml") == "prompts/été-2_b.prompt.yml"
    assert title(replace(result, path="prompts/été.md")).startswith("Improve prompts/été.md: ")


def test_a_title_is_no_longer_than_a_pull_request_takes(result: OptimizeResult) -> None:
    heading = title(replace(result, path="folder/" * 60 + "praise.md"))
    assert len(heading) <= 256
    assert "praise.md: " in heading


def test_no_two_names_are_the_same_in_a_trailer() -> None:
    alike = ("a b.md", "a  b.md", "a_b.md", "a%20b.md", "a\nb.md", "a%0Ab.md", "a\udc80b.md", "a\u0080b.md")
    assert len({trailer_value(path) for path in alike}) == len(alike)


@pytest.mark.parametrize("path", ["prompts/fixes #1 and\nmore\u202e.md", "prompts/ two  spaces .md"])
def test_the_branch_of_a_prompt_with_an_odd_name_is_known_again(
    work: Path, result: OptimizeResult, tmp_path: Path, path: str
) -> None:
    odd = replace(result, path=path)
    (work / path).write_bytes(result.base_data)
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "An odd name")
    wanted = HandOver(push=True, name="pmpo/odd")
    first = hand_over(odd, work, tmp_path / "out", wanted, body="", environ={}).suggestion
    newer = replace(odd, data=b"Another.\n{{ input }}\n")
    second = hand_over(newer, work, tmp_path / "out", wanted, body="", environ={}).suggestion
    assert first is not None
    assert second is not None
    assert second.existed
    assert git(tmp_path / "remote.git", "rev-parse", "pmpo/odd") == second.commit != first.commit
    with pytest.raises(ProposalError, match="not a suggestion for"):
        hand_over(result, work, tmp_path / "out", wanted, body="", environ={})


@pytest.mark.parametrize(
    ("path", "name"), [("prompts/triage.prompt.yml", "triage"), ("a.md", "a"), ("x/.hidden", "hidden")]
)
def test_files_are_named_after_the_prompt(path: str, name: str) -> None:
    assert short_name(path) == name
