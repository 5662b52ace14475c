"""pytest's own options keep their meaning for prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo

UNIT = "tests/test_unit.py::test_unit"
GREETING = "prompts/greeting.md::pmpo[fake]"
SPAM = "prompts/spam.prompt.yml::pmpo[fake]"


def test_k_selects_by_file_model_and_tag(repo: Repo):
    """The file's name, the model's name and the tags of fixtures are keywords."""
    assert repo.ids("--pmpo", "-k", "spam") == [SPAM]
    assert repo.ids("--pmpo", "-k", "fake") == [GREETING, SPAM]
    assert repo.ids("--pmpo", "-k", "short") == [GREETING]
    assert repo.ids("--pmpo", "-k", "not pmpo") == [UNIT]


def test_m_selects_prompts_by_their_marker(repo: Repo):
    """``pmpo`` is a registered marker."""
    assert repo.ids("--pmpo", "-m", "pmpo") == [GREETING, SPAM]
    assert repo.ids("--pmpo", "-m", "not pmpo") == [UNIT]
    repo.run("--markers").stdout.fnmatch_lines(["@pytest.mark.pmpo: *"])


def test_deselect_takes_the_id_of_an_item(repo: Repo):
    """Ids are addresses."""
    assert repo.ids("--pmpo", "--deselect", SPAM) == [UNIT, GREETING]


def test_lf_runs_what_failed_last(repo: Repo):
    """A regressed prompt is a failure pytest remembers, and forgets once it is mended."""
    repo.worsen()
    repo.run("--pmpo").assert_outcomes(passed=2, failed=1)
    repo.run("--pmpo", "--lf").assert_outcomes(failed=1)
    repo.git("checkout", "-q", "prompts")
    repo.run("--pmpo", "--lf").assert_outcomes(passed=1)
    repo.run("--pmpo", "--lf").assert_outcomes(passed=3)


def test_a_file_that_was_broken_has_the_same_id_once_it_is_mended(repo: Repo):
    """So ``--lf`` finds it again."""
    repo.edit("prompts/spam.prompt.yml", "messages:", "messages: [")
    repo.run("--pmpo").assert_outcomes(passed=2, errors=1)
    repo.git("checkout", "-q", "prompts")
    result = repo.run("--pmpo", "--lf", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["prompts/spam.prompt.yml::pmpo*PASSED*"])


def test_ff_runs_what_failed_first(repo: Repo):
    """And still everything."""
    repo.worsen()
    repo.run("--pmpo")
    repo.write("tests/test_unit.py", "def test_unit():\n    print('UNIT')\n")
    result = repo.run("--pmpo", "--ff", "-v")
    order = [line.split(" ")[0] for line in result.outlines if "::" in line and ("PASSED" in line or "FAILED" in line)]
    assert order[:3] == [SPAM, UNIT, GREETING]


def test_x_stops_at_a_regression(repo: Repo):
    """Sorted after it, nothing runs."""
    repo.edit("prompts/greeting.md", "Say: hello {{ name }}, hello {{ name }}", "Go on.")
    result = repo.run("--pmpo", "-x")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*stopping after 1 failures*"])


def test_stepwise_goes_on_from_where_it_stopped(repo: Repo):
    """``--sw`` needs stable ids and order, and has them."""
    repo.edit("prompts/greeting.md", "Say: hello {{ name }}, hello {{ name }}", "Go on.")
    repo.run("--pmpo", "--sw").assert_outcomes(passed=1, failed=1)
    repo.git("checkout", "-q", "prompts")
    repo.run("--pmpo", "--sw").assert_outcomes(passed=2, deselected=1)


def test_xfail_set_by_a_conftest_is_honoured(repo: Repo):
    """A known regression can be marked as pytest marks it, and is reported as such."""
    repo.write(
        "conftest.py",
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if 'spam' in item.nodeid:\n"
        "            item.add_marker(pytest.mark.xfail(reason='known', strict=True))\n",
    )
    repo.worsen()
    result = repo.run("--pmpo", "-rx")
    result.assert_outcomes(passed=2, xfailed=1)
    assert result.ret == 0
    repo.git("checkout", "-q", "prompts")
    result = repo.run("--pmpo")
    result.assert_outcomes(passed=2, failed=1)


def test_a_skip_set_by_a_conftest_scores_nothing(repo: Repo):
    """A skipped prompt is skipped before its setup."""
    repo.write(
        "conftest.py",
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if 'spam' in item.nodeid:\n"
        "            item.add_marker(pytest.mark.skip(reason='not today'))\n",
    )
    result = repo.run("--pmpo")
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(["pmpo: 1 verdict: 1 unchanged"])


def test_neither_k_nor_an_explicit_path_changes_how_alpha_is_shared(repo: Repo):
    """The share comes from all prompts that differ from their base, not from those that run."""
    repo.worsen()
    repo.edit("prompts/greeting.md", "Greet", "Please greet")
    shares = []
    for arguments in (["--pmpo"], ["--pmpo", "-k", "spam"], ["prompts/spam.prompt.yml"], ["--pmpo", "prompts"]):
        repo.run(*arguments, "--pmpo-json=out.json")
        entries = repo.json()["entries"]
        shares += [e["verdict"]["policy"]["family"] for e in entries if "spam" in e["path"]]
    assert shares == [2, 2, 2, 2]


def test_an_unchanged_prompt_takes_no_share_of_alpha(repo: Repo):
    """Untouched prompts cost no power; nor does a prompt whose fixtures alone changed."""
    repo.worsen()
    repo.edit("prompts/greeting.fixtures.yaml", "Grace", "Hopper")
    repo.run("--pmpo", "--pmpo-json=out.json")
    families = {e["path"]: e["verdict"]["policy"]["family"] for e in repo.json()["entries"]}
    assert families == {"prompts/greeting.md": 1, "prompts/spam.prompt.yml": 1}


@pytest.mark.parametrize("dist", ["load", "loadgroup"])
def test_xdist_judges_every_prompt_once(repo: Repo, dist: str):
    """However the items are dealt out, each has one verdict; only the controller prints them."""
    result = repo.run("--pmpo", "-n", "2", "--dist", dist, "--pmpo-json=out.json")
    result.assert_outcomes(passed=3)
    assert sorted(entry["path"] for entry in repo.json()["entries"]) == [
        "prompts/greeting.md",
        "prompts/spam.prompt.yml",
    ]
    assert sum("pmpo: 2 verdicts" in line for line in result.outlines) == 1
