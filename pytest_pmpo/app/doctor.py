"""What a machine and a project have to offer: versions, models, cache, base; the noise floor on request."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

import pytest_pmpo
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.header import base_line
from pytest_pmpo.app.models import Engine, where_to_run
from pytest_pmpo.app.noise import Noise, NoiseFile, measure
from pytest_pmpo.app.overlooked import doubtful_settings, passed_over
from pytest_pmpo.app.project import Task
from pytest_pmpo.errors import ConfigError, EncodingError, PmpoError, PromptError
from pytest_pmpo.scoring.cache import LossCache
from pytest_pmpo.scoring.scorer import Scorer

LIBRARIES = ("pytest", "torch", "transformers", "tokenizers", "safetensors", "gguf", "pytest-xdist", "GitPython")


def describe(checker: Checker) -> Iterator[str]:
    """One line per fact. Looks for the models, and fetches those that are not here."""
    yield f"pytest-pmpo {pytest_pmpo.__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    project = checker.project
    yield f"root: {project.root}"
    yield f"settings: {project.config.file.shown if project.config.file else 'none; the defaults hold'}"
    yield base_line(checker)
    yield from _prompts(checker)
    yield from _models(checker)
    yield _cache(checker)


def tasks(checker: Checker) -> tuple[list[Task], list[PmpoError]]:
    """What can be judged, and what cannot."""
    found: list[Task] = []
    broken: list[PmpoError] = []
    for path in checker.project.discovered():
        try:
            found += checker.project.tasks(path)
        except PmpoError as error:
            broken.append(error)
    return found, broken


def measure_noise(checker: Checker, limit: int) -> Iterator[tuple[Task, Noise | PmpoError]]:
    """The noise of up to ``limit`` prompts per model, or what is wrong with one; the largest is kept for the gate, by
    metric.

    Raises:
        ConfigError: there is no prompt, or the result cannot be kept.
        ModelError: a model cannot be used.
    """
    found, _ = tasks(checker)
    if not found:
        raise ConfigError("there is no prompt to measure the noise with")
    for model in dict.fromkeys(task.model for task in found):
        chosen = [task for task in found if task.model == model][:limit]
        engine = checker.models.engine(model, chosen[0].settings)
        uncached = _uncached(engine)
        floors: dict[str, float] = {}
        for task in chosen:
            try:
                metric = checker.metric(task)
                noise = measure(uncached, task.suite.prompt, task.suite.fixtures, metric)
            except (PromptError, EncodingError) as error:
                yield task, error
                continue
            floors[metric.info.name] = max(noise.mean, floors.get(metric.info.name, 0.0))
            yield task, noise
        _keep(checker, engine, floors)


def _uncached(engine: Engine) -> Scorer:
    """The same open model, with no memory of what it said."""
    return Scorer(engine.fingerprint.digest, lambda: engine.scorer.backend)


def _keep(checker: Checker, engine: Engine, floors: dict[str, float]) -> None:
    try:
        NoiseFile(checker.models.cache_folder(), engine.fingerprint.digest).keep(floors)
    except OSError as error:
        raise ConfigError(f"the noise floor cannot be kept: {error.strerror or error}") from error


def _prompts(checker: Checker) -> Iterator[str]:
    found, broken = tasks(checker)
    files = len({task.path for task in found})
    yield f"prompts: {files} files, {len(found)} verdicts" + (f", {len(broken)} broken" if broken else "")
    for error in broken:
        yield f"  {error}"
    for line in (*passed_over(checker.project), *doubtful_settings(checker.project)):
        yield f"  {line}"


def _models(checker: Checker) -> Iterator[str]:
    for spec, settings in checker.project.models():
        try:
            engine = checker.models.engine(spec, settings)
        except PmpoError as error:
            yield f"model {spec}: {error}"
            continue
        device, dtype = where_to_run(settings)
        place = "" if engine.model.directory is None else f", {engine.model.directory}"
        yield f"model {engine.model.name}@{engine.model.revision}: {engine.model.origin}{place}, on {device} in {dtype}"


def _cache(checker: Checker) -> str:
    cache = LossCache(checker.models.cache_folder())
    entries, size = cache.size()
    trouble = f" ({cache.trouble})" if cache.trouble else ""
    return f"cache: {cache.path}, {entries:,} losses, {size / 1e6:.1f} MB{trouble}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
