"""The files of a commit."""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from threading import Lock

from pytest_pmpo.errors import Location, SourceError
from pytest_pmpo.prompts.globs import matcher
from pytest_pmpo.prompts.source.command import Git, check_ref
from pytest_pmpo.prompts.source.files import MAX_BYTES, check_inside

_FILE, _LINK, _SUBMODULE = "100", "120", "160"
_WHOLE_ID = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


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
        # a whole id needs no looking up: listing its files tells whether it is there
        found = commit if _WHOLE_ID.match(commit) else self._git.commit(check_ref(commit))
        status, listing, _ = (1, b"", "") if found is None else self._git.try_run("ls-tree", "-r", "-z", found)
        if found is None or status:
            raise SourceError(f"there is no commit {commit!r} in this clone")
        self.label = found[:10]
        self._entries = dict(_parsed(line) for line in listing.split(b"\0") if line)
        self._process: Popen[bytes] | None = None
        self._lock = Lock()

    def read(self, path: str) -> bytes:
        """See ``Source.read``. A link is refused: what it leads to may not be in the commit."""
        location = Location(path)
        entry = self._entries.get(check_inside(path))
        if entry is None:
            raise SourceError(f"there is no such file in {self.label}", location=location)
        if not entry.mode.startswith(_FILE):
            kind = "a link" if entry.mode.startswith(_LINK) else "a submodule"
            raise SourceError(f"in {self.label} this is {kind}, not a file", location=location)
        with self._lock:
            return self._object(entry.id, location)

    def exists(self, path: str) -> bool:
        """See ``Source.exists``."""
        entry = self._entries.get(path)
        return entry is not None and entry.mode.startswith(_FILE)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See ``Source.glob``."""
        match = matcher(pattern)
        return tuple(sorted(path for path in self._entries if self.exists(path) and match(path)))

    def close(self) -> None:
        """End the git process. Reading again starts a new one."""
        if self._process is not None:
            self._end()
            self._process = None

    def _object(self, name: str, location: Location) -> bytes:
        if self._process is None:
            self._process = self._git.start("cat-file", "--batch")
            self._end = weakref.finalize(self, _end, self._process)
        pipe = self._process
        assert pipe.stdin is not None
        assert pipe.stdout is not None
        try:
            pipe.stdin.write(name.encode() + b"\n")
            pipe.stdin.flush()
        except OSError as error:  # git has ended
            raise self._unreadable(location) from error
        header = pipe.stdout.readline().split()  # "<id> <type> <size>", or "<id> missing"
        if len(header) != 3:
            raise self._unreadable(location)
        size = int(header[2])
        if size > MAX_BYTES:
            self.close()
            raise SourceError(f"the file is larger than {MAX_BYTES // 2**20} MiB in {self.label}", location=location)
        data = pipe.stdout.read(size + 1)  # a line feed ends every answer
        if len(data) != size + 1:
            raise self._unreadable(location)
        return data[:-1]

    def _unreadable(self, location: Location) -> SourceError:
        self.close()
        return SourceError(
            "git cannot read the file's contents in this clone", location=location, hint="git fetch --refetch origin"
        )


def _parsed(line: bytes) -> tuple[str, _Entry]:
    head, _, path = line.partition(b"\t")
    mode, _, name = head.decode("ascii").split(" ")
    return path.decode("utf-8", "surrogateescape"), _Entry(mode, name)


def _end(process: Popen[bytes]) -> None:
    process.kill()
    process.communicate()
