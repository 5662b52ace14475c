"""``--pmpo-base``: a git ref, or a saved baseline."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo


def test_a_tag_is_the_base_that_was_asked_for(repo: Repo, workers: tuple[str, ...]):
    """The header says so, and the comparison is with it."""
    repo.git("tag", "good")
    repo.worsen()
    repo.commit()
    repo.run("--pmpo").assert_outcomes(passed=3)  # the last commit is as bad
    result = repo.run("--pmpo", "--pmpo-base=good", *workers)
    result.assert_outcomes(passed=2, failed=1)
    commit = repo.git("rev-parse", "--short", "good")
    result.stdout.fnmatch_lines([f"pmpo: base: {commit} (asked for*"])


def test_a_ref_that_does_not_exist_is_an_error_of_every_prompt_and_of_nothing_else(repo: Repo):
    """Tests go on; no prompt passes unjudged."""
    result = repo.run("--pmpo", "--pmpo-base=nowhere")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*there is no commit 'nowhere'*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_base_without_pmpo_judges_nothing_and_says_so(repo: Repo):
    """A setting does not ask for the gate; who typed it would take the green run for a verdict."""
    repo.worsen()
    result = repo.run("--pmpo-base=HEAD")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["pmpo: no prompt is judged: --pmpo-base needs --pmpo beside it"])
    repo.write("pytest.ini", "[pytest]\ntestpaths = tests\naddopts = --pmpo-base=HEAD\n")
    repo.run().stdout.no_fnmatch_line("*no prompt is judged*")


def test_an_option_as_a_ref_is_refused(repo: Repo):
    """git is never handed an option from outside."""
    result = repo.run("--pmpo", "--pmpo-base=--output=pwned")
    result.assert_outcomes(passed=1, errors=2)
    assert not (repo.path / "pwned").exists()


def test_the_target_of_a_pull_request_is_the_base(repo: Repo, monkeypatch: pytest.MonkeyPatch):
    """``GITHUB_BASE_REF`` names the branch; the merge base counts, not its tip."""
    repo.git("switch", "-qc", "feature")
    repo.worsen()
    repo.commit()
    repo.git("switch", "-q", "main")
    repo.write("other.txt", "later on main")
    repo.commit()
    repo.git("switch", "-q", "feature")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    result = repo.run("--pmpo")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["pmpo: base: * (merge base with *main*"])


def test_a_rename_is_followed(repo: Repo):
    """A prompt that moved is compared with what it was under its old name."""
    (repo.path / "prompts/spam.prompt.yml").rename(repo.path / "prompts/triage.prompt.yml")
    result = repo.run("--pmpo", "-v")
    result.stdout.fnmatch_lines(["prompts/triage.prompt.yml::pmpo*PASSED unchanged*"])
    repo.edit("prompts/triage.prompt.yml", "      Examples of answers: spam, ham, spam, ham.\n", "      Just decide.\n")
    repo.run("--pmpo").assert_outcomes(passed=2, failed=1)


def test_a_new_prompt_passes_as_new(repo: Repo):
    """There is nothing it could be worse than."""
    repo.write("prompts/new.prompt.yml", (repo.path / "prompts/spam.prompt.yml").read_text() + "# longer\n" * 60)
    repo.edit("prompts/new.prompt.yml", "Is the message spam or ham?", "Judge {{message}} for the archive of letters.")
    result = repo.run("--pmpo", "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["prompts/new.prompt.yml::pmpo*PASSED*"])


def test_a_prompt_git_ignores_is_new_not_unchanged(repo: Repo):
    """git reports no change of a file it does not know; that is no proof of sameness."""
    repo.write(".gitignore", "__pycache__\n.pytest_cache\nprivate\n")
    repo.write("private/x.prompt.yml", (repo.path / "prompts/spam.prompt.yml").read_text())
    result = repo.run("private/x.prompt.yml", "-v")
    result.stdout.fnmatch_lines(["private/x.prompt.yml::pmpo*PASSED new*"])


def test_a_base_version_that_does_not_parse_makes_the_prompt_new_with_the_reason(repo: Repo):
    """The head cannot be blamed for it; ``strict`` does not let it pass."""
    good = (repo.path / "prompts/spam.prompt.yml").read_text()
    repo.write("prompts/spam.prompt.yml", "messages: [\n" + good)
    repo.commit()
    repo.write("prompts/spam.prompt.yml", good)
    repo.run("--pmpo", "--pmpo-json=out.json").assert_outcomes(passed=3)
    verdict = next(e["verdict"] for e in repo.json()["entries"] if "spam" in e["path"])
    assert verdict["status"] == "new"
    assert "the base version cannot be read" in verdict["reason"]
    repo.run("--pmpo", "--pmpo-strict").assert_outcomes(passed=2, failed=1)


def test_a_placeholder_renamed_with_its_fixtures_makes_the_prompt_new_with_the_reason(repo: Repo):
    """Today's fixtures judge both versions; a base they cannot fill is nothing to compare with."""
    repo.edit("prompts/greeting.md", "{{ name }}", "{{ person }}")
    repo.edit("prompts/greeting.fixtures.yaml", "name:", "person:")
    result = repo.run("--pmpo", "--pmpo-json=out.json")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["  new *prompts/greeting.md", "  *the base version cannot be scored with*"])
    verdict = next(e["verdict"] for e in repo.json()["entries"] if "greeting" in e["path"])
    assert verdict["status"] == "new"
    assert verdict["reason"].startswith("the base version cannot be scored with today's fixtures: ")
    assert "'name'" in verdict["reason"]
    repo.run("--pmpo", "--pmpo-strict").assert_outcomes(passed=2, failed=1)


