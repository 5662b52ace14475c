"""The ``pmpo`` fixture, for tests written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo


@pytest.fixture
def write_test(repo: Repo):
    """Replace the repository's test by a body that takes the fixture."""

    def write(*lines: str) -> None:
        body = "".join(f"    {line}\n" for line in lines)
        repo.write("tests/test_unit.py", f"import pytest\nimport pytest_pmpo\n\ndef test_unit(pmpo):\n{body}")

    return write


def test_a_loss_is_a_number_with_its_parts(repo: Repo, write_test):
    """It compares as a float and knows fixtures, metric and unit; without ``--pmpo``."""
    write_test(
        "loss = pmpo.loss('prompts/spam.prompt.yml')",
        "assert 0 < loss < 5",
        "assert loss == pytest.approx(sum(loss.by_fixture.values()) / 6)",
        "assert len(loss.by_fixture) == 6",
        "assert repr(loss).endswith('nats/token (cross-entropy, 6 fixtures)')",
    )
    result = repo.run()
    result.assert_outcomes(passed=1)
    assert not [line for line in result.outlines if line.startswith("pmpo")]


def test_a_loss_of_messages_needs_no_file(repo: Repo, write_test):
    """Templates and fixtures as Python values; naming the answers makes them likelier."""
    write_test(
        "rows = [{'text': 'Cheap pills', 'expected': 'spam'}, {'vars': {'text': 'Lunch'}, 'expected': 'ham'}]",
        "bare = pmpo.loss([{'role': 'user', 'content': 'Sort: {{ text }}'}], rows)",
        "told = pmpo.loss([{'role': 'user', 'content': 'Sort into spam, ham: {{ text }}'}], rows)",
        "assert told < bare",
    )
    repo.run().assert_outcomes(passed=1)


def test_fixtures_can_replace_those_of_the_file(repo: Repo, write_test):
    """The same prompt on other inputs."""
    write_test(
        "loss = pmpo.loss('prompts/greeting.md', [{'name': 'Zoe', 'expected': 'hello Zoe', 'id': 'zoe'}])",
        "assert list(loss.by_fixture) == ['zoe']",
    )
    repo.run().assert_outcomes(passed=1)


def test_assert_no_regression_passes_for_an_unchanged_prompt(repo: Repo, write_test):
    """And for a better one."""
    write_test("pmpo.assert_no_regression('prompts/spam.prompt.yml')")
    repo.run().assert_outcomes(passed=1)
    repo.improve()
    repo.run().assert_outcomes(passed=1)


def test_assert_no_regression_fails_with_the_table(repo: Repo, write_test):
    """The message is the gate's own report; tolerance can be given."""
    repo.worsen()
    write_test("pmpo.assert_no_regression('prompts/spam.prompt.yml')")
    result = repo.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*REGRESSED*prompts/spam.prompt.yml under fake", "*What to do*"])
    result.stdout.no_fnmatch_line("*testing.py:*")
    write_test("pmpo.assert_no_regression('prompts/spam.prompt.yml', tolerance=0.5)")
    repo.run().assert_outcomes(passed=1)


def test_check_gives_the_verdicts(repo: Repo, write_test):
    """For tests that want to look at them."""
    repo.worsen()
    write_test(
        "[verdict] = pmpo.check('prompts/spam.prompt.yml')",
        "assert verdict.status == 'regressed'",
        "assert verdict.comparison.delta > 0",
    )
    repo.run().assert_outcomes(passed=1)


def test_it_shares_the_session_with_the_items(repo: Repo, write_test):
    """Under ``--pmpo``, one model and one base for all."""
    write_test("pmpo.assert_no_regression('prompts/spam.prompt.yml')")
    repo.run("--pmpo").assert_outcomes(passed=3)


def test_paths_are_relative_to_the_working_directory_or_the_repository(repo: Repo, write_test, monkeypatch):
    """A test means the same file wherever pytest is started."""
    write_test("assert pmpo.loss('prompts/spam.prompt.yml') > 0")
    monkeypatch.chdir(repo.path / "tests")
    repo.pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("pmpo.loss('prompts/none.md')", "there is no such file"),
        ("pmpo.loss([{'role': 'user', 'content': 'x'}])", "a loss needs fixtures"),
        ("pmpo.loss([{'role': 'wizard', 'content': 'x'}], [{'expected': 'y'}])", "is not a message"),
        ("pmpo.loss('prompts/spam.prompt.yml', metric='vibes')", "unknown metric 'vibes'"),
        ("pmpo.loss('prompts/spam.prompt.yml', model='fak')", "did you mean 'fake'"),
        ("pmpo.loss('prompts/spam.prompt.yml', [{'message': 'a'}])", "prompts/spam.prompt.yml"),
        ("pmpo.assert_no_regression('prompts/spam.prompt.yml', tolerance=-1.0)", "tolerance should be greater than"),
    ],
)
def test_mistakes_are_errors_of_this_package(repo: Repo, write_test, call: str, error: str):
    """``PmpoError`` with what is wrong."""
    write_test(
        "with pytest.raises(pytest_pmpo.PmpoError) as caught:", f"    {call}", f"assert {error!r} in str(caught.value)"
    )
    repo.run().assert_outcomes(passed=1)


def test_without_pytest_the_same_object_is_opened_by_hand(repo: Repo):
    """A script, or a notebook."""
    from pytest_pmpo import Pmpo

    found = Pmpo.open(repo.path, tolerance=0.1)
    assert found.loss("prompts/spam.prompt.yml") > 0
    assert found.check("prompts/spam.prompt.yml")[0].policy.tolerance == 0.1


def test_settings_that_cannot_be_used_fail_the_test_without_a_traceback(repo: Repo, write_test):
    """File, line and near miss, as everywhere."""
    repo.settings("tolerence = 1\n")
    write_test("assert pmpo")
    result = repo.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["pyproject.toml:3: unknown setting 'tolerence'"])
    result.stdout.no_fnmatch_line("*gate.py*")


def test_a_mistake_shows_the_test_and_the_message_but_no_frames_of_ours(repo: Repo, write_test):
    """As an assertion of the test's own."""
    write_test("pmpo.loss('prompts/sapm.prompt.yml')")
    result = repo.run()
    result.stdout.fnmatch_lines(
        [">       pmpo.loss(*", "E       *SourceError: prompts/sapm.prompt.yml: there is no such file"]
    )
    assert not [line for line in result.outlines if "pytest_pmpo/" in line and ".py" in line]
