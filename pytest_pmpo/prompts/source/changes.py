"""Which files of the working tree differ from a commit, and what each was called there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from pytest_pmpo.errors import SourceError
from pytest_pmpo.prompts.source.base import Base
from pytest_pmpo.prompts.source.command import Git
from pytest_pmpo.prompts.source.files import WorkingTree
from pytest_pmpo.prompts.source.tree import GitTree

SIMILAR = 0.5
"""Share of text two files must have in common to be one file under two names; git's own default."""
_DOORS = ("120000", "160000")
"""Modes of a link and of a submodule."""

_MAX_COMPARED = 400
_MAX_CHARS = 100_000


def changed_paths(root: Path, base: Base) -> Mapping[str, str | None]:
    """Changed files below ``root``: path now → path in ``base``, or None for a file that is new.

    Files that are equal to git (whatever line ends a checkout gives them) are not in it, nor are deleted ones. Renames
    are followed: by git where it tracks the file; where git sees none, as in a prompt of one line that was edited too,
    or in a file not yet added, by the same share of its words. Ignored files that were never added are not in it
    either, as git knows nothing of them.

    Raises:
        SourceError: git fails.
    """
    git = Git(root)
    compared = git.run(
        *("diff", "--name-status", "-z", "-M50%", "--relative", "--no-ext-diff", "--no-textconv"),
        *("--ignore-submodules=all", base.commit, "--"),
    )
    changed: dict[str, str | None] = {}
    gone: list[str] = []
    for status, before, after in _parsed(compared):
        if status == "D":
            gone.append(before)
        else:
            changed[after] = None if status == "A" else before
    added = [path for path, before in changed.items() if before is None]
    untracked = [
        _text(path) for path in git.run("ls-files", "--others", "--exclude-standard", "-z").split(b"\0") if path
    ]
    changed.update(dict.fromkeys(untracked))
    changed.update(_moved(root, base, gone, [*added, *untracked]))
    return changed


def changed_doors(root: Path, base: Base) -> tuple[str, ...]:
    """Tracked submodules and links below ``root`` that differ from ``base``: no list of changes says what lies behind.

    Raises:
        SourceError: git fails.
    """
    git = Git(root)
    listed = git.run(
        *("diff", "--raw", "-z", "--no-renames", "--relative", "--no-ext-diff", "--no-textconv"),
        *("--ignore-submodules=dirty", base.commit, "--"),
    )
    fields = iter(listed.split(b"\0"))
    return tuple(
        _text(path)
        for kinds, path in zip(fields, fields, strict=False)
        if any(mode in _DOORS for mode in kinds.decode("ascii").lstrip(":").split(" ")[:2])
    )


def _parsed(listing: bytes) -> Iterator[tuple[str, str, str]]:
    """Status letter, path before, path after."""
    fields = iter(_text(field) for field in listing.split(b"\0"))
    for status in fields:
        if not status:
            return
        before = next(fields)
        yield status[0], before, next(fields) if status[0] in "RC" else before


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _moved(root: Path, base: Base, gone: list[str], fresh: list[str]) -> dict[str, str]:
    """New files that are a deleted file under a new name, each deleted file used once, the likest first."""
    pairs = [
        (before, after)
        for before in gone
        for after in fresh
        if PurePosixPath(before).suffix == PurePosixPath(after).suffix
    ][:_MAX_COMPARED]
    if not pairs:
        return {}
    now, then = WorkingTree(root), GitTree(root, base.commit)
    likeness = []
    for before, after in pairs:
        try:
            likeness.append((_alike(then.read(before), now.read(after)), before, after))
        except SourceError:
            continue  # a link, a submodule, a pipe: nothing a prompt could have been
    then.close()
    moved: dict[str, str] = {}
    for ratio, before, after in sorted(likeness, key=lambda found: (-found[0], found[1], found[2])):
        if ratio >= SIMILAR and after not in moved and before not in moved.values():
            moved[after] = before
    return moved


def _alike(before: bytes, after: bytes) -> float:
    """Share of equal text, 0 to 1: by words of short files, by lines of long ones."""
    old, new = (data.decode("utf-8", "replace").replace("\r\n", "\n") for data in (before, after))
    if old == new:
        return 1.0
    if len(old) + len(new) > _MAX_CHARS:
        return 0.0
    split = str.split if len(old) + len(new) < _MAX_CHARS // 4 else str.splitlines
    return difflib.SequenceMatcher(None, split(old), split(new), autojunk=False).ratio()
