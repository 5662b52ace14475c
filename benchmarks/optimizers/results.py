"""Outcomes on disk: one JSON object per line, one line per finished run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.optimizers.runs import Outcome


def read(path: Path) -> list[Outcome]:
    """What is there; nothing where the file is missing.

    A last line that was torn while it was written (full disk, power loss) is left out, and said so on the terminal.

    Raises:
        SystemExit: naming the first other line that is no outcome.
    """
    if not path.exists():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    found = [_parse(path, number, text) for number, text in enumerate(lines, 1)]
    if _is_torn(last):
        print(f"{path}:{len(lines) + 1}: the last line is torn and left out; its run is made again", flush=True)
    elif last:
        found.append(_parse(path, len(lines) + 1, last))
    return found


def append(path: Path, outcome: Outcome) -> None:
    """One more line; a torn one before it is cut off."""
    with path.open("a+b") as file:
        file.seek(0)
        held = file.read()
        _, _, last = held.rpartition(b"\n")
        if _is_torn(last):
            file.truncate(len(held) - len(last))
        elif last:
            file.write(b"\n")
        file.write(line(outcome).encode())


def line(outcome: Outcome) -> str:
    """One line of a results file."""
    return json.dumps(outcome.to_dict()) + "\n"


def rewrite(path: Path, outcomes: Sequence[Outcome]) -> None:
    """The whole file anew; whoever reads it meanwhile sees the old one or the new one."""
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text("".join(map(line, outcomes)), encoding="utf-8")
    os.replace(scratch, path)


def _is_torn(last: bytes) -> bool:
    """Whether what follows the last line break is a line's beginning, and not just a whole one that lacks its end."""
    try:
        json.loads(last.decode("utf-8"))
    except ValueError:
        return last != b""
    return False


def _parse(path: Path, number: int, text: bytes) -> Outcome:
    try:
        return _outcome(json.loads(text.decode("utf-8")))
    except (ValueError, TypeError, AttributeError) as error:
        raise SystemExit(f"{path}:{number}: no outcome of a run: {error}") from error


def _outcome(row: dict[str, Any]) -> Outcome:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Outcome(**values)
