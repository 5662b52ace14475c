"""``pmpo optimize`` on the framework-free model: files, branch, messages, exit codes, resuming."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_pmpo.cli import main

PROMPT = """You are a helpful assistant. You love cheese and long walks. Read the sentence carefully.

- Decide whether it is praise or blame.
- Never mention the weather.

Answer with one word only.

Sentence: {{ input }}
Label:
"""
WORDS = ("day", "meal", "film", "work", "song", "crowd", "hosts", "plot")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "prompts").mkdir(parents=True)
    (folder / "prompts" / "praise.md").write_text(PROMPT)
    rows = [
        f"- {{id: {label}-{word}, vars: {{input: {kind} {word}}}, expected: {label}}}"
        for label, kind in (("praise", "fine"), ("blame", "poor"))
        for word in WORDS
    ]
    (folder / "prompts" / "praise.fixtures.yaml").write_text("\n".join(rows) + "\n")
    (folder / "pyproject.toml").write_text(f'[tool.pmpo]\nmodel = "fake"\ncache_dir = "{tmp_path}/cache"\n')
    (folder / ".gitignore").write_text("pmpo-out/\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "A Person")
    git(folder, "config", "user.email", "person@example.org")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Start")
    monkeypatch.chdir(folder)
    return folder


def test_what_is_wrong_with_the_fixtures_of_two_prompts_is_said_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"- {{vars: {{x: a{i}}}, assert: [{{type: equals, value: b}}]}}\n" for i in range(3))
    (project / "prompts/promptfooconfig.yaml").write_text(
        f"prompts: ['{{{{x}}}} short', '{{{{x}}}} long']\ntests:\n{rows}"
    )
    assert main(["optimize", "prompts/promptfooconfig.yaml"]) == 2
    out = capsys.readouterr().out
    assert out.count("3 fixtures are too few to optimize on") == 1
    assert "\n\n" not in out


def test_a_request_that_cannot_be_opened_names_the_files_that_are_there(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(project, "remote", "add", "origin", str(project.parent / "nowhere"))
    assert main(["optimize", "prompts/praise.md", "--rounds", "2", "--open-pr"]) == 2
    hint = "hint: open the request by hand; written all the same: pmpo-out/praise.patch, pmpo-out/praise.md, "
    assert hint in capsys.readouterr().out
    assert (project / "pmpo-out" / "praise.patch").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rewriter", "openai:some-model"], "no key for openai:some-model"),
        (["--rewriter", "structural", "--rewriter", "openai:some-model"], "no key for openai:some-model"),
        (
            ["--strategy", "ape", "--rewriter", "structural"],
            "the strategy ape asks a language model for prompts, and no",
        ),
    ],
)
def test_a_rewriter_that_cannot_work_is_told_before_anything_is_scored(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert main(["optimize", "prompts/praise.md", "--rounds", "1", *options]) == 2
    out = capsys.readouterr().out.replace("\n", " ")
    assert said in out
    assert "round" not in out
    assert not (project / "pmpo-out").exists()


def test_patch_reports_and_branch_and_a_clean_work_tree(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "prompts/praise.md", "--rounds", "2", "--branch"]) == 0
    out = capsys.readouterr().out
    assert "limits: 2 rounds" in out
    assert "confirmed on held-out fixtures" in out
    assert "branch: pmpo/praise" in out
    assert {p.name for p in (project / "pmpo-out").iterdir()} == {
        "praise.patch",
        "praise.md",
        "praise.html",
        "journals",
    }
    assert git(project, "status", "--porcelain") == ""
    git(project, "apply", "pmpo-out/praise.patch")
    assert (project / "prompts/praise.md").read_text().strip() == git(project, "show", "pmpo/praise:prompts/praise.md")


def test_the_same_command_resumes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "prompts/praise.md", "--rounds", "1"]) == 0
    assert "resuming" not in capsys.readouterr().out
    assert main(["optimize", "prompts/praise.md", "--rounds", "1"]) == 0
    assert "resuming" in capsys.readouterr().out


def test_what_a_pull_request_is_blocked_by_changes_no_optimization(project: Path) -> None:
    texts = []
    for more in ("strict = true\nalpha = 0.001\n", 'blocking = "never"\n'):
        file = project / "pyproject.toml"
        file.write_text(f"{file.read_text()}{more}")
        out = f"out{len(texts)}"
        assert main(["optimize", "prompts/praise.md", "--rounds", "1", "--no-cache", "--out", out]) == 0
        texts.append((project / out / "praise.md").read_text())
    assert "not confirmed on held-out fixtures (inconclusive)" in texts[0]
    assert texts[0] == texts[1]


def test_too_few_fixtures_say_why_and_the_exit_code_is_two(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "prompts" / "praise.fixtures.yaml"
    file.write_text("\n".join(file.read_text().splitlines()[:5]) + "\n")
    assert main(["optimize", "prompts/praise.md"]) == 2
    assert "5 fixtures are too few to optimize on" in capsys.readouterr().out


def test_a_dirty_prompt_is_refused_after_the_patch_is_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "prompts" / "praise.md").write_text(PROMPT.replace("cheese", "tea"))
    assert main(["optimize", "prompts/praise.md", "--rounds", "1", "--branch"]) == 2
    assert "changes that are not committed" in capsys.readouterr().out
    assert (project / "pmpo-out" / "praise.patch").is_file()
    assert git(project, "branch", "--list") == "* main"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "opr"], "did you mean 'opro'"),
        (["--rewriter", "strctural"], "did you mean 'structural'"),
        (["--rounds", "0"], "give a positive number"),
        (["--forward-tokens", "5"], "forward tokens"),
    ],
)
def test_mistakes_on_the_command_line_are_explained(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["optimize", "prompts/praise.md", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err


@pytest.fixture
def banked(project: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The project with a committed response bank; right is what holds a certain letter."""
    (project / "grading.py").write_text("def letter(response, expected, fixture):\n    return float('l' in response)\n")
    build = ["bank", "build", "prompts/praise.md", "--per-fixture", "8", "--from", "base,direct"]
    assert main([*build, "--max-new-tokens", "10", "--grader", "grading:letter", "--model", "fake"]) == 0
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "Bank")
    capsys.readouterr()
    return project


