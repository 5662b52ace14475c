"""Which files are prompts: a sorted walk that honours ``.gitignore`` and opens no more than 4 KiB of a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_pmpo.errors import ConfigError, FormatError, Location, SourceError
from pytest_pmpo.prompts.formats.base import Format
from pytest_pmpo.prompts.formats.text import is_document
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


@dataclass(frozen=True, slots=True)
class Survey:
    """What a discovery came upon, sorted, as POSIX paths relative to the root.

    Attributes:
        prompts: the prompt files.
        passed_over: files that were looked at, are no prompts, and belong to none by their name.
        matched: those of ``passed_over`` that a glob of the settings matches, so that somebody may have meant them.
    """

    prompts: tuple[str, ...]
    passed_over: tuple[str, ...]
    matched: frozenset[str]


def discover(root: Path, patterns: Sequence[str], formats: Sequence[Format]) -> tuple[str, ...]:
    """The prompt files ``patterns`` name, sorted, each once; see ``survey``."""
    return survey(root, patterns, formats).prompts


def survey(root: Path, patterns: Sequence[str], formats: Sequence[Format]) -> Survey:
    """The prompt files ``patterns`` name, each once, and what lies among them.

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
    passed_over = walk.passed_over - found
    return Survey(tuple(sorted(found)), tuple(sorted(passed_over)), frozenset(walk.matched & passed_over))


def why_no_prompt(path: str) -> str:
    """Why no format claims a file, in words."""
    if is_document(path.rsplit("/", 1)[-1]):
        return "it is named like a document of the repository (README, CHANGELOG, requirements and the like)"
    return "no format claims it"


def claim(path: str, head: bytes, formats: Sequence[Format]) -> Format | None:
    """The first format that claims a file, from its path and first ``HEAD_BYTES``; never a fixture or response file."""
    if is_companion(path):
        return None
    pure = PurePosixPath(path)
    return next((format_ for format_ in formats if format_.sniff(pure, head)), None)


def unclaimed(path: str, formats: Sequence[Format]) -> FormatError:
    """The error for a file somebody named that is no prompt."""
    if is_document(path.rsplit("/", 1)[-1]):
        return FormatError(
            "this is not taken for a prompt: " + why_no_prompt(path),
            location=Location(path),
            hint="rename it, such as to " + repr(f"{PurePosixPath(path).stem}_prompt{PurePosixPath(path).suffix}"),
        )
    if is_companion(path):
        return FormatError(
            "this belongs to a prompt and is none", location=Location(path), hint="name the prompt beside it"
        )
    known = ", ".join(format_.name for format_ in formats) or "none"
    return FormatError("no format claims this file", location=Location(path), hint=f"known formats: {known}")


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
        self.passed_over: set[str] = set()
        self.matched: set[str] = set()

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
            raise ConfigError(f"prompts: {pattern or '.'!r} holds no prompt", hint=self._hint(files))
        others = {path for path in set(files).difference(prompts) if not is_companion(path)}
        self.passed_over |= others
        if has_magic(pattern):
            self.matched |= others
        return prompts

    def _hint(self, files: Sequence[str]) -> str:
        documents = [path for path in files if is_document(path.rsplit("/", 1)[-1])]
        if len(files) == len(documents) == 1:
            return f"{files[0]} is none: {why_no_prompt(files[0])}; rename it if it is one"
        return f"{len(files)} files, none of a known format: {self._known()}" if files else "no file matches"

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
            raise unclaimed(path, self._formats)
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
