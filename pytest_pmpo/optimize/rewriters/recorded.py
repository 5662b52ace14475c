"""Answers from a file: replay for tests and audits, and the recording of another writer's answers.

One JSON object per line: ``{"question": KEY, "answers": [TEXT, …]}``, where KEY is the digest of the conversation, or
``"*"`` for answers that fit any question. An answer may also be ``{"text": …, "tokens": …, "finished": …}``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pmpo.errors import Location, RewriterError
from pytest_pmpo.optimize.rewriters.base import Reply, Writer
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings

ANY = "*"


def question_key(turns: Sequence[Turn]) -> str:
    """sha256 (hex) of a conversation."""
    shown = json.dumps([[turn.role, turn.content] for turn in turns], ensure_ascii=True)
    return hashlib.sha256(shown.encode()).hexdigest()


class RecordedWriter:
    """Replays the answers in ``path``.

    Raises:
        RewriterError: with file and line, if the file is missing or malformed.
    """

    name = "recorded"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RewriterError(f"the recorded answers cannot be read: {error.strerror}", location=_at(path)) from error
        self.identity = f"recorded/{hashlib.sha256(data).hexdigest()}"
        self._answers: dict[str, tuple[Reply, ...]] = {}
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                key, replies = _entry(line, _at(path, number))
                self._answers[key] = (*self._answers.get(key, ()), *replies)

    def write(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int,
        seconds: float | None = None,
    ) -> Iterator[tuple[Reply, ...]]:
        """The recorded answers to each conversation, the first ``samples`` of them.

        Raises:
            RewriterError: if a question was not recorded.
        """
        for turns in conversations:
            found = self._answers.get(question_key(turns)) or self._answers.get(ANY)
            if not found:
                raise RewriterError(
                    f"no answer was recorded for the question that begins {turns[-1].content[:60]!r}",
                    location=_at(self.path),
                    hint="record again: the prompt, its fixtures, the seed or a template has changed",
                )
            yield tuple(Reply(r.text, min(r.tokens, settings.max_new_tokens), r.finished) for r in found[:samples])


@dataclass(frozen=True, slots=True)
class Recording:
    """Passes on another writer's answers and appends them to ``path``."""

    writer: Writer
    path: Path

    @property
    def name(self) -> str:
        """The other writer's."""
        return self.writer.name

    @property
    def identity(self) -> str:
        """The other writer's: recording changes nothing of what it answers."""
        return self.writer.identity

    def write(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int,
        seconds: float | None = None,
    ) -> Iterator[tuple[Reply, ...]]:
        """The other writer's rows, each written down before it is passed on.

        Raises:
            RewriterError: the other writer's, or if the file cannot be written.
        """
        rows = self.writer.write(conversations, settings, samples=samples, seconds=seconds)
        for turns, row in zip(conversations, rows, strict=True):
            answers = [{"text": r.text, "tokens": r.tokens, "finished": r.finished} for r in row]
            line = json.dumps({"question": question_key(turns), "answers": answers}, ensure_ascii=True)
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="ascii") as file:
                    file.write(line + "\n")
            except OSError as error:
                raise RewriterError(f"answers cannot be recorded: {error.strerror}", location=_at(self.path)) from error
            yield row


def _entry(line: bytes, where: Location) -> tuple[str, tuple[Reply, ...]]:
    try:
        entry = json.loads(line)
        return str(entry["question"]), tuple(_reply(answer) for answer in entry["answers"])
    except (ValueError, KeyError, TypeError) as error:
        raise RewriterError(
            f"not a recorded answer: {error!r}",
            location=where,
            hint='one line reads {"question": KEY or "*", "answers": [TEXT, …]}',
        ) from error


def _reply(answer: Any) -> Reply:
    if isinstance(answer, str):
        return Reply(answer, max(1, len(answer.encode("utf-8", "surrogatepass")) // 4))
    return Reply(str(answer["text"]), int(answer["tokens"]), bool(answer["finished"]))


def _at(path: Path, line: int | None = None) -> Location:
    return Location(path.as_posix(), line)