def test_a_bank_beside_the_prompt_is_what_is_optimized_and_it_keeps_what_was_sampled(
    banked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = banked / "prompts" / "praise.responses.jsonl"
    before = file.read_bytes()
    command = ["optimize", "prompts/praise.md", "--rounds", "1", "--grader", "grading:letter"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "objective response-bank (accuracy)" in out
    assert "accuracy estimated from 127 graded responses" in out
    grown = file.read_bytes()
    assert grown.startswith(before)
    draws = grown.count(b'"draw"') - before.count(b'"draw"')
    assert f"has grown by {draws} responses" in out
    assert main(command) == 0
    assert "resuming" in capsys.readouterr().out
    assert file.read_bytes() == grown


def test_cross_entropy_by_name_leaves_the_bank_alone(banked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "prompts/praise.md", "--rounds", "1", "--metric", "cross-entropy"]) == 0
    assert "objective cross-entropy" in capsys.readouterr().out
    assert git(banked, "status", "--porcelain") == ""


def test_a_bank_that_lacks_a_fixture_is_passed_over_with_a_note_or_refused_where_it_was_asked_for(
    banked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = banked / "prompts" / "praise.responses.jsonl"
    lines = [line for line in file.read_text().splitlines() if '"praise-day"' not in line]
    file.write_text("\n".join(lines) + "\n")
    command = ["optimize", "prompts/praise.md", "--rounds", "1", "--grader", "grading:letter"]
    assert main(command) == 0
    assert "objective cross-entropy" in capsys.readouterr().out
    assert "is not used: fixture 'praise-day'" in (banked / "pmpo-out" / "praise.md").read_text()
    assert main([*command, "--metric", "response-bank"]) == 2
    assert "fixture 'praise-day' has no usable response" in capsys.readouterr().out


def test_a_branch_carries_the_responses_its_prompt_was_judged_by_and_the_work_tree_stays(
    banked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = banked / "prompts" / "praise.responses.jsonl"
    before = file.read_bytes()
    command = ["optimize", "prompts/praise.md", "--rounds", "2", "--grader", "grading:letter", "--branch"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "confirmed on held-out fixtures" in out
    assert git(banked, "status", "--porcelain") == ""
    assert file.read_bytes() == before
    changed = git(banked, "diff", "--name-only", "main", "pmpo/praise").splitlines()
    assert changed == ["prompts/praise.md", "prompts/praise.responses.jsonl"]
    assert git(banked, "show", "pmpo/praise:prompts/praise.responses.jsonl").startswith(before.decode().strip())
    assert main(command) == 0
    assert "unchanged" in capsys.readouterr().out


def test_a_hand_over_that_fails_loses_no_response(banked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (banked / "prompts" / "praise.responses.jsonl").read_bytes()
    command = ["optimize", "prompts/praise.md", "--rounds", "2", "--grader", "grading:letter", "--branch", "main"]
    assert main(command) == 2
    assert "is not a suggestion for prompts/praise.md" in capsys.readouterr().out
    assert len((banked / "prompts" / "praise.responses.jsonl").read_bytes()) > len(before)
