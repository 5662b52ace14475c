"""What a report is made of: verdicts, what could not be judged, and the facts of the run. Plain data all through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_pmpo.gate.records import Status, Verdict

SEVERITY: tuple[Status, ...] = ("regressed", "inconclusive", "new", "improved", "passed", "unchanged")
"""Order of verdicts in every report: what needs a person comes first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One verdict and where it belongs.

    Attributes:
        path: prompt file, relative to the repository root, POSIX separators.
        line: 1-based line of the prompt in it.
        before, after: template text of base and head as ``(role, text)`` turns, for a redline; empty where unknown.
        tokens: text of each scored token of a fixture's first answer, by fixture id, for those that changed most.
        notes: what was read from the file but cannot be scored.
        spent: what was drawn and graded on the way to the verdict (``--pmpo-confirm``), in one line.
    """

    verdict: Verdict
    path: str
    line: int = 1
    before: tuple[tuple[str, str], ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    spent: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A prompt that could not be judged: the message of the error, and where it points."""

    prompt: str
    message: str
    path: str
    line: int = 1
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as it ran. ``revision`` is a commit, a digest or empty."""

    name: str
    revision: str = ""
    device: str = ""
    dtype: str = ""


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What was compared with: a commit (``commit``, ``ref``, ``how``: "merge base with origin/main"), or a saved file.

    ``age`` is in words (``3 days old``); ``date`` is ISO 8601 or empty.
    """

    commit: str = ""
    ref: str = ""
    how: str = ""
    date: str = ""
    age: str = ""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The facts of a run.

    Attributes:
        models: those that judged.
        base: None where there was nothing to compare with; ``no_base`` says why.
        commit: of the head, where there is one.
        versions: of what computed the numbers, by name.
        seconds: of scoring, wall clock.
        tokens, cached_tokens: computed in forward passes; and those of answers whose losses were looked up.
        suite: tells apart several runs on one pull request (a workflow's name); part of the comment's marker.
        validity: how often this metric agreed with graded answers, in one sentence, where that was measured.
    """

    models: tuple[ModelFacts, ...] = ()
    base: BaseFacts | None = None
    no_base: str = ""
    commit: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    tokens: int = 0
    cached_tokens: int = 0
    suite: str = "default"
    validity: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run."""

    info: RunInfo = RunInfo()
    entries: tuple[Entry, ...] = ()
    troubles: tuple[Trouble, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the build should fail."""
        return bool(self.troubles) or any(entry.verdict.failed for entry in self.entries)

    @property
    def is_open(self) -> bool:
        """Whether a person should look although the build passes: nothing decided, or a failure that informs only."""
        return any(entry.verdict.informs or entry.verdict.status == "inconclusive" for entry in self.entries)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all entries, each once: several models read one file."""
        return tuple(dict.fromkeys(note for entry in self.entries for note in entry.notes))

    def ranked(self) -> tuple[Entry, ...]:
        """Entries by severity, failing ones first, then by path and model."""
        return tuple(
            sorted(
                self.entries,
                key=lambda e: (
                    not e.verdict.failed,
                    SEVERITY.index(e.verdict.status),
                    e.path,
                    e.verdict.prompt,
                    e.verdict.model,
                ),
            )
        )

    def counts(self) -> dict[Status, int]:
        """How many verdicts of each kind there are, in order of severity, without zeros."""
        statuses = [entry.verdict.status for entry in self.entries]
        return {status: statuses.count(status) for status in SEVERITY if status in statuses}
