"""The loss cache: never a wrong loss, whatever happens to the file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_pmpo.scoring.cache import LossCache, digest


def entries(n: int, start: int = 0) -> dict[bytes, tuple[float, ...]]:
    return {digest("k", str(i)): (i + 0.1, -0.5 * i) for i in range(start, start + n)}


def test_losses_come_back_bit_for_bit(tmp_path: Path) -> None:
    stored = entries(1200)
    LossCache(tmp_path).put(stored)
    assert LossCache(tmp_path).get([*stored, digest("absent")]) == stored


def test_a_key_depends_on_where_its_parts_end() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")


@pytest.mark.parametrize("place", range(0, 24, 3))
def test_a_flipped_byte_is_a_miss(tmp_path: Path, place: int) -> None:
    cache = LossCache(tmp_path)
    [(key, _)] = entries(1).items()
    cache.put(entries(1))
    with sqlite3.connect(cache.path) as connection:
        [(value,)] = connection.execute("SELECT value FROM losses").fetchall()
        broken = value[:place] + bytes([value[place] ^ 4]) + value[place + 1 :]
        connection.execute("UPDATE losses SET value = ?", (broken,))
    assert cache.get([key]) == {}


def test_a_value_moved_to_another_key_is_a_miss(tmp_path: Path) -> None:
    cache = LossCache(tmp_path)
    cache.put(entries(1))
    other = digest("other")
    with sqlite3.connect(cache.path) as connection:
        connection.execute("UPDATE losses SET key = ?", (other,))
    assert cache.get([other]) == {}


@pytest.mark.parametrize("junk", [b"", b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_put_aside_and_begun_anew(tmp_path: Path, junk: bytes) -> None:
    cache = LossCache(tmp_path)
    cache.path.write_bytes(junk)
    cache.put(entries(3))
    cache.put(entries(3))
    assert cache.get(list(entries(3))) == entries(3)


def test_an_unwritable_directory_means_no_cache_and_says_why(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    cache = LossCache(file / "sub")
    cache.put(entries(1))
    assert cache.get(list(entries(1))) == {}
    assert cache.trouble is not None


def test_a_file_that_is_deleted_while_it_is_open_is_begun_anew(tmp_path: Path) -> None:
    cache = LossCache(tmp_path)
    cache.put(entries(3))
    for file in tmp_path.iterdir():
        file.unlink()
    assert cache.get(list(entries(3))) == {}
    cache.put(entries(2))
    assert LossCache(tmp_path).get(list(entries(3))) == entries(2)


def test_a_file_spoiled_while_it_is_open_is_put_aside(tmp_path: Path) -> None:
    cache = LossCache(tmp_path)
    cache.put(entries(2000))
    cache.close()
    assert cache.get(list(entries(2000))) == entries(2000)
    size = cache.path.stat().st_size
    cache.path.write_bytes(b"\xff" * size)
    for _ in range(3):
        cache.put(entries(2000))
    assert cache.get(list(entries(2000))) == entries(2000)


def test_threads_may_share_a_cache(tmp_path: Path) -> None:
    cache = LossCache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: cache.put(entries(25, 25 * i)), range(40)))
        found = list(pool.map(lambda i: cache.get(list(entries(25, 25 * i))), range(40)))
    assert found == [entries(25, 25 * i) for i in range(40)]


def test_a_cache_in_a_folder_that_cannot_be_written_is_read_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = LossCache(tmp_path)
    written.put(entries(3))
    written.close()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(os, "access", lambda place, mode: False)  # the superuser may write anywhere
    cache = LossCache(tmp_path)
    assert cache.get(list(entries(4))) == entries(3)
    assert cache.trouble is None
    cache.put(entries(5))
    assert cache.trouble == f"{tmp_path} cannot be written: nothing is added to the cache there"
    assert cache.get(list(entries(5))) == entries(3)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_file_stays_within_its_bound(tmp_path: Path) -> None:
    cache = LossCache(tmp_path, max_bytes=200_000)
    for start in range(0, 20_000, 1000):
        cache.put(entries(1000, start))
    assert cache.path.stat().st_size <= 300_000
    assert cache.size()[0] > 0


def write_many(directory: str, start: int) -> None:
    for i in range(20):
        LossCache(Path(directory)).put(entries(25, start + 25 * i))


def test_eight_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_many, args=(str(tmp_path), 500 * i)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 8
    assert LossCache(tmp_path).get(list(entries(4000))) == entries(4000)


KILLED = """
import sys
from pathlib import Path
from pytest_pmpo.scoring.cache import LossCache, digest
cache = LossCache(Path(sys.argv[1]))
i = 0
while True:
    cache.put({digest("killed", str(i), str(j)): (float(j),) for j in range(50)})
    print(i, flush=True)
    i += 1
"""


def test_kill_in_the_middle_of_writing_loses_at_most_that_batch(tmp_path: Path) -> None:
    LossCache(tmp_path).put(entries(100))
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    done = int(writer.stdout.readline())
    time.sleep(0.3)
    os.kill(writer.pid, signal.SIGKILL)
    done = max([done, *(int(line) for line in writer.stdout.read().split())])
    writer.wait()
    cache = LossCache(tmp_path)
    assert cache.get(list(entries(100))) == entries(100)
    for i in range(done + 1):
        keys = [digest("killed", str(i), str(j)) for j in range(50)]
        assert len(cache.get(keys)) == 50
