"""One process at a time, on every platform and without a package: sqlite's file lock, gone when its process is."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

WAIT_SECONDS = 3600.0
_TRY_SECONDS = 0.5
"""For one try: while sqlite waits, Python hears no Ctrl-C."""


@contextmanager
def exclusive(folder: Path, name: str, *, seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock of that name; where ``folder`` cannot be written the block runs without one.

    Args:
        folder: where locks are kept; shared by the processes that know each other.
        name: of any length.
        seconds: to wait for another process; after that the block runs unlocked.
    """
    place = folder / "locks" / f"{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.sqlite"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(place, timeout=min(seconds, _TRY_SECONDS), isolation_level=None)
    except (OSError, sqlite3.Error):
        yield
        return
    with closing(connection):
        _acquire(connection, time.monotonic() + seconds)
        yield


def _acquire(connection: sqlite3.Connection, until: float) -> None:
    """Wait for the lock. A file system without locks, or a process that never ends: better a second draw than no
    verdict."""
    while True:
        try:
            connection.execute("BEGIN EXCLUSIVE")
            return
        except sqlite3.Error as error:
            busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= until:
                return
