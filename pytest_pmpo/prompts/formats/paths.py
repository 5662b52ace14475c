"""Paths that a prompt file names: relative to its directory, and never out of it or out of the repository."""

from __future__ import annotations

from pathlib import PurePosixPath

from pytest_pmpo.errors import Location, SourceError


def resolve(path: str, reference: str) -> str | None:
    """``reference`` from the file at ``path``, relative to the repository root; None where it leads out of that.

    Symlinks are the source's to follow or refuse; this only settles ``..``, absolute paths and drive letters.
    """
    if not reference or "\0" in reference or "\\" in reference or reference.startswith(("/", "~")) or ":" in reference:
        return None
    parts = list(PurePosixPath(path).parent.parts)
    for part in PurePosixPath(reference).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts) if parts else None


def inside(path: str, reference: str) -> str | None:
    """As ``resolve``, and the target must lie in the directory tree of the file at ``path``."""
    target = resolve(path, reference)
    root = PurePosixPath(path).parent
    return target if target is not None and PurePosixPath(target).is_relative_to(root) else None


def reads_nothing(path: str) -> bytes:
    """A ``ParseContext.read`` for a file that stands alone.

    Raises:
        SourceError: always.
    """
    raise SourceError("no other file can be read here", location=Location(path))
