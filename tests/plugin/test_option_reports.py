"""``--pmpo-json``, ``--pmpo-html``, ``--pmpo-markdown``, ``--pmpo-sarif``, ``--pmpo-report``, ``--pmpo-github``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo


def test_json_holds_every_verdict_and_what_could_not_be_judged(repo: Repo, workers: tuple[str, ...]):
    """From one process and from workers alike."""
    repo.worsen()
    repo.write("prompts/broken.prompt.yml", "messages: [")
    result = repo.run("--pmpo", "--pmpo-json=out.json", *workers)
    result.stdout.fnmatch_lines(["pmpo: json report: *out.json"])
    run = repo.json()
    statuses = {entry["path"]: entry["verdict"]["status"] for entry in run["entries"]}
    assert statuses == {"prompts/greeting.md": "unchanged", "prompts/spam.prompt.yml": "regressed"}
    [trouble] = run["troubles"]
    assert (trouble["path"], trouble["line"]) == ("prompts/broken.prompt.yml", 1)
    assert run["info"]["base"]["commit"] == repo.git("rev-parse", "HEAD")
    assert run["info"]["models"] == [{"name": "fake", "revision": "1", "device": "cpu", "dtype": "float32"}]
    assert run["info"]["tokens"] > 0


def test_html_is_a_page_with_the_verdict(repo: Repo):
    """Self-contained; text from prompts is escaped."""
    repo.edit("prompts/spam.prompt.yml", "name: spam", "name: <script>alert(1)</script>")
    repo.edit("prompts/spam.prompt.yml", "Examples of answers:", "<script>alert(2)</script>")
    repo.run("--pmpo", "--pmpo-html=out.html")
    page = (repo.path / "out.html").read_text("utf-8")
    assert page.lstrip().startswith("<!doctype html>") or "<html" in page[:500]
    assert "prompts/spam.prompt.yml" in page
    assert "<script>alert" not in page


def test_markdown_has_a_table_of_verdicts(repo: Repo):
    """For a comment."""
    repo.worsen()
    repo.run("--pmpo", "--pmpo-markdown=out.md")
    text = (repo.path / "out.md").read_text("utf-8")
    assert "prompts/spam.prompt.yml" in text
    assert "regressed" in text


def test_sarif_points_at_the_prompt(repo: Repo):
    """For code scanning."""
    repo.worsen()
    repo.run("--pmpo", "--pmpo-sarif=out.sarif")
    [run] = json.loads((repo.path / "out.sarif").read_text("utf-8"))["runs"]
    [result] = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "prompts/spam.prompt.yml"


def test_a_reporter_of_a_conftest_is_asked_by_name(repo: Repo):
    """The extension point: name, and a function from the run to text."""
    repo.write(
        "conftest.py",
        "def pytest_pmpo_reporters():\n    return {'count': lambda report: f'{len(report.entries)} verdicts'}\n",
    )
    repo.run("--pmpo", "--pmpo-report=count=out.txt")
    assert (repo.path / "out.txt").read_text() == "2 verdicts"


def test_an_unknown_reporter_is_refused_before_anything_is_scored(repo: Repo):
    """With the names there are."""
    result = repo.run("--pmpo", "--pmpo-report=cuont=out.txt")
    assert result.ret == 4
    assert "unknown reporter 'cuont'" in result.stderr.str()
    assert "json" in result.stderr.str()


def test_a_report_into_a_missing_folder_is_refused_before_anything_is_scored(repo: Repo):
    """A mistyped path costs no run."""
    assert repo.run("--pmpo", "--pmpo-json=no/where.json").ret == 4


def test_asking_for_a_report_is_asking_for_prompts(repo: Repo):
    """An output that stays empty without a word would be a trap."""
    repo.run("--pmpo-json=out.json").assert_outcomes(passed=3)


def test_github_annotates_and_adds_to_the_summary_in_actions_only(repo: Repo, monkeypatch: pytest.MonkeyPatch):
    """Workflow commands on standard output, Markdown in the step's summary; elsewhere the option does nothing."""
    repo.worsen()
    result = repo.run("--pmpo", "--pmpo-github")
    result.stdout.no_fnmatch_line("::*")
    summary = repo.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = repo.run("--pmpo", "--pmpo-github", "--pmpo-base=HEAD")
    result.stdout.fnmatch_lines(["::error file=prompts/spam.prompt.yml,line=*"])
    assert "prompts/spam.prompt.yml" in summary.read_text("utf-8")
