"""GitHub Actions: annotations on the diff, and the step summary.

Workflow commands (``::error file=…::message``) are read from standard output; ``%``, line breaks and, in properties,
``:`` and ``,`` are escaped as the runner's own toolkit does it, so that no text can end a command or begin another.
GitHub keeps ten annotations of each kind from a step: the most severe come first, and the last one counts the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_pmpo.report import markdown, terminal
from pytest_pmpo.report.records import Entry, Report
from pytest_pmpo.report.text import count, plain

MOST_OF_A_KIND = 10
SUMMARY_LIMIT = 1 << 20
"""Bytes of a step's summary; GitHub drops the whole of a larger one."""

Kind = Literal["error", "warning", "notice"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A message beside a line of a file."""

    kind: Kind
    path: str
    line: int
    title: str
    message: str

    def __str__(self) -> str:
        properties = ",".join(
            f"{name}={_property(value)}"
            for name, value in (("file", self.path), ("line", str(self.line)), ("title", self.title))
        )
        return f"::{self.kind} {properties}::{_data(self.message)}"


def render(report: Report) -> str:
    """The annotations of a run as workflow commands, one a line."""
    return "".join(f"{annotation}\n" for annotation in annotate(report))


def annotate(report: Report) -> list[Annotation]:
    """At most ten of each kind, errors first."""
    troubles = [
        Annotation("error", t.path, t.line, "pmpo could not judge this prompt", _message(t.message, t.hint))
        for t in report.troubles
    ]
    found = [*troubles, *(a for entry in report.ranked() for a in _of(entry))]
    kinds: tuple[Kind, ...] = ("error", "warning", "notice")
    return [a for kind in kinds for a in _first_ten([x for x in found if x.kind == kind])]


def step_summary(report: Report, *, limit: int = SUMMARY_LIMIT) -> str:
    """The run as Markdown for ``$GITHUB_STEP_SUMMARY``."""
    return markdown.comment(report, limit=limit)


def append_step_summary(report: Report, path: Path) -> None:
    """Add the run to the file that ``$GITHUB_STEP_SUMMARY`` names, within what is left of its limit.

    Raises:
        OSError: if the file cannot be written.
    """
    used = path.stat().st_size if path.exists() else 0
    data = step_summary(report, limit=SUMMARY_LIMIT - used).encode("utf-8", "replace")
    if used + len(data) <= SUMMARY_LIMIT:
        with path.open("ab") as file:
            file.write(data)


def in_actions(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a GitHub Actions step."""
    return environ.get("GITHUB_ACTIONS") == "true"


def _of(entry: Entry) -> Iterable[Annotation]:
    v = entry.verdict
    kind: Kind
    if v.failed:
        kind = "error"
    elif v.informs or v.status == "inconclusive":
        kind = "warning"
    elif v.status == "improved":
        kind = "notice"
    else:
        return
    message = _message(f"{v.reason}.", *(v.advice if kind != "notice" else ()))
    yield Annotation(kind, entry.path, entry.line, f"pmpo {terminal.one_line(v)}", message)


def _message(*lines: str | None) -> str:
    return "\n".join(plain(line) for line in lines if line)


def _first_ten(found: Sequence[Annotation]) -> list[Annotation]:
    if len(found) <= MOST_OF_A_KIND:
        return list(found)
    last = found[MOST_OF_A_KIND - 1]
    rest = len(found) - MOST_OF_A_KIND + 1
    title = f"pmpo: {count(rest, 'more ' + last.kind)}"
    names = "\n".join(f"{a.path}:{a.line} {a.title}" for a in found[MOST_OF_A_KIND - 1 :][:20])
    return [*found[: MOST_OF_A_KIND - 1], Annotation(last.kind, last.path, last.line, title, names)]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")
