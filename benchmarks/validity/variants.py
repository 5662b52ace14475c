"""Four ways to ask, each with seven edits as a pull request would make them, and no instruction at all.

``variants.json`` holds the system prompts by family; the first of a family is its base. ``{form}`` is what the task
calls an answer ("the letter of an option").
"""

from __future__ import annotations

import json
from pathlib import Path

NONE = "none"
FAMILIES: dict[str, list[str]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def prompts(form: str) -> dict[str, str | None]:
    """System prompt by name: ``direct0`` … ``rules7``, and ``none``."""
    named: dict[str, str | None] = {
        f"{family}{i}": text.format(form=form) for family, texts in FAMILIES.items() for i, text in enumerate(texts)
    }
    return {**named, NONE: None}


def family(name: str) -> str:
    """The family a prompt belongs to."""
    return name.rstrip("0123456789")
