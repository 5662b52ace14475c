"""``--pmpo-optimize``: what was judged is improved, once, by the process that sees all results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo

PROMPT = """You are a helpful assistant. You love cheese and long walks. Read the sentence carefully.

- Decide whether it is praise or blame.
- Never mention the weather.

Answer with one word only.

Sentence: {{ input }}
Label:
"""
FIXTURES = "\n".join(
    f"- {{id: {label}-{word}, vars: {{input: {kind} {word}}}, expected: {label}}}"
    for label, kind in (("praise", "fine"), ("blame", "poor"))
    for word in ["day", "meal", "film", "work", "song", "crowd", "hosts", "plot"]
)


@pytest.fixture
def praise(repo: Repo) -> Repo:
    """The repository with a prompt that has enough fixtures to be optimized."""
    repo.write("prompts/praise.md", PROMPT)
    repo.write("prompts/praise.fixtures.yaml", FIXTURES)
    repo.write(".gitignore", "__pycache__\n.pytest_cache\npmpo-out/\n")
    repo.commit()
    return repo


def test_the_table_comes_after_the_verdicts_and_leaves_patch_and_reports(praise: Repo, workers: tuple[str, ...]):
    """Once, by the controller, under xdist as well; the work tree is as it was."""
    result = praise.run("--pmpo-optimize-rounds=2", "-k", "praise", *workers)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "pmpo: 1 verdict*",
            "*- optimize -*",
            "*optimize prompts/praise.md: strategy pmpo*",
            "*round 1: train*",
            "*confirmed on held-out fixtures*",
            "patch: pmpo-out/praise.patch (git apply pmpo-out/praise.patch)",
        ]
    )
    assert result.stdout.str().count("optimize prompts/praise.md") == 1
    out = praise.path / "pmpo-out"
    assert sorted(p.name for p in out.iterdir()) == ["journals", "praise.html", "praise.md", "praise.patch"]
    assert praise.git("status", "--porcelain") == ""
    praise.git("apply", "--check", "pmpo-out/praise.patch")


def test_asking_for_it_is_asking_for_prompts(praise: Repo):
    """``--pmpo`` need not be said; a path chooses."""
    result = praise.run("prompts/praise.md", "--pmpo-optimize")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*limits: 5 rounds*", "*5 rounds are done*"])


def test_a_prompt_that_cannot_be_optimized_fails_the_run_and_keeps_no_other_from_it(praise: Repo):
    """The spam prompt has six fixtures, greeting three; praise has its turn all the same."""
    result = praise.run("--pmpo", "--pmpo-optimize-rounds=1")
    assert result.ret == 4
    output = result.stdout.str()
    assert "error: prompts/greeting.fixtures.yaml" in output
    assert "6 fixtures are too few to optimize on" in output
    assert "patch:" in output or "no candidate was better" in output or "not confirmed" in output


def test_without_a_judged_prompt_there_is_nothing_to_optimize(praise: Repo):
    """A prompt in trouble is no prompt to improve."""
    praise.edit("prompts/praise.md", "{{ input }}", "{{ nobody }}")
    result = praise.run("--pmpo-optimize", "-k", "praise")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["pmpo: nothing to optimize: no prompt was judged"])


def test_nothing_is_optimized_when_only_collecting(praise: Repo):
    """``--collect-only`` runs nothing."""
    result = praise.run("--collect-only", "--pmpo-optimize")
    assert "optimize prompts/" not in result.stdout.str()
    assert not (praise.path / "pmpo-out").exists()


def test_a_number_of_rounds_that_is_none_is_said(praise: Repo):
    """Zero rounds are no limit."""
    result = praise.run("--pmpo-optimize-rounds=0", "-k", "praise")
    assert result.ret == 4
    assert "budget rounds is 0" in result.stdout.str()
