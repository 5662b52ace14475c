"""Options that override one setting: each changes what it says, bare and in workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo


def spam(repo: Repo) -> dict[str, Any]:
    """The verdict on the spam prompt."""
    verdicts = [entry["verdict"] for entry in repo.json()["entries"] if "spam" in entry["path"]]
    verdict: dict[str, Any] = verdicts[0]
    return verdict


def test_tolerance_lets_a_small_loss_pass(repo: Repo, workers: tuple[str, ...]):
    """12 % worse fails at 2 % and passes at 50 %."""
    repo.worsen()
    repo.run("--pmpo").assert_outcomes(passed=2, failed=1)
    repo.run("--pmpo", "--pmpo-tolerance=0.5", "--pmpo-json=out.json", *workers).assert_outcomes(passed=3)
    assert spam(repo)["policy"]["tolerance"] == 0.5


def test_tolerance_must_be_a_share(repo: Repo):
    """A negative one is a usage error that names the option; text is pytest's own complaint."""
    result = repo.run("--pmpo", "--pmpo-tolerance=-1")
    assert result.ret == 4
    assert "--pmpo-tolerance should be greater than or equal to 0, not -1.0" in result.stderr.str()
    assert repo.run("--pmpo", "--pmpo-tolerance=much").ret == 4


def test_hard_break_fails_one_fixture_that_lost_too_much(repo: Repo):
    """0.01 nats per token is too strict for this edit, ``off`` switches the guard off."""
    repo.worsen()
    repo.run("--pmpo", "--pmpo-tolerance=9", "--pmpo-hard-break=0.01", "--pmpo-json=out.json")
    assert (spam(repo)["status"], "broke" in spam(repo)["reason"]) == ("regressed", True)
    repo.run("--pmpo", "--pmpo-tolerance=9", "--pmpo-hard-break=off", "--pmpo-json=out.json")
    assert (spam(repo)["status"], spam(repo)["policy"]["hard_break"]) == ("passed", None)


def test_alpha_decides_how_sure_a_regression_must_be(repo: Repo):
    """Six fixtures cannot prove anything at 1 in 1,000: inconclusive, and passed unless strict."""
    repo.worsen()
    repo.run("--pmpo", "--pmpo-alpha=0.001", "--pmpo-json=out.json").assert_outcomes(passed=3)
    assert spam(repo)["status"] == "inconclusive"


def test_strict_fails_what_is_inconclusive(repo: Repo, workers: tuple[str, ...]):
    """Nothing passes unproven."""
    repo.worsen()
    repo.run("--pmpo", "--pmpo-alpha=0.001", "--pmpo-strict", *workers).assert_outcomes(passed=2, failed=1)


def test_metric_names_what_is_measured(repo: Repo):
    """By name; one the fixtures cannot have is an error at the fixture, an unknown one lists all."""
    repo.run("--pmpo", "--pmpo-metric=cross-entropy", "--pmpo-json=out.json").assert_outcomes(passed=3)
    assert spam(repo)["metric"]["name"] == "cross-entropy"
    result = repo.run("--pmpo", "--pmpo-metric=preference")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["prompts/greeting.fixtures.yaml:1: *cannot be measured by preference*"])
    result = repo.run("--pmpo", "--pmpo-metric=vibes")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*unknown metric 'vibes'*", "*cross-entropy*"])


def test_the_most_telling_metric_is_taken_by_default(repo: Repo):
    """Choices are judged by their distractors."""
    repo.write(
        "prompts/greeting.fixtures.yaml",
        "- {vars: {name: Ada}, choices: [hello, goodbye], expected: hello}\n"
        "- {vars: {name: Bob}, choices: [hello, goodbye], expected: goodbye}\n",
    )
    repo.run("--pmpo", "-k", "greeting", "--pmpo-json=out.json")
    [entry] = repo.json()["entries"]
    assert entry["verdict"]["metric"]["name"] == "choice"


def test_device_and_dtype_are_shown_and_passed_on(repo: Repo):
    """The header says what was chosen; what nobody knows is a usage error."""
    result = repo.run("--pmpo", "--pmpo-device=cpu", "--pmpo-dtype=bfloat16", "--pmpo-json=out.json")
    result.stdout.fnmatch_lines(["pmpo: fake on cpu, bfloat16"])
    assert repo.json()["info"]["models"] == [{"name": "fake", "revision": "1", "device": "cpu", "dtype": "bfloat16"}]
    for option in ("--pmpo-device=tpu", "--pmpo-dtype=int3"):
        assert repo.run("--pmpo", option).ret == 4


def test_the_cache_answers_the_second_run(repo: Repo, workers: tuple[str, ...]):
    """No token is computed twice; the summary says so."""
    repo.run("--pmpo")
    repo.run("--pmpo", "--pmpo-json=out.json", *workers)
    assert repo.json()["info"]["tokens"] == 0
    assert repo.json()["info"]["cached_tokens"] > 0


def test_no_cache_computes_every_loss_anew(repo: Repo, clean_environment: Any):
    """And leaves nothing behind."""
    repo.run("--pmpo", "--pmpo-no-cache")
    assert not list(clean_environment.glob("losses*"))
    repo.run("--pmpo")
    repo.run("--pmpo", "--pmpo-no-cache", "--pmpo-json=out.json")
    assert repo.json()["info"]["tokens"] > 0


def test_cached_and_computed_numbers_are_the_same(repo: Repo):
    """A verdict does not depend on what was known before."""
    repo.worsen()
    repo.run("--pmpo", "--pmpo-no-cache", "--pmpo-json=out.json")
    computed = spam(repo)
    repo.run("--pmpo")
    repo.run("--pmpo", "--pmpo-json=out.json")
    assert spam(repo) == computed


@pytest.mark.parametrize("value", ["tolerance", "strict"])
def test_an_override_holds_for_its_paths_only(repo: Repo, value: str):
    """``[[tool.pmpo.override]]`` in the file, per path."""
    repo.worsen()
    settings = {"tolerance": "tolerance = 0.5", "strict": "hard_break = false\ntolerance = 0.5\nstrict = true"}[value]
    repo.settings(f'[[tool.pmpo.override]]\npaths = ["prompts/spam*"]\n{settings}\n')
    repo.run("--pmpo", "--pmpo-json=out.json").assert_outcomes(passed=3)
    policies = {entry["path"]: entry["verdict"]["policy"] for entry in repo.json()["entries"]}
    assert policies["prompts/spam.prompt.yml"]["tolerance"] == 0.5
    assert policies["prompts/greeting.md"]["tolerance"] == 0.02
