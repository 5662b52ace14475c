"""The journal: what a run has paid for, on disk before it is used, so that no kill can make it pay twice.

One JSON line per scored candidate, per rewriter's answer, per batch of top-up responses and per round, appended and
fsynced (the responses themselves lie in a bank file beside the journal, written before the line that names them). A run
resumes by running again from the start with the same seed: every score and every answer is found in the journal, so the
strategy walks the same path without a forward pass until it reaches the place where it was stopped. Nothing of a
strategy's own state has to be saved, so nothing can be saved wrongly.

Each line carries a checksum; a line that is torn or damaged is a line that was never written. The request's digest is
in the file's name: another prompt, fixture, model, seed or strategy is another journal. Limits are not part of it, so a
stopped run can be given more.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_pmpo.errors import OptimizeError
from pytest_pmpo.optimize.budget import Spent
from pytest_pmpo.scoring.records import TargetScore

if sys.platform != "win32":
    import fcntl

_BINARY = getattr(os, "O_BINARY", 0)
"""Without it Windows writes line ends as two bytes and reads them as one, and a torn line is cut elsewhere."""

SCHEMA = 3
"""Part of a request's digest, so that a journal of another make is never read."""

Scores = Mapping[str, TargetScore]
"""Losses of one fixture's texts by the text's key (see ``evaluation.text_key``): a text that is added later, such as a
fresh response, takes nothing from those that are known."""

Answers = tuple[tuple[str, int, bool], ...]
"""Text, tokens, finished: one per sample."""


class Journal:
    """Append-only record of one request.

    Args:
        path: made with its folders when missing.
        sync: flushes a file descriptor to the disk; a test may count the calls.

    Raises:
        OptimizeError: if the folder cannot be written, or another process is running the same request.
    """

    def __init__(self, path: Path, *, sync: Callable[[int], None] = os.fsync) -> None:
        self.path = path
        self.scores: dict[tuple[str, str], dict[str, TargetScore]] = {}
        self.answers: dict[str, Answers] = {}
        self.drawn: set[str] = set()
        self.damaged = 0
        self.spent = Spent()
        self._sync = sync
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, 0o644)
        except OSError as error:
            raise OptimizeError(f"the journal {path} cannot be opened: {error.strerror}") from error
        try:
            self._lock()
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    @property
    def resumed(self) -> bool:
        """Whether an earlier run left something here."""
        return bool(self.scores or self.answers or self.drawn)

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self._file)

    def record_score(self, digest: str, scores: Mapping[str, Scores], spent: Spent) -> None:
        """A candidate's token losses by fixture id; they join those that are known of it."""
        rows = {
            fixture: {key: [packed(s.nll), s.n_bytes] for key, s in targets.items()}
            for fixture, targets in scores.items()
        }
        self._append({"kind": "score", "prompt": digest, "fixtures": rows, "spent": asdict(spent)})
        for fixture, targets in scores.items():
            self.scores.setdefault((digest, fixture), {}).update(targets)

    def record_answers(self, key: str, answers: Answers, spent: Spent) -> None:
        """A rewriter's answers to one question."""
        self._append({"kind": "answers", "question": key, "answers": answers, "spent": asdict(spent)})
        self.answers[key] = answers

    def record_drawn(self, key: str, spent: Spent) -> None:
        """A batch of responses that is in the bank file."""
        self._append({"kind": "drawn", "batch": key, "spent": asdict(spent)})
        self.drawn.add(key)

    def record_round(self, number: int, row: Mapping[str, Any], spent: Spent) -> None:
        """The end of a round; for people who read the file, and for the books."""
        self._append({"kind": "round", "number": number, **row, "spent": asdict(spent)})

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OptimizeError(
                f"another process is running this optimization (it holds {self.path})",
                hint="wait for it to end, or end it; what it has paid for is kept",
            ) from error

    def _append(self, entry: Mapping[str, Any]) -> None:
        body = json.dumps(entry, ensure_ascii=True, separators=(",", ":"))
        line = f'{{"check":"{_checksum(body)}","entry":{body}}}\n'.encode()
        size = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            self._sync(self._file)
        except OSError as error:
            self._cut(size)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raise OptimizeError(
                f"the journal {self.path} cannot be written: {error.strerror}",
                hint="make room and give the same command again: nothing that was journalled is lost"
                if full
                else "what was journalled before is kept; the same command goes on from there",
            ) from error

    def _cut(self, size: int) -> None:
        try:
            os.ftruncate(self._file, size)
        except OSError:
            return  # the torn line fails its checksum and is cut off by the next run

    def _read(self) -> None:
        data = self._read_all()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            self._cut(end)
        for line in data[:end].splitlines():
            entry = _checked(line)
            if entry is None or not self._take(entry):
                self.damaged += 1

    def _read_all(self) -> bytes:
        parts = []
        os.lseek(self._file, 0, os.SEEK_SET)
        while part := os.read(self._file, 1 << 20):
            parts.append(part)
        return b"".join(parts)

    def _take(self, entry: Mapping[str, Any]) -> bool:
        try:
            spent = Spent(**entry["spent"])
            if entry["kind"] == "score":
                for fixture, targets in entry["fixtures"].items():
                    known = {key: TargetScore(unpacked(nll), size) for key, (nll, size) in targets.items()}
                    self.scores.setdefault((entry["prompt"], fixture), {}).update(known)
            elif entry["kind"] == "answers":
                self.answers[entry["question"]] = tuple((t, n, f) for t, n, f in entry["answers"])
            elif entry["kind"] == "drawn":
                self.drawn.add(entry["batch"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        self.spent = spent
        return True


def _checksum(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=8).hexdigest()


def _checked(line: bytes) -> Mapping[str, Any] | None:
    try:
        text = line.decode("ascii")
        record = json.loads(text)
        body = text[text.index('"entry":') + len('"entry":') : -1]
        entry = record["entry"]
        return entry if record["check"] == _checksum(body) and isinstance(entry, dict) else None
    except (ValueError, KeyError, TypeError):
        return None


def packed(values: Sequence[float]) -> str:
    """Numbers in base64, to the last bit: in four bytes each where those hold them (a model's losses are fp32 numbers),
    else in eight. A bank has hundreds of long responses, and a run scores them under hundreds of prompts."""
    kind = "f" if all(map(_fits, values)) else "d"
    data = struct.pack(f"<{len(values)}{kind}", *values)
    return kind + base64.b64encode(data).decode("ascii")


def _fits(value: float) -> bool:
    try:
        return bool(struct.unpack("<f", struct.pack("<f", value))[0] == value)
    except OverflowError:
        return False


def unpacked(text: str) -> tuple[float, ...]:
    """The inverse of ``packed``.

    Raises:
        ValueError: for anything else.
    """
    kind, data = text[:1], base64.b64decode(text[1:], validate=True)
    if kind not in ("f", "d") or len(data) % struct.calcsize(f"<{kind}"):
        raise ValueError("no packed numbers")
    return struct.unpack(f"<{len(data) // struct.calcsize(f'<{kind}')}{kind}", data)


def request_digest(parts: Sequence[object]) -> str:
    """Names a request by everything its path depends on; parts are told apart by their ``repr``."""
    state = hashlib.sha256()
    for part in parts:
        data = repr(part).encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()
