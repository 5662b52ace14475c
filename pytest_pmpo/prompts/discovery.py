"""Which files are prompts: a sorted walk that honours ``.gitignore`` and opens no more than 4 KiB of a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pytest_pmpo.errors import ConfigError, FormatError, Location, SourceError
from pytest_pmpo.prompts.formats.base import Format
from pytest_pmpo.prompts.globs import fixed_folder, has_magic, matcher
from pytest_pmpo.prompts.ignore import Ignore
from pytest_pmpo.prompts.source.files import check_inside

HEAD_BYTES = 4096
"""What a format is shown of a file to claim it."""

_SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox"}
    | {".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".eggs"}
)
_BESIDE_PROMPTS = re.compile(r".+\.fixtures\.(yaml|yml|jsonl|json|csv)\Z|.+\.responses\.jsonl\Z")


def discover(root: Path, patterns: Sequence[str], formats: Sequence[Format]) -> tuple[str, ...]:
    """The prompt files ``patterns`` name, sorted, each once, as POSIX paths relative to ``root``.

    Args:
        root: the repository root; nothing outside is looked at.
        patterns: files, folders or globs (``**`` for any folders), relative to ``root``. A folder stands for all
            prompts below it. In folders and globs, what ``.gitignore`` files exclude, folders of tools (``.venv``,
            ``node_modules``), links and files no format claims are passed over. A file named by its path is taken even
            if git ignores it; a named link is taken for what it leads to.
        formats: in the order in which they may claim a file.

    Raises:
        ConfigError: a pattern leaves the repository, matches nothing, or matches no prompt.
        FormatError: a file named by its path is claimed by no format.
        SourceError: a file's name is not Unicode, or a file cannot be opened.
    """
    walk = _Walk(root.absolute(), formats)
    found: set[str] = set()
    for pattern in patterns:
        found.update(walk.prompts(_normal(pattern)))
    return tuple(sorted(found))


def claim(path: str, head: bytes, formats: Sequence[Format]) -> Format | None:
    """The first format that claims a file, from its path and first ``HEAD_BYTES``; never a fixture or response file."""
    if is_companion(path):
        return None
    pure = PurePosixPath(path)
    return next((format_ for format_ in formats if format_.sniff(pure, head)), None)


def is_companion(path: str) -> bool:
    """Whether a file belongs to a prompt (``NAME.fixtures.yaml``, ``NAME.responses.jsonl``) and is none itself."""
    return _BESIDE_PROMPTS.match(path.rsplit("/", 1)[-1].lower()) is not None


def _normal(pattern: str) -> str:
    """``./prompts/`` → ``prompts``; the root itself → ``""``."""
    parts = [part for part in pattern.replace(os.sep, "/").split("/") if part not in ("", ".")]
    if pattern.startswith(("/", "~")) or ".." in parts or (parts and parts[0].endswith(":")):
        raise ConfigError(
            f"prompts: {pattern!r} leaves the repository",
            hint="give paths relative to the repository root, without '..'",
        )
    return "/".join(parts)


class _Walk:
    """One discovery in one repository."""

    def __init__(self, root: Path, formats: Sequence[Format]) -> None:
        self._root, self._formats = root, formats
        self._ignore = Ignore(root)

    def prompts(self, pattern: str) -> list[str]:
        """Prompt files of one pattern."""
        place = self._root / pattern
        if place.is_file():
            return [self._named(self._real(pattern))]
        if place.is_dir():
            files = list(self._files(self._real(pattern)))
        elif has_magic(pattern) and (self._root / fixed_folder(pattern)).is_dir():
            files = list(self._matching(pattern))
        else:
            raise ConfigError(f"prompts: there is no {pattern!r}", hint=f"looked in {self._root}")
        prompts = [path for path in files if self._claimed(path)]
        if not prompts:
            raise ConfigError(
                f"prompts: {pattern or '.'!r} holds no prompt",
                hint=f"{len(files)} files, none of a known format: {self._known()}" if files else "no file matches",
            )
        return prompts

    def _real(self, path: str) -> str:
        """``path`` with links replaced by what they lead to, so that it is the same path in a commit."""
        root = self._root.resolve()
        target = (root / path).resolve()
        if not target.is_relative_to(root):
            raise ConfigError(f"prompts: {path!r} leaves the repository through a link")
        relative = target.relative_to(root).as_posix()
        return "" if relative == "." else check_inside(relative)

    def _named(self, path: str) -> str:
        if not self._claimed(path):
            raise FormatError(
                "no format claims this file", location=Location(path), hint=f"known formats: {self._known()}"
            )
        return path

    def _matching(self, pattern: str) -> Iterator[str]:
        """Files that match a glob themselves, or lie below a folder that does."""
        match, named = matcher(pattern), fixed_folder(pattern)
        folder = self._real(named)
        for path in self._files(folder):
            below = path[len(folder) :].removeprefix("/")
            parts = (f"{named}/{below}" if named else below).split("/")
            if any(match("/".join(parts[:length])) for length in range(len(parts), 0, -1)):
                yield path

    def _files(self, folder: str) -> Iterator[str]:
        """Files below ``folder`` that git does not ignore, links left out."""
        try:
            entries = sorted(os.scandir(self._root / folder), key=lambda entry: entry.name)
        except OSError as error:
            raise SourceError(
                f"the folder cannot be read: {error.strerror}", location=Location(folder or ".")
            ) from error
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED_FOLDERS and not self._ignore.ignores(path, is_folder=True):
                    yield from self._files(path)
            elif entry.is_file(follow_symlinks=False) and not self._ignore.ignores(path, is_folder=False):
                yield path

    def _claimed(self, path: str) -> bool:
        if is_companion(path):
            return False
        try:
            with (self._root / path).open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            raise SourceError(f"the file cannot be read: {error.strerror}", location=Location(path)) from error
        if claim(path, head, self._formats) is None:
            return False
        try:
            path.encode("utf-8")
        except UnicodeEncodeError as error:
            raise SourceError(f"the file name {path!r} is not Unicode", hint="rename the file") from error
        return True

    def _known(self) -> str:
        return ", ".join(format_.name for format_ in self._formats) or "none"
