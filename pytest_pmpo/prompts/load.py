"""A prompt file of one version → prompts, with the fixtures of the file and of its sidecar.

The sidecar of ``triage.prompt.yml`` is ``triage.prompt.fixtures.EXT`` or ``triage.fixtures.EXT`` beside it: the file's
name less one or two suffixes, EXT one of yaml, yml, jsonl, json, csv. So the variants ``answer.a.prompt`` and
``answer.b.prompt`` may share ``answer.fixtures.yaml``. One prompt has one sidecar; two are an error. Where a file holds
several prompts, its sidecar is for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import PurePosixPath

from pytest_pmpo.errors import FixtureError, FormatError, Location, PromptError
from pytest_pmpo.prompts.conflict import conflict_line
from pytest_pmpo.prompts.discovery import HEAD_BYTES, claim, unclaimed
from pytest_pmpo.prompts.fixtures import SUFFIXES, check_unique, read_fixtures
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.model import Fixture, PromptSuite
from pytest_pmpo.prompts.source.files import Source

LABEL_KEYS = ParseContext(lambda path: b"").label_keys
"""Keys of in-file test data that hold the answer, where the settings name no others."""

_UNRESOLVED = "the file holds a merge conflict that is not resolved"


def load(
    source: Source, path: str, formats: Sequence[Format], label_keys: Sequence[str] = LABEL_KEYS
) -> tuple[PromptSuite, ...]:
    """Every prompt in a file, each with its fixtures: those in the file, then those of the sidecar, both of ``source``.

    This is for the head, whose fixtures judge both versions. The base is read with ``load_prompts``.

    Raises:
        SourceError: the file, or one it includes, is not there or not inside the repository.
        FormatError: no format claims it, it is not UTF-8, or it does not parse.
        FixtureError: a fixture is wrong, an id is there twice, there are two sidecars, or a prompt has none at all.
    """
    suites = _parse(source, path, formats, label_keys)
    beside = load_fixtures(source, path)
    return tuple(_with_fixtures(suite, beside, source) for suite in suites)


def load_prompts(
    source: Source, path: str, formats: Sequence[Format], label_keys: Sequence[str] = LABEL_KEYS
) -> tuple[PromptSuite, ...]:
    """Every prompt in a file, without its fixtures: for the base, since today's fixtures judge both versions.

    No sidecar is read, and formats are told to pass over the fixtures of the file itself: a change that mends a broken
    label must not fail on the base, where it is still broken.

    Raises:
        SourceError, FormatError: as ``load``.
    """
    suites = _parse(source, path, formats, label_keys, wants_fixtures=False)
    return tuple(replace(suite, fixtures=()) for suite in suites)


def load_fixtures(source: Source, path: str) -> tuple[Fixture, ...]:
    """The fixtures of the sidecar of the prompt file ``path``; none where it has no sidecar.

    Raises:
        FixtureError: with file and line; or there are two sidecars.
    """
    found = sidecar(source, path)
    if found is None:
        return ()
    data = source.read(found)
    try:
        return read_fixtures(found, data)
    except FixtureError:
        if (conflict := _conflict(found, data)) is not None:
            raise FixtureError(_UNRESOLVED, location=conflict) from None
        raise


def sidecar(source: Source, path: str) -> str | None:
    """The path of the sidecar of ``path`` in ``source``, or None.

    Raises:
        FixtureError: there are two.
    """
    there = [candidate for candidate in sidecar_names(path) if source.exists(candidate)]
    if len(there) > 1:
        raise FixtureError(
            f"two sidecar files belong to this prompt: {there[0]} and {there[1]}",
            location=Location(path),
            hint="keep one of them",
        )
    return there[0] if there else None


def sidecar_names(path: str) -> tuple[str, ...]:
    """Every path a sidecar of ``path`` may have, the most particular first."""
    folder, _, name = path.rpartition("/")
    stems = [name.rsplit(".", count)[0] for count in (1, 2)]
    names = [f"{stem}.fixtures.{suffix}" for stem in dict.fromkeys(stems) if stem for suffix in SUFFIXES]
    return tuple(f"{folder}/{name}" if folder else name for name in names)


def _parse(
    source: Source,
    path: str,
    formats: Sequence[Format],
    label_keys: Sequence[str],
    *,
    wants_fixtures: bool = True,
) -> tuple[PromptSuite, ...]:
    data = source.read(path)
    format_ = claim(path, data[:HEAD_BYTES], formats)
    if format_ is None:
        raise unclaimed(path, formats)
    _check_text(path, data)
    context = ParseContext(
        read=source.read, glob=source.glob, label_keys=tuple(label_keys), wants_fixtures=wants_fixtures
    )
    try:
        return format_.parse(path, data, context)
    except PromptError:
        if (conflict := _conflict(path, data)) is not None:
            raise FormatError(_UNRESOLVED, location=conflict) from None
        raise


def _conflict(path: str, data: bytes) -> Location | None:
    """Where a file that cannot be read holds a merge that is not finished: the error to tell of."""
    line = conflict_line(data.decode("utf-8", "replace"))
    return None if line is None else Location(path, line)


def _check_text(path: str, data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise FormatError(
            f"the file is {'UTF-16' if utf16 else 'not UTF-8'}: byte 0x{data[error.start]:02x} at offset {error.start}",
            location=Location(path, data.count(b"\n", 0, error.start) + 1),
            hint="save the file as UTF-8",
        ) from error


def _with_fixtures(suite: PromptSuite, beside: tuple[Fixture, ...], source: Source) -> PromptSuite:
    fixtures = (*suite.fixtures, *beside)
    check_unique(fixtures)
    if not fixtures:
        path = suite.prompt.path
        name = sidecar_names(path)[-len(SUFFIXES)]
        there, misnamed = sidecar(source, path), _misnamed(source, path)
        hint = f"put labelled inputs into {name} beside {PurePosixPath(path).name}"
        if there is not None:
            hint = f"{there} holds none"
        elif misnamed is not None:
            hint = f"is {misnamed} meant to hold them? Then call it {name}"
        notes = f"; {suite.prompt.notes[0].message}" if suite.prompt.notes else ""
        raise FixtureError(
            f"the prompt has no fixtures, so there is nothing to judge it by{notes}",
            location=Location(path),
            hint=hint,
        )
    return replace(suite, fixtures=fixtures)


def _misnamed(source: Source, path: str) -> str | None:
    """A file beside a prompt that looks like its sidecar and is not called as one (``NAME.fixture.yaml``)."""
    folder, _, name = path.rpartition("/")
    pattern = f"{folder}/*" if folder else "*"
    names = {found.rpartition("/")[2].lower(): found for found in source.glob(pattern) if found != path}
    wanted = [sidecar.rpartition("/")[2].lower() for sidecar in sidecar_names(path)]
    stem = name.split(".")[0].lower()
    close = (names[near] for one in wanted for near in get_close_matches(one, names, n=1, cutoff=0.9))
    return next((found for found in close if found.rpartition("/")[2].lower().startswith(stem)), None)
