"""The files of a commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from pytest_pmpo.errors import Location, SourceError
from pytest_pmpo.prompts.globs import matcher
from pytest_pmpo.prompts.source.command import Git, check_ref
from pytest_pmpo.prompts.source.files import MAX_BYTES, check_inside

_FILE, _LINK, _SUBMODULE = "100", "120", "160"


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    id: str


class GitTree:
    """The files of one commit, below the folder ``root`` lies at. Listed once, then read through one git process.

    Args:
        root: a folder of the working tree; paths are relative to it, as in ``WorkingTree``.
        commit: id or name of the commit.

    Raises:
        SourceError: ``commit`` names none, or there is no git.
    """

    def __init__(self, root: Path, commit: str) -> None:
        self._git = Git(root)
        found = self._git.commit(check_ref(commit))
        if found is None:
            raise SourceError(f"there is no commit {commit!r} in this clone")
        self._commit = found
        self.label = found[:10]
        self._entries: dict[str, _Entry] | None = None
        self._process: Any = None
        self._lock = Lock()

    def read(self, path: str) -> bytes:
        """See ``Source.read``. A link is refused: what it leads to may not be in the commit."""
        location = Location(path)
        entry = self._list().get(check_inside(path))
        if entry is None:
            raise SourceError(f"there is no such file in {self.label}", location=location)
        if not entry.mode.startswith(_FILE):
            kind = "a link" if entry.mode.startswith(_LINK) else "a submodule"
            raise SourceError(f"in {self.label} this is {kind}, not a file", location=location)
        with self._lock:
            return self._object(entry.id, location)

    def exists(self, path: str) -> bool:
        """See ``Source.exists``."""
        entry = self._list().get(path)
        return entry is not None and entry.mode.startswith(_FILE)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See ``Source.glob``."""
        match = matcher(pattern)
        entries = self._list()
        return tuple(sorted(path for path, entry in entries.items() if entry.mode.startswith(_FILE) and match(path)))

    def close(self) -> None:
        """End the git process. Reading again starts a new one."""
        self._process = None

    def _list(self) -> dict[str, _Entry]:
        with self._lock:
            if self._entries is None:
                listing = self._git.run("ls-tree", "-r", "-z", self._commit)
                self._entries = dict(_parsed(line) for line in listing.split(b"\0") if line)
            return self._entries

    def _object(self, name: str, location: Location) -> bytes:
        if self._process is None:
            self._process = self._git.start("cat-file", "--batch")
        pipe = self._process
        pipe.stdin.write(name.encode() + b"\n")
        pipe.stdin.flush()
        header = pipe.stdout.readline().split()  # "<id> <type> <size>", or "<id> missing"
        if len(header) != 3:
            self.close()
            raise SourceError(
                "git cannot read the file's contents in this clone",
                location=location,
                hint="git fetch --refetch origin",
            )
        size = int(header[2])
        if size > MAX_BYTES:
            self.close()
            raise SourceError(f"the file is larger than {MAX_BYTES // 2**20} MiB in {self.label}", location=location)
        data: bytes = pipe.stdout.read(size + 1)  # a line feed ends every answer
        return data[:-1]


def _parsed(line: bytes) -> tuple[str, _Entry]:
    head, _, path = line.partition(b"\t")
    mode, _, name = head.decode("ascii").split(" ")
    return path.decode("utf-8", "surrogateescape"), _Entry(mode, name)
