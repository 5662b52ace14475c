"""The bank file: read with a place for every complaint, written so that a kill loses at most the line being written.

One JSON object per line, beside the fixtures: proposals (prompts that responses were drawn from) and responses. Lines
are only ever added; a batch is one write and one fsync. What a killed writer left of a last line is passed over with a
note when reading, and cut off before the next line is added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_pmpo.errors import BankError, Location
from pytest_pmpo.prompts.model import Note
from pytest_pmpo.responses.lines import parse_line, proposal_line, response_line
from pytest_pmpo.responses.records import Bank, Proposal, Response

SUFFIX = ".responses.jsonl"


def bank_names(path: str) -> tuple[str, ...]:
    """Every path the bank of a prompt file may have, the most particular first: as a fixture sidecar's.

    ``triage.prompt.yml`` → ``triage.prompt.responses.jsonl``, ``triage.responses.jsonl``.
    """
    folder, _, name = path.rpartition("/")
    stems = [name.rsplit(".", count)[0] for count in (1, 2)]
    names = [stem + SUFFIX for stem in dict.fromkeys(stems) if stem]
    return tuple(f"{folder}/{name}" if folder else name for name in names)


def read_bank(path: str, data: bytes) -> Bank:
    """The bank a file holds.

    Args:
        path: to name it by, relative to the repository root.
        data: its bytes.

    Raises:
        BankError: with file and line: no UTF-8, no JSON, an unknown key, a value out of range, a proposal whose text
            does not fit its digest.
    """
    notes: list[Note] = []
    proposals: dict[str, Proposal] = {}
    responses: dict[tuple[object, ...], Response] = {}
    repeated = 0
    contradicted: list[Response] = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        location = Location(path, number)
        if not line.strip():
            continue
        try:
            record = parse_line(_text(line, location), location)
        except BankError:
            # only what a killed writer can leave is forgiven: the very end of the file, without a line break
            if number < len(lines):
                raise
            notes.append(Note("the last line is torn and was passed over", location))
            break
        if isinstance(record, Proposal):
            proposals.setdefault(record.digest, record)
            continue
        known = responses.setdefault(record.identity, record)
        repeated += known is not record
        if known.grade is None:
            responses[record.identity] = record  # the same response, graded since
        elif record.grade not in (None, known.grade):
            contradicted.append(record)
    notes += [
        Note("this response has another grade in an earlier line, which counts", r.location) for r in contradicted
    ]
    if repeated:
        notes.append(Note(f"{repeated} lines are there twice and count once", Location(path)))
    return Bank(path, proposals, tuple(responses.values()), tuple(notes))


def append(file: Path, records: Iterable[Proposal | Response]) -> tuple[Note, ...]:
    """Add lines to a bank file, which is made when missing.

    Returns:
        A note if a torn last line had to be cut off first.

    Raises:
        BankError: if the file cannot be written.
    """
    lines = [proposal_line(r) if isinstance(r, Proposal) else response_line(r) for r in records]
    if not lines:
        return ()
    try:
        # no text mode: Windows would write other line ends
        with file.open("a+b") as stream:
            note = _mend(stream.fileno(), file)
            stream.write("".join(line + "\n" for line in lines).encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise BankError(f"the bank cannot be written: {error.strerror}", location=Location(str(file))) from error
    return note


def replace_all(file: Path, records: Sequence[Proposal | Response]) -> None:
    """Write a whole bank anew, in one step: for new grades of old responses.

    Raises:
        BankError: if the file cannot be written; the old one is untouched then.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch()
        append(fresh, records)
        fresh.replace(file)
    except OSError as error:
        raise BankError(f"the bank cannot be written: {error.strerror}", location=Location(str(file))) from error
    finally:
        fresh.unlink(missing_ok=True)


def _text(line: bytes, location: Location) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BankError(f"the line is not UTF-8 at byte {error.start}", location=location) from error


def _mend(descriptor: int, file: Path) -> tuple[Note, ...]:
    """Make the file end with a line break: finish a whole last line, cut off a torn one.

    Raises:
        BankError: if the last line is whole but no record; somebody wrote it, and it is not ours to cut.
    """
    size = os.fstat(descriptor).st_size
    if size == 0:
        return ()
    with file.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) == b"\n":
            return ()
        stream.seek(0)
        data = stream.read()
    start = data.rfind(b"\n") + 1
    location = Location(str(file), data.count(b"\n") + 1)
    try:
        json.loads(data[start:])
    except ValueError:
        os.ftruncate(descriptor, start)
        return (Note("a torn last line was cut off", location),)
    parse_line(_text(data[start:], location), location)
    os.write(descriptor, b"\n")
    return ()
