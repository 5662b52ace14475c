"""The journal gives back what was written, whatever happened to the process or the disk in between."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.errors import OptimizeError
from pytest_pmpo.optimize.budget import Spent
from pytest_pmpo.optimize.state import Journal, packed, request_digest, unpacked
from pytest_pmpo.scoring.records import TargetScore

SCORES = {
    "f1": {"a": TargetScore((0.1, 1 / 3), 4)},
    "f2": {"a": TargetScore((2.0,), 1), "b": TargetScore((3.5e-9,), 2)},
}


def write_two(path: Path) -> None:
    journal = Journal(path)
    journal.record_score("digest", SCORES, Spent(forward_tokens=10, seconds=1.5))
    journal.record_answers("question", (("Answer ü\n", 3, True),), Spent(forward_tokens=10, generated_tokens=3))
    journal.close()


def test_scores_answers_and_books_come_back_exactly(tmp_path: Path) -> None:
    write_two(tmp_path / "j.jsonl")
    journal = Journal(tmp_path / "j.jsonl")
    assert journal.scores == {("digest", fixture): scores for fixture, scores in SCORES.items()}
    assert journal.answers == {"question": (("Answer ü\n", 3, True),)}
    assert journal.spent == Spent(forward_tokens=10, generated_tokens=3)
    assert journal.resumed
    journal.close()


def test_a_text_that_is_added_later_joins_those_that_are_known(tmp_path: Path) -> None:
    write_two(tmp_path / "j.jsonl")
    journal = Journal(tmp_path / "j.jsonl")
    journal.record_score("digest", {"f1": {"later": TargetScore((9.0,), 1)}}, Spent())
    journal.record_drawn("batch", Spent(top_up_tokens=5, generated_tokens=5))
    journal.close()
    again = Journal(tmp_path / "j.jsonl")
    assert again.scores["digest", "f1"] == {**SCORES["f1"], "later": TargetScore((9.0,), 1)}
    assert (again.drawn, again.spent.top_up_tokens) == ({"batch"}, 5)
    again.close()


def test_every_line_is_json(tmp_path: Path) -> None:
    write_two(tmp_path / "j.jsonl")
    kinds = [json.loads(line)["entry"]["kind"] for line in (tmp_path / "j.jsonl").read_text().splitlines()]
    assert kinds == ["score", "answers"]


def test_the_file_is_opened_without_translating_line_ends(tmp_path: Path) -> None:
    """Windows would write two bytes for each line end and count one when reading, and cut a torn line elsewhere."""
    script = """
import os, pathlib, sys
given = []
plain = os.open
os.O_BINARY = 0x8000
os.open = lambda path, flags, *more: given.append(flags) or plain(path, flags & ~0x8000, *more)
from pytest_pmpo.optimize.state import Journal
Journal(pathlib.Path(sys.argv[1])).close()
print(given[-1] & 0x8000 == 0x8000)
"""
    told = subprocess.run([sys.executable, "-c", script, str(tmp_path / "j.jsonl")], capture_output=True, text=True)
    assert told.stdout == "True\n", told.stderr


@pytest.mark.parametrize("kept", range(0, 400, 23))
def test_a_file_cut_anywhere_gives_back_its_whole_lines_and_goes_on(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "j.jsonl"
    write_two(path)
    data = path.read_bytes()[:kept]
    path.write_bytes(data)
    journal = Journal(path)
    assert len(journal.scores) == (2 if data.count(b"\n") >= 1 else 0)
    journal.record_score("other", SCORES, Spent())
    journal.close()
    again = Journal(path)
    assert ("other", "f1") in again.scores
    assert again.damaged == 0
    again.close()


def test_a_flipped_byte_loses_its_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    write_two(path)
    data = bytearray(path.read_bytes())
    data[data.index(b'"f1"') + 2] ^= 1
    path.write_bytes(data)
    journal = Journal(path)
    assert (journal.scores, journal.damaged) == ({}, 1)
    assert journal.answers
    journal.close()


def test_every_entry_is_synced_to_the_disk(tmp_path: Path) -> None:
    synced: list[int] = []
    journal = Journal(tmp_path / "j.jsonl", sync=synced.append)
    journal.record_score("digest", SCORES, Spent())
    journal.record_round(1, {"best": "digest"}, Spent(rounds=1))
    assert len(synced) == 2
    journal.close()


def test_two_processes_cannot_run_the_same_request(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    with pytest.raises(OptimizeError, match="another process is running this optimization"):
        Journal(tmp_path / "j.jsonl")
    journal.close()
    Journal(tmp_path / "j.jsonl").close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pytest_pmpo.errors import OptimizeError
from pytest_pmpo.optimize.budget import Spent
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.scoring.records import TargetScore

path = Path(sys.argv[1])
journal = Journal(path)
journal.record_score("first", {"f": {"a": TargetScore((0.5,), 1)}}, Spent())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, resource.RLIM_INFINITY))
try:
    journal.record_score("second", {"f": {"a": TargetScore((0.5,) * 100, 1)}}, Spent())
except OptimizeError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_full_disk_says_so_and_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert "make room and give the same command again" in done.stdout
    assert path.read_bytes().endswith(b"\n")
    journal = Journal(path)
    assert [prompt for prompt, _ in journal.scores] == ["first"]
    assert journal.damaged == 0
    journal.close()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptimizeError, match="cannot be opened"):
        Journal(tmp_path / "file" / "j.jsonl")


@given(st.lists(st.one_of(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False)), max_size=20))
def test_packed_numbers_come_back_to_the_last_bit(values: list[float]) -> None:
    assert list(map(repr, unpacked(packed(values)))) == list(map(repr, values))


def test_a_models_losses_take_four_bytes_each() -> None:
    assert len(packed([0.5, 2.25, 1e-3])) > len(packed([0.5, 2.25, 1.0]))
    assert packed([1.0] * 300)[0] == "f"


@pytest.mark.parametrize("text", ["", "x", "fAAAA!", "fAAA=", "dAAAAAA=="])
def test_what_is_no_packed_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(text)


def test_digests_tell_lists_of_parts_apart() -> None:
    assert request_digest(("ab", "c")) != request_digest(("a", "bc"))
    assert request_digest(("a", 1)) == request_digest(("a", 1))
