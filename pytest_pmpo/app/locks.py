"""One process at a time, on every platform and without a package: sqlite's file lock, gone when its process is."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

WAIT_SECONDS = 3600.0


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
        connection = sqlite3.connect(place, timeout=seconds, isolation_level=None)
    except (OSError, sqlite3.Error):
        yield
        return
    with closing(connection):
        # a file system without locks, or a process that never ends: better a second draw than no verdict
        with suppress(sqlite3.Error):
            connection.execute("BEGIN EXCLUSIVE")
        yield
