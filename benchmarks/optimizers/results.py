"""Outcomes on disk: one JSON object per line, one line per finished run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.optimizers.runs import Outcome


def read(path: Path) -> list[Outcome]:
    """What is there; nothing where the file is missing."""
    if not path.exists():
        return []
    return [_outcome(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def line(outcome: Outcome) -> str:
    """One line of a results file."""
    return json.dumps(outcome.to_dict()) + "\n"


def rewrite(path: Path, outcomes: Sequence[Outcome]) -> None:
    """The whole file anew; whoever reads it meanwhile sees the old one or the new one."""
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text("".join(map(line, outcomes)), encoding="utf-8")
    os.replace(scratch, path)


def _outcome(row: dict[str, Any]) -> Outcome:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Outcome(**values)
