"""``--pmpo-blocking`` and ``blocking``: a verdict that only informs passes, and is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo


def spam(repo: Repo) -> dict[str, Any]:
    """The verdict on the spam prompt."""
    [verdict] = [entry["verdict"] for entry in repo.json()["entries"] if "spam" in entry["path"]]
    return dict(verdict)


def test_a_proxy_informs_and_the_summary_shows_its_table(repo: Repo, workers: tuple[str, ...]):
    """Exit code 0 with the whole case before the eyes; 1 without the option."""
    repo.worsen()
    assert repo.run("--pmpo").ret == 1
    result = repo.run("--pmpo", "--pmpo-blocking=no-proxy", "--pmpo-json=out.json", *workers)
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*- prompts -*",
            "REGRESSED  prompts/spam.prompt.yml under fake",
            "*What to do*",
            "pmpo: 2 verdicts: 1 regressed, 1 unchanged; 1 informs only",
            "  regressed *worse* prompts/spam.prompt.yml",
            '  *informs only: blocking = "no-proxy" and cross-entropy is a proxy for accuracy',
        ]
    )
    assert (spam(repo)["status"], spam(repo)["failed"], spam(repo)["informs"]) == ("regressed", False, True)


def test_v_says_regressed_beside_passed(repo: Repo):
    """The test's own line does not hide it."""
    repo.worsen()
    result = repo.run("--pmpo", "--pmpo-blocking=never", "-v")
    result.stdout.fnmatch_lines(["prompts/spam.prompt.yml::pmpo*PASSED regressed: *"])


def test_junit_has_a_passed_case_with_the_text(repo: Repo, workers: tuple[str, ...]):
    """As a property, where the numbers are."""
    repo.worsen()
    repo.run("--pmpo", "--pmpo-blocking=never", "--junitxml=junit.xml", *workers)
    root = ElementTree.parse(repo.path / "junit.xml").getroot()
    [case] = [case for case in root.iter("testcase") if "spam" in f"{case.get('classname')}"]
    told = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert case.find("failure") is None
    assert told["pmpo_status"] == "regressed"
    assert str(told["pmpo_informs"]).endswith('informs only: blocking = "never"')


@pytest.mark.parametrize("glob", ["prompts/spam*", "prompts/greeting*"])
def test_an_override_holds_for_its_paths_only(repo: Repo, glob: str):
    """In the file, per path; what it does not name blocks as before."""
    repo.worsen()
    repo.settings(f'[[tool.pmpo.override]]\npaths = ["{glob}"]\nblocking = "never"\n')
    assert repo.run("--pmpo").ret == (0 if "spam" in glob else 1)


def test_the_command_line_wins_over_the_file(repo: Repo):
    """A job that says ``always`` blocks whatever a pull request writes into the file."""
    repo.worsen()
    repo.settings('blocking = "never"\n[[tool.pmpo.override]]\npaths = ["prompts/"]\nblocking = "no-proxy"\n')
    assert repo.run("--pmpo").ret == 0
    assert repo.run("--pmpo", "--pmpo-blocking=always").ret == 1


def test_a_strict_failure_informs_too(repo: Repo):
    """An inconclusive verdict, and a base that cannot be compared with."""
    repo.worsen()
    repo.run("--pmpo", "--pmpo-alpha=0.001", "--pmpo-strict", "--pmpo-blocking=no-proxy").assert_outcomes(passed=3)
    good = (repo.path / "prompts/spam.prompt.yml").read_text()
    repo.write("prompts/spam.prompt.yml", "messages: [\n" + good)
    repo.commit()
    repo.write("prompts/spam.prompt.yml", good)
    repo.run("--pmpo", "--pmpo-strict").assert_outcomes(passed=2, failed=1)
    result = repo.run("--pmpo", "--pmpo-strict", "--pmpo-blocking=no-proxy")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["NEW  prompts/spam.prompt.yml under fake", "the base version cannot be read*"])


def test_what_cannot_be_judged_is_an_error_whatever_blocks(repo: Repo):
    """It is no verdict."""
    repo.write("prompts/spam.prompt.yml", "messages: [")
    repo.run("--pmpo", "--pmpo-blocking=never").assert_outcomes(passed=2, errors=1)


def test_an_unknown_value_names_the_near_one(repo: Repo):
    """On the command line, and in the file with its line."""
    result = repo.run("--pmpo", "--pmpo-blocking=nevr")
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        [
            "*--pmpo-blocking should be 'always', 'no-proxy' or 'never', not 'nevr'",
            "*did you mean 'never'?",
        ]
    )
    repo.settings('[[tool.pmpo.override]]\npaths = ["prompts/"]\nblocking = "no-proxies"\n')
    result = repo.run("--pmpo")
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["*pyproject.toml:5: override.blocking: should be 'always', *", "*did you mean 'no-proxy'?"]
    )


def test_an_assertion_by_hand_warns_instead(repo: Repo):
    """At the line of the test; and an argument wins over the file."""
    repo.worsen()
    repo.settings('blocking = "no-proxy"\n')
    call = "pmpo.assert_no_regression('prompts/spam.prompt.yml'{})\n"
    repo.write("tests/test_unit.py", f"def test_unit(pmpo):\n    {call.format('')}")
    result = repo.run()
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_unit.py:2: PromptRegressionWarning: prompts/spam* regressed: *informs only*"])
    argument = ', blocking="always"'
    repo.write("tests/test_unit.py", f"def test_unit(pmpo):\n    {call.format(argument)}")
    repo.run().assert_outcomes(failed=1)
