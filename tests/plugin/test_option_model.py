"""``--pmpo-model``: which models judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Repo


def test_each_model_has_an_item_of_its_own(repo: Repo):
    """One verdict per prompt and model; ids tell them apart."""
    assert repo.ids("--pmpo", "--pmpo-model=fake", "--pmpo-model=org/name", "-k", "spam") == [
        "prompts/spam.prompt.yml::pmpo[fake]",
        "prompts/spam.prompt.yml::pmpo[name]",
    ]


def test_models_of_one_name_are_told_apart_by_what_the_settings_say(repo: Repo):
    """Ids stay unique."""
    assert repo.ids("--pmpo", "--pmpo-model=a/same", "--pmpo-model=b/same@v1", "-k", "spam") == [
        "prompts/spam.prompt.yml::pmpo[a/same]",
        "prompts/spam.prompt.yml::pmpo[b/same@v1]",
    ]


def test_the_command_line_replaces_the_models_of_the_file(repo: Repo):
    """The file's model does not judge as well."""
    repo.settings("")
    repo.edit("pyproject.toml", '"fake"', '"org/other"')
    repo.run("--pmpo", "--pmpo-model=fake").assert_outcomes(passed=3)


def test_a_model_that_is_not_here_is_an_error_that_says_what_to_do(repo: Repo):
    """Every prompt that needs it errors; tests go on."""
    result = repo.run("--pmpo", "--pmpo-model=./models/none")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*there is no model directory *models/none*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_mistyped_model_names_the_one_that_was_meant(repo: Repo):
    """The near miss, as for settings."""
    result = repo.run("--pmpo", "--pmpo-model=fak")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*there is no model 'fak'*", "*did you mean 'fake'?*"])


def test_one_missing_model_does_not_keep_another_from_judging(repo: Repo):
    """Each prompt has its verdict under the model that is here."""
    result = repo.run("--pmpo", "--pmpo-model=fake", "--pmpo-model=./none")
    result.assert_outcomes(passed=3, errors=2)


def test_an_override_gives_a_prompt_models_of_its_own(repo: Repo):
    """``[[tool.pmpo.override]]`` is per path."""
    repo.settings('[[tool.pmpo.override]]\npaths = ["prompts/*.md"]\nmodels = ["org/name"]\n')
    assert repo.ids("--pmpo", "-m", "pmpo") == [
        "prompts/greeting.md::pmpo[name]",
        "prompts/spam.prompt.yml::pmpo[fake]",
    ]
