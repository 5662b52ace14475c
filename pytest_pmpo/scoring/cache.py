"""Token losses on disk, so that nothing is computed twice between runs; and the texts of tokens that reports show.

One sqlite file in WAL mode, shared by every process. Keys are sha256 digests over everything the losses depend on (see
``scorer.py``), so an entry never has to be invalidated. A value carries a checksum over itself and its key: a flipped
byte is a miss, never a wrong loss. A batch of entries is one transaction: a process killed in the middle of it loses
that batch and nothing else. A file sqlite cannot read is put aside and begun anew; where the disk refuses (full,
no folder), scoring goes on without a cache and the reason is kept in ``trouble``; a cache in a folder that cannot be
written, such as one baked into an image, is read all the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import time
import weakref
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

Key = bytes
Losses = tuple[float, ...]

SCHEMA = 1
DEFAULT_MAX_BYTES = 1 << 30
_CHECKSUM_BYTES = 8
_DAY = 86_400
_LOOKUP = 500  # keys per query; sqlite allows at least 999 variables
_SHARED: Mapping[str, Any] = {"timeout": 30.0, "check_same_thread": False}

_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    used INTEGER NOT NULL
) WITHOUT ROWID
"""
_LOSSES, _TEXTS = "losses", "texts"


class LossCache:
    """Losses by key, in ``directory/losses-v<schema>.sqlite``, opened at the first use and kept open.

    Args:
        directory: made when missing.
        max_bytes: least recently used entries beyond this size are dropped after a write; use is noted to the day.
    """

    def __init__(self, directory: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.path = directory / f"losses-v{SCHEMA}.sqlite"
        self.max_bytes = max_bytes
        self.trouble: str | None = None
        self._connection: sqlite3.Connection | None = None
        self._read_only = False
        self._lock = Lock()  # one thread at a time

    def get(self, keys: Sequence[Key]) -> dict[Key, Losses]:
        """The losses of those keys that are stored and sound."""
        return {key: _losses(payload) for key, payload in self._get(_LOSSES, keys).items()}

    def put(self, entries: Mapping[Key, Losses]) -> None:
        """Store losses, all of them or none."""
        self._put(_LOSSES, {key: _payload(losses) for key, losses in entries.items()})

    def get_texts(self, keys: Sequence[Key]) -> dict[Key, tuple[str, ...]]:
        """What the tokens say whose losses have those keys, where that is stored and sound."""
        return {key: tuple(json.loads(payload)) for key, payload in self._get(_TEXTS, keys).items()}

    def put_texts(self, entries: Mapping[Key, tuple[str, ...]]) -> None:
        """Store what tokens say, all of it or nothing."""
        self._put(_TEXTS, {key: json.dumps(texts).encode() for key, texts in entries.items()})

    def _get(self, table: str, keys: Sequence[Key]) -> dict[Key, bytes]:
        found: dict[Key, bytes] = {}
        stale: list[Key] = []
        today = int(time.time()) // _DAY
        with self._opened() as connection:
            if connection is None:
                return {}
            for start in range(0, len(keys), _LOOKUP):
                part = keys[start : start + _LOOKUP]
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT key, value, used FROM {table} WHERE key IN ({marks})", part)
                for key, value, used in rows:
                    payload = _unpack(key, value)
                    if payload is not None:
                        found[key] = payload
                        if used < today:
                            stale.append(key)
            if stale and not self._read_only:
                with connection:
                    used_today = [(today, key) for key in stale]
                    connection.executemany(f"UPDATE {table} SET used = ? WHERE key = ?", used_today)
        return found

    def _put(self, table: str, entries: Mapping[Key, bytes]) -> None:
        if not entries:
            return
        today = int(time.time()) // _DAY
        rows = [(key, _checksum(key, payload) + payload, today) for key, payload in entries.items()]
        with self._opened() as connection:
            if connection is None:
                return
            if self._read_only:
                self.trouble = f"{self.path.parent} cannot be written: nothing is added to the cache there"
                return
            with connection:
                connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", rows)
            self._trim(connection)

    def size(self) -> tuple[int, int]:
        """Entries and bytes of values."""
        with self._opened() as connection:
            if connection is None:
                return 0, 0
            count, size = connection.execute("SELECT COUNT(*), TOTAL(LENGTH(value)) FROM losses").fetchone()
            return int(count), int(size)
        return 0, 0

    def _trim(self, connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        if pages * page_size <= self.max_bytes:
            return
        with connection:
            # a quarter at a time, so that a full cache is not trimmed at every write
            for table in (_LOSSES, _TEXTS):
                connection.execute(
                    f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} ORDER BY used LIMIT"
                    f" (SELECT MAX(1, COUNT(*) / 4) FROM {table}))"
                )
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # only then does the file itself shrink

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._connection is not None:
            self._connection = None
            self._end()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """A connection, or None where the cache cannot be used; errors during use end the same way."""
        with self._lock:
            try:
                connection = self._open()
            except (OSError, sqlite3.Error) as error:
                self.trouble = f"no cache: {error}"
                yield None
                return
            try:
                yield connection
            except sqlite3.DatabaseError as error:
                self.trouble = f"cache at {self.path}: {error}"
                self.close()
                if _is_corrupt(error):
                    self._put_aside()

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self.path.exists():
            return self._connection
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._read_only = self.path.exists() and not os.access(self.path.parent, os.W_OK)
        if self._read_only:
            return self._keep(
                sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, **_SHARED)
            )
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise
            self._put_aside()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, **_SHARED)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # safe in WAL, and quick
            for table in (_LOSSES, _TEXTS):
                connection.execute(_CREATE.format(table=table))
        except sqlite3.Error:
            connection.close()
            raise
        return self._keep(connection)

    def _keep(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        self._connection = connection
        self._end = weakref.finalize(self, connection.close)
        return connection

    def _put_aside(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            broken = self.path.with_name(self.path.name + suffix)
            with suppress(FileNotFoundError):  # another process may have been quicker
                broken.replace(broken.with_name(broken.name + ".corrupt"))


def digest(*parts: str) -> Key:
    """sha256 over the parts, each with its length, so that no two lists of parts share a key."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.digest()


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _checksum(key: Key, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_CHECKSUM_BYTES, key=key).digest()


def _unpack(key: Key, value: object) -> bytes | None:
    """The payload, or None where it is not what was stored under the key."""
    if not isinstance(value, bytes) or len(value) < _CHECKSUM_BYTES:
        return None
    checksum, payload = value[:_CHECKSUM_BYTES], value[_CHECKSUM_BYTES:]
    return payload if checksum == _checksum(key, payload) else None


def _payload(losses: Losses) -> bytes:
    values = array("d", losses)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _losses(payload: bytes) -> Losses:
    values = array("d")
    values.frombytes(payload)
    if sys.byteorder == "big":
        values.byteswap()
    return tuple(values)
