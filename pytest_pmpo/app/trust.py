"""Whether code that comes with a model may run: only if the base commit says so, never the change under test.

A pull request can edit the configuration, so ``trust_remote_code`` is read from the base's, and covers only the models
the base's configuration names (or the command line, which the pull request's files do not write). Code inside the
repository is the pull request's own and never trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_pmpo.app.project import Project
from pytest_pmpo.config import read_table
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.prompts.source import Base, GitTree
from pytest_pmpo.scoring.models import parse_spec


def trusted_models(project: Project, find_base: Callable[[], Base | None]) -> Callable[[str], bool]:
    """A test for a model's name.

    Args:
        find_base: the base commit as command line and environment give it, whatever the head's configuration says.
    """
    config = project.config
    if not config.settings.trust_remote_code:
        return lambda spec: False
    table = table_of_base(project, find_base())
    if table.get("trust_remote_code") is not True:
        return lambda spec: False
    named = {*_models(table), *config.given.get("models", ())}
    return lambda spec: spec in named and not _inside(project, spec)


def table_of_base(project: Project, base: Base | None) -> Mapping[str, Any]:
    """The settings as the base commit's configuration file has them; empty where there is none, or it is broken."""
    file = project.config.file
    if file is None or base is None:
        return {}
    path = project.relative(file.path)
    try:
        return read_table(GitTree(project.root, base.commit).read(path), path) or {}
    except PmpoError:
        return {}


def _models(table: Mapping[str, Any]) -> list[str]:
    tables = [table, *(entry for entry in table.get("override", ()) if isinstance(entry, dict))]
    named: list[str] = []
    for entry in tables:
        value = entry.get("models", entry.get("model", []))
        named += [value] if isinstance(value, str) else value
    return named


def _inside(project: Project, spec: str) -> bool:
    if parse_spec(spec).kind != "directory":
        return False
    place = (project.config.folder / Path(spec).expanduser()).resolve()
    return place.is_relative_to(project.root.resolve())
