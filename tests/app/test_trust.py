"""Code that comes with a model runs only if the base commit says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.extensions import Extensions, bare_manager
from pytest_pmpo.app.project import Project

if TYPE_CHECKING:
    from tests.conftest import Repo

TRUSTING = 'trust_remote_code = true\nmodels = ["org/custom"]\n'


def trusts(repo: Repo, spec: str, **given: object) -> bool:
    """Whether a run in the repository, as it is now, trusts a model."""
    project = Project.open(repo.path, given, Extensions(bare_manager().hook))
    return Checker(project, environ={}).models.trusted(spec)


@pytest.fixture
def custom(repo: Repo) -> Repo:
    """A repository whose base trusts one model."""
    repo.write("pyproject.toml", "[tool.pmpo]\n" + TRUSTING)
    repo.commit()
    return repo


def test_nothing_is_trusted_by_default(repo: Repo):
    """Not even models of the settings."""
    assert not trusts(repo, "fake")


def test_the_head_cannot_switch_it_on(repo: Repo):
    """A change under test writes the file, so the file does not count."""
    repo.write("pyproject.toml", "[tool.pmpo]\n" + TRUSTING)
    assert not trusts(repo, "org/custom")


def test_the_base_can(custom: Repo):
    """For the models it names itself."""
    assert trusts(custom, "org/custom")
    assert not trusts(custom, "org/other")


def test_the_head_can_switch_it_off(custom: Repo):
    """Less trust is always possible."""
    custom.write("pyproject.toml", '[tool.pmpo]\nmodels = ["org/custom"]\n')
    assert not trusts(custom, "org/custom")


def test_the_head_cannot_name_another_model_to_trust(custom: Repo):
    """The base's trust is in its own models."""
    custom.write("pyproject.toml", '[tool.pmpo]\ntrust_remote_code = true\nmodels = ["evil/model"]\n')
    assert not trusts(custom, "evil/model")


def test_the_head_cannot_choose_the_base_that_is_asked(repo: Repo):
    """``base = "HEAD"`` in the file would make the change its own witness."""
    repo.git("tag", "good")
    repo.git("switch", "-qc", "feature")
    repo.write("pyproject.toml", '[tool.pmpo]\nbase = "HEAD"\n' + TRUSTING)
    repo.commit()
    assert not trusts(repo, "org/custom", base="good")
    project = Project.open(repo.path, {}, Extensions(bare_manager().hook))
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main"}
    assert not Checker(project, environ=environ).models.trusted("org/custom")


def test_a_model_of_the_command_line_is_trusted_where_the_base_trusts(custom: Repo):
    """Whoever types the command is not the pull request."""
    assert trusts(custom, "org/other", models=("org/other",))


def test_code_inside_the_repository_is_never_trusted(repo: Repo, tmp_path_factory: pytest.TempPathFactory):
    """A directory of the repository is the change's own; one outside is the machine's."""
    outside = tmp_path_factory.mktemp("models")
    for spec in ("./models/custom", str(repo.path / "models/custom"), str(outside)):
        repo.write("pyproject.toml", f'[tool.pmpo]\ntrust_remote_code = true\nmodels = ["{spec}"]\n')
        repo.commit()
        assert trusts(repo, spec) == (spec == str(outside))


def test_without_git_nothing_is_trusted(tmp_path: Path):
    """There is no base that could say so."""
    (tmp_path / "pyproject.toml").write_text("[tool.pmpo]\n" + TRUSTING)
    project = Project.open(tmp_path, {}, Extensions(bare_manager().hook))
    assert not Checker(project, environ={}).models.trusted("org/custom")


def test_a_broken_file_in_the_base_is_no_trust(repo: Repo):
    """What cannot be read says nothing."""
    repo.write("pyproject.toml", "[tool.pmpo\n")
    repo.commit()
    repo.write("pyproject.toml", "[tool.pmpo]\n" + TRUSTING)
    assert not trusts(repo, "org/custom")