def test_a_prompt_in_a_submodule_is_new_with_the_reason(repo: Repo, tmp_path: Path):
    """The base commit holds no file of it: a gate that passed it in silence would never compare it with anything."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "x.prompt.yml").write_text((repo.path / "prompts/spam.prompt.yml").read_text())
    who = ("-c", "user.name=n", "-c", "user.email=a@b.example")
    for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "x")):
        subprocess.run(["git", "-C", str(inner), *arguments], check=True)
    repo.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", inner.as_uri(), "prompts/shared")
    repo.commit()
    result = repo.run("--pmpo")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["  new *prompts/shared/x.prompt.yml", "  *the prompt is in prompts/shared, a git repository of its own*"]
    )
    repo.run("--pmpo", "--pmpo-strict").assert_outcomes(passed=3, failed=1)


def test_a_saved_baseline_is_the_base(repo: Repo, workers: tuple[str, ...]):
    """Numbers of a file, for those who cannot score the base again."""
    repo.run("--pmpo", "--pmpo-save-baseline=numbers.json")
    repo.worsen()
    repo.commit()
    result = repo.run("--pmpo", "--pmpo-base=numbers.json", *workers)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["pmpo: base: saved baseline *numbers.json"])


def test_a_baseline_of_another_fingerprint_is_refused(repo: Repo):
    """Numbers of another model or library do not compare: an error, never a pass."""
    repo.run("--pmpo", "--pmpo-save-baseline=numbers.json")
    data = json.loads((repo.path / "numbers.json").read_text())
    data["models"]["fake"]["fingerprint"]["model"] = "0" * 64
    repo.write("numbers.json", json.dumps(data))
    result = repo.run("--pmpo", "--pmpo-base=numbers.json")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*made under another fingerprint: model was*"])


def test_a_malformed_baseline_stops_the_run(repo: Repo):
    """It was named; nothing could be judged with it."""
    repo.write("numbers.json", "{")
    result = repo.run("--pmpo", "--pmpo-base=numbers.json")
    assert result.ret == 4
    assert "not JSON" in result.stderr.str()


def test_base_and_baseline_of_the_settings_are_used(repo: Repo):
    """``base`` and ``baseline`` in ``[tool.pmpo]`` do what the option does."""
    repo.git("tag", "good")
    repo.worsen()
    repo.settings('base = "good"\n')
    repo.commit()
    repo.run("--pmpo").assert_outcomes(passed=2, failed=1)
