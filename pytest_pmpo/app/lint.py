"""Lint over a project: every prompt file read, compared with its base where there is one, no model touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.project import Task
from pytest_pmpo.app.reference import NoReference, Reference
from pytest_pmpo.errors import Location, PmpoError
from pytest_pmpo.prompts.lint import Finding, LintOptions, lint
from pytest_pmpo.prompts.model import PromptSuite


def lint_files(checker: Checker, paths: Iterable[str], options: LintOptions) -> Iterator[Finding]:
    """What the rules find in each file, and what keeps a file from being read; in the order of ``paths``.

    Without a base in this clone the rules about changes are left out, and a note says so.
    """
    for finding in _found(checker, paths, options):
        if finding.rule not in options.ignore:
            yield finding


def _found(checker: Checker, paths: Iterable[str], options: LintOptions) -> Iterator[Finding]:
    reference: Reference
    try:
        reference = checker.reference
    except PmpoError as error:
        yield Finding("base", "note", f"not compared with the base: {error.message}")
        reference = NoReference(error.message)
    for path in paths:
        try:
            tasks = checker.project.tasks(path)
        except PmpoError as error:
            yield Finding("unreadable", "error", _message(error), error.location or Location(path))
            continue
        prompts = {task.variant: task for task in tasks}.values()
        # what is wrong with a file of several prompts, such as its fixtures, is found with each of them
        yield from dict.fromkeys(
            found for task in prompts for found in lint(task.suite, _base(reference, task), options)
        )


def _base(reference: Reference, task: Task) -> PromptSuite | None:
    prompt = reference.version(task).prompt
    return None if prompt is None else PromptSuite(prompt, ())


def _message(error: PmpoError) -> str:
    return error.message if error.hint is None else f"{error.message} ({error.hint})"
