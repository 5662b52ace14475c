"""What a run is about to do, before it does it: models, device, dtype, base and its age. Opens and fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.models import where_to_run
from pytest_pmpo.app.overlooked import doubtful_settings, overlooked
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.prompts.source import NoBase
from pytest_pmpo.report.text import visible_characters
from pytest_pmpo.scoring.models import parse_spec


def header_lines(checker: Checker, *, now: datetime | None = None) -> list[str]:
    """One line on models and device, one on the base; one on files that look like prompts and are not taken for any,
    and one on each setting that cannot be meant so.

    Raises:
        ConfigError: see ``Project.discovered``.
    """
    lines = [f"pmpo: {_models(checker)}", f"pmpo: {base_line(checker, now=now)}"]
    project = checker.project
    missed = overlooked(project)
    said = [*([] if missed is None else [missed]), *doubtful_settings(project)]
    return [*lines, *(f"pmpo: {visible_characters(line)}" for line in said)]


def base_line(checker: Checker, *, now: datetime | None = None) -> str:
    """``base 1a2b3c4 (merge base with origin/main), 3 days old``, or why there is none."""
    settings = checker.project.config.settings
    if settings.baseline is not None:
        return f"base: saved baseline {settings.baseline}"
    try:
        base = checker.base
    except PmpoError as error:
        return f"base: unavailable ({error.message})"
    if isinstance(base, NoBase):
        return f"base: none ({base.reason})"
    return f"base: {base.short} ({base.how}), {age(base.age(now))}"


def age(time: timedelta) -> str:
    """``3 days old``; in the largest unit that says something."""
    seconds = time.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // size)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} old"
    return "just made"


def _models(checker: Checker) -> str:
    settings = checker.project.config.settings
    try:
        device, dtype = where_to_run(settings)
    except PmpoError as error:
        return f"models: {error.message}"
    return f"{', '.join(_shown(spec, settings.revision) for spec in _specs(checker))} on {device}, {dtype}"


def _specs(checker: Checker) -> Sequence[str]:
    return checker.project.config.settings.models


def _shown(spec: str, revision: str | None) -> str:
    try:
        parsed = parse_spec(spec)
    except PmpoError:
        return spec
    pinned = parsed.revision or revision or _known_revision(parsed.kind)
    return f"{parsed.name}@{pinned[:12]}" if pinned else parsed.name


def _known_revision(kind: str) -> str | None:
    """The embedded model is pinned by this package; others tell their revision once they are found."""
    if kind != "embedded":
        return None
    from pytest_pmpo.scoring.backends.locate import SMOLLM2_SHA256

    return SMOLLM2_SHA256
