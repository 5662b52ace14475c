"""Which grader grades: the command line's, the configuration's if the base vouches for it, else the bank's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.extensions import Extensions, bare_manager
from pytest_pmpo.app.grading import grader_for
from pytest_pmpo.app.project import Project
from pytest_pmpo.errors import ConfigError
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.records import Bank, Response

if TYPE_CHECKING:
    from tests.conftest import Repo

PROMPT = "prompts/spam.prompt.yml"
MINE = '[tool.pmpo.graders]\n"prompts/*" = "mine:grade"\n'


@contextmanager
def chosen(repo: Repo, named: str | None = None, *graders: str) -> Iterator[Grader]:
    project = Project.open(repo.path, {}, Extensions(bare_manager().hook))
    [task] = project.tasks(PROMPT)
    bank = Bank("b", {}, tuple(Response("f", f"text {i}", 1.0, name) for i, name in enumerate(graders)))
    with grader_for(project, task, bank, Checker(project, environ={}).base_for_trust, named) as grader:
        yield grader


def identity(repo: Repo, named: str | None = None, *graders: str) -> str:
    with chosen(repo, named, *graders) as grader:
        return grader.identity


def mine(repo: Repo, answer: str = "1") -> None:
    repo.write("mine.py", f"def grade(response, expected, vars):\n    return {answer}\n")


def test_the_labels_suggest_one(repo: Repo) -> None:
    assert identity(repo) == "exact"


def test_what_graded_the_bank_so_far_goes_on(repo: Repo) -> None:
    assert identity(repo, None, "contains", "given", "contains") == "contains"
    assert identity(repo, None, "contains", "number") == "exact"
    assert identity(repo, None, "regex('a')") == "exact"


def test_the_configuration_names_one_by_glob_and_the_last_match_counts(repo: Repo) -> None:
    repo.settings('[tool.pmpo.graders]\n"*" = "contains"\n"prompts/spam*" = {grader = "exact", strict = true}\n')
    assert identity(repo, None, "number") == "exact(strict)"


def test_the_command_line_wins(repo: Repo) -> None:
    repo.settings('[tool.pmpo.graders]\n"*" = "contains"\n')
    assert identity(repo, "number") == "number"


def test_a_function_the_base_names_too_is_run(repo: Repo) -> None:
    mine(repo)
    repo.settings(MINE)
    repo.commit()
    repo.improve()
    with chosen(repo) as grader:
        [fixture, *_] = Project.open(repo.path, {}, Extensions(bare_manager().hook)).tasks(PROMPT)[0].suite.fixtures
        assert (grader.identity, grader.grade(fixture, "x").score) == ("function(mine:grade)", 1.0)


def test_a_function_only_the_head_names_is_refused_with_its_line(repo: Repo) -> None:
    mine(repo)
    repo.commit()
    repo.settings(MINE)
    with pytest.raises(ConfigError, match=r"'mine:grade' counts only once the base commit \w+ names it too") as caught:
        identity(repo)
    assert str(caught.value.location) == "pyproject.toml:4"
    assert "--grader" in str(caught.value.hint)
    assert identity(repo, "mine:grade") == "function(mine:grade)"


def test_a_function_is_not_run_from_code_that_differs_from_the_base(repo: Repo) -> None:
    """What the function imports counts as well, and so does a file that is not committed yet."""
    mine(repo)
    repo.settings(MINE)
    repo.commit()
    for name in ("mine.py", "helper/__init__.py"):
        repo.write(name, "def grade(*_):\n    return 0\n")
        with pytest.raises(ConfigError, match=f"is not run, for code differs from the base .*: {name}"):
            identity(repo)
        repo.git("clean", "-fdq")
        repo.git("checkout", "-q", ".")
    assert identity(repo) == "function(mine:grade)"


def test_a_function_is_not_run_beside_a_submodule_or_a_link_that_differs_from_the_base(
    repo: Repo, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Either may hold a module of the name the function imports, and git lists no file behind it."""
    mine(repo)
    repo.settings(MINE)
    repo.commit()
    other = tmp_path_factory.mktemp("other")
    repo.git("clone", "-q", str(repo.path), str(other / "theirs"))
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other / "theirs"), "helper")
    repo.git(*add)
    for name in ("helper", "linked"):
        with pytest.raises(ConfigError, match=rf"is not run, for code differs from the base \w+: {name}\n"):
            identity(repo)
        repo.git("rm", "-rqf", name)
        (repo.path / ".gitmodules").unlink(missing_ok=True)
        if name == "helper":
            repo.git("add", "-A")
            (repo.path / "linked").symlink_to(other, target_is_directory=True)
            repo.git("add", "linked")
    assert identity(repo) == "function(mine:grade)"


def test_without_a_base_commit_no_function_is_run(repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> None:
    mine(repo)
    repo.settings(MINE)
    (repo.path / ".git").rename(tmp_path_factory.mktemp("away") / "git")
    with pytest.raises(ConfigError, match="counts only once it is in a base commit, and there is none"):
        identity(repo)


def test_a_judge_only_the_head_names_is_refused_for_it_would_be_sent_a_key(repo: Repo) -> None:
    judge = '[tool.pmpo.graders]\n"*" = {{grader = "judge", model = "openai:m@http://{host}/v1"}}\n'
    repo.settings(judge.format(host="127.0.0.1:1"))
    repo.commit()
    assert identity(repo).startswith("judge(m, rubric=")
    repo.settings(judge.format(host="evil.example"))
    with pytest.raises(ConfigError, match="counts only once the base commit"):
        identity(repo)


def test_a_broken_configuration_in_the_base_vouches_for_nothing(repo: Repo) -> None:
    mine(repo)
    repo.write("pyproject.toml", "[tool.pmpo\n")
    repo.commit()
    repo.settings(MINE)
    with pytest.raises(ConfigError, match="counts only once the base commit"):
        identity(repo)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"p*" = "exakt"', "unknown grader 'exakt' (did you mean 'exact'?)"),
        ('"p*" = {grader = "number", tolerence = 1}', "grader 'number' has no option 'tolerence'"),
        ('"p*" = {grader = "number", tolerance = "much"}', "'tolerance' is a number, not 'much'"),
        ('"p*" = {tolerance = 1}', "a grader's table says which one"),
        ('"p*" = "not a name:grade"', "names no function"),
        ('"p*" = {grader = "function"}', "grader 'function' needs the option 'function'"),
        ('"p*" = {grader = "judge", model = "gpt"}', "'gpt' names no server"),
        ('"p*" = {grader = "regex", pattern = "("}', "'(' is no regular expression"),
        ('"p*" = 3', "should be a grader's name, module:function, or a table with 'grader', not 3"),
    ],
)
def test_a_mistake_in_the_configuration_is_named_by_file_and_line(repo: Repo, line: str, message: str) -> None:
    repo.settings(f'[tool.pmpo.graders]\n"ok*" = "exact"\n{line}\n')
    with pytest.raises(ConfigError) as caught:
        Project.open(repo.path, {}, Extensions(bare_manager().hook))
    assert message in str(caught.value)
    assert str(caught.value).startswith("pyproject.toml:5: graders.p*: ")


def test_a_prompt_file_cannot_name_a_grader(repo: Repo) -> None:
    """A key of that name in it is the author's own and read by nobody here."""
    repo.edit(PROMPT, "name: spam\n", "name: spam\ngrader: mine:grade\n")
    assert identity(repo) == "exact"
