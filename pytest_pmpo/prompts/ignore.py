"""What the ``.gitignore`` files of a repository exclude.

Only those files count, so that everyone who has the same commit discovers the same prompts: ``.git/info/exclude`` and a
user's own ``core.excludesFile`` are on one machine only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pmpo.prompts.source.files import find_root

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_MAX_BYTES = 2**20


class Ignore:
    """Tests paths against the ``.gitignore`` files from the top of the git working tree down.

    Args:
        root: what paths are relative to; folders above it, up to the top of the working tree, have a say too.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        top = find_root(root)
        above = root.relative_to(top).parts if top is not None and root.is_relative_to(top) else ()
        self._above = "/".join(above)
        self._top = root if top is None or not root.is_relative_to(top) else top
        self._specs: dict[str, GitIgnoreSpec | None] = {}

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether the file or folder itself is excluded. The caller does not descend into excluded folders, as git does
        not: nothing below one can be included again."""
        whole = f"{self._above}/{path}" if self._above else path
        parts = whole.split("/")
        for depth in range(len(parts) - 1, -1, -1):  # the innermost file that says anything decides
            spec = self._spec("/".join(parts[:depth]))
            if spec is None:
                continue
            verdict = spec.check_file("/".join(parts[depth:]) + ("/" if is_folder else "")).include
            if verdict is not None:
                return verdict
        return False

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._specs:
            self._specs[folder] = self._read(self._top / folder / ".gitignore")
        return self._specs[folder]

    def _read(self, file: Path) -> GitIgnoreSpec | None:
        try:
            if file.is_symlink() or not file.is_file() or file.stat().st_size > _MAX_BYTES:
                return None  # git reads no .gitignore that is a link either
            text = file.read_text("utf-8-sig", "surrogateescape")
        except OSError:
            return None
        from pathspec import GitIgnoreSpec

        lines = []
        for line in text.split("\n"):
            try:
                GitIgnoreSpec.from_lines([line])
            except (ValueError, re.error):  # git passes over a line that is no pattern
                continue
            lines.append(line)
        return GitIgnoreSpec.from_lines(lines)
