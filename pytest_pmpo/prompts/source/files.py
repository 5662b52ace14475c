"""The protocol of a source, and the working tree as one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

from pytest_pmpo.errors import Location, SourceError
from pytest_pmpo.prompts.globs import fixed_folder, matcher

MAX_BYTES = 32 * 2**20
"""Size of the largest file that is read."""


class Source(Protocol):
    """One version of a repository's files. Paths are relative to its root, with ``/``."""

    label: str
    """What to call the version: ``working tree``, or a commit's short id."""

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            SourceError: it is not there, no regular file, too large, or not inside the repository.
        """
        ...

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Files that match ``pattern`` (see ``globs.py``), sorted. Links are left out."""
        ...

    def exists(self, path: str) -> bool:
        """Whether ``read`` would find a file there; a path that leaves the repository is just not there."""
        ...


def check_inside(path: str) -> str:
    """``path``, if it can only lead to a file below the root.

    Raises:
        SourceError: it is absolute, climbs with ``..``, or reaches into ``.git``.
    """
    parts = path.split("/")
    inside = bool(path) and "\0" not in path and not any(part in ("", ".", "..") for part in parts)
    if os.name == "nt":  # pragma: no cover  # other separators, drives and streams
        inside = inside and not any(sign in path for sign in "\\:")
    if not inside or parts[0].lower() == ".git":
        raise SourceError(f"the path {path!r} does not stay inside the repository", location=Location(path))
    return path


def find_root(start: Path) -> Path | None:
    """The top folder of the git working tree ``start`` is in (worktrees and submodules too), or None. Runs no git."""
    here = start.absolute()
    return next((folder for folder in (here, *here.parents) if git_folder(folder) is not None), None)


def git_folder(top: Path) -> Path | None:
    """Where git keeps the data of the working tree whose top folder is ``top``; None if it is not one."""
    entry = top / ".git"
    try:
        if (entry / "HEAD").is_file():
            return entry
        if entry.is_file():
            kind, _, target = entry.read_text("utf-8", "surrogateescape").partition(":")
            return (top / target.strip()).resolve() if kind == "gitdir" else None
    except OSError:
        return None
    return None


class WorkingTree:
    """The files as they lie on disk. Links are followed as long as they stay inside.

    Args:
        root: what paths are relative to, and what they cannot leave.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._inside = os.path.join(os.path.realpath(root), "")
        self.label = "working tree"

    def read(self, path: str) -> bytes:
        """See ``Source.read``."""
        location = Location(path)
        target = self._target(path)
        try:
            status = os.stat(target)
            if not stat.S_ISREG(status.st_mode):
                raise SourceError("this is not a file", location=location)
            if status.st_size > MAX_BYTES:
                raise SourceError(f"the file is larger than {MAX_BYTES // 2**20} MiB", location=location)
            with open(target, "rb") as file:
                return file.read()
        except OSError as error:
            raise SourceError(f"the file cannot be read: {error.strerror or error}", location=location) from error

    def exists(self, path: str) -> bool:
        """See ``Source.exists``."""
        try:
            # most paths that are asked for are not there: one look instead of one per folder on the way
            return os.path.lexists(self._place(path)) and os.path.isfile(self._target(path))
        except (SourceError, OSError):
            return False

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See ``Source.glob``."""
        match = matcher(pattern)
        folder = fixed_folder(pattern)
        start = self._root / check_inside(folder) if folder else self._root
        levels = None if "**" in pattern.split("/") else pattern.count("/") - folder.count("/") - bool(folder)
        return tuple(sorted(path for path in self._walk(start, folder, levels) if match(path)))

    def _place(self, path: str) -> str:
        return os.path.join(self._root, check_inside(path))

    def _target(self, path: str) -> str:
        """The real place of ``path``."""
        try:
            target = os.path.realpath(self._place(path), strict=True)
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            what = "there is no such file" if missing else f"the path cannot be followed: {error}"
            raise SourceError(what, location=Location(path)) from error
        below = target.removeprefix(self._inside)
        if below == target or below.split(os.sep)[0] == ".git":
            raise SourceError("the path leads out of the repository through a link", location=Location(path))
        return target

    def _walk(self, folder: Path, prefix: str, levels: int | None) -> Iterator[str]:
        """Files below ``folder``, down through ``levels`` of folders (None: all)."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            path = f"{prefix}/{entry.name}" if prefix else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".git" and levels != 0:
                    yield from self._walk(Path(entry.path), path, None if levels is None else levels - 1)
            elif entry.is_file(follow_symlinks=False):
                yield path


class ListedTree(WorkingTree):
    """The working tree as it was when each of its folders was first looked into.

    For a run that asks after many files that are not there: a folder is listed once, instead of one look for each.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._names: dict[str, frozenset[str]] = {}

    def exists(self, path: str) -> bool:
        """See ``Source.exists``."""
        folder, _, name = path.rpartition("/")
        return _folded(name) in self._listed(folder) and super().exists(path)

    def _listed(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            try:
                names = os.listdir(self._place(folder) if folder else self._root)
            except (SourceError, OSError):
                names = []
            self._names[folder] = frozenset(map(_folded, names))
        return self._names[folder]


def _folded(name: str) -> str:
    """A name as file systems that know no case and no forms of letters compare it; others are asked afterwards."""
    return name if name.isascii() and name.islower() else normalize("NFC", name).casefold()
