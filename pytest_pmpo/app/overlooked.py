"""What has no part in a run although somebody may think so: files among the prompts that are none, settings for
prompts that are not there, tolerances under which nothing fails. Nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pmpo.app.project import Project
from pytest_pmpo.prompts.discovery import why_no_prompt
from pytest_pmpo.prompts.formats.text import is_document
from pytest_pmpo.prompts.load import sidecar_names
from pytest_pmpo.prompts.source import WorkingTree

_SHOWN = 20


def passed_over(project: Project) -> Iterator[str]:
    """One line for each file that lies where prompts do and is none, with the reason; the first of many.

    Raises:
        ConfigError: see ``Project.discovered``.
    """
    files = project.survey.passed_over
    for path in files[:_SHOWN]:
        yield f"passed over {path}: {why_no_prompt(path)}"
    if len(files) > _SHOWN:
        yield f"passed over {len(files) - _SHOWN} files more"


def overlooked(project: Project) -> str | None:
    """A sentence on files that may well be meant as prompts: called like a document, but matched by a glob of the
    settings or with fixtures beside them. None where there are none.

    Raises:
        ConfigError: see ``Project.discovered``.
    """
    documents = [path for path in project.survey.passed_over if is_document(path.rsplit("/", 1)[-1])]
    exists = WorkingTree(project.root).exists
    meant = [path for path in documents if path in project.survey.matched or any(map(exists, sidecar_names(path)))]
    if not meant:
        return None
    more = f" and {len(meant) - 1} more" if len(meant) > 1 else ""
    verb, noun = ("are", "documents") if len(meant) > 1 else ("is", "a document")
    return f"{meant[0]}{more} {verb} passed over, being named like {noun}; rename what is a prompt (see pmpo doctor)"


def doubtful_settings(project: Project) -> tuple[str, ...]:
    """Tolerances that look like percent; overrides and graders for paths at which no prompt is, misspelt or left
    behind by a renamed one.

    Raises:
        ConfigError: see ``Project.discovered``.
    """
    settings = project.config.settings
    loose = tuple(project.config.loose())
    if not settings.override and not settings.graders:
        return loose
    return (*loose, *project.config.idle([project.below_config(path) for path in project.discovered()]))
