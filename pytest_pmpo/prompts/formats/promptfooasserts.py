"""promptfoo's assertions → the one answer that loss can score, and the kinds that it cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from pytest_pmpo.prompts.formats.promptfoocases import Assertion, Case
from pytest_pmpo.prompts.rows import Row

_REFERENCE = ("similar", "factuality", "model-graded-factuality", "levenshtein", "rouge-n", "bleu", "meteor")
_FIELD = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")


def to_row(case: Case, label_keys: Sequence[str]) -> tuple[Row | None, tuple[str, ...]]:
    """A fixture row of ours from one test, or None where nothing in it is an answer; and the kinds left unscored.

    The answer is, in this order: ``equals``; ``starts-with``, as a prefix; the reference text of ``similar``,
    ``factuality``, ``levenshtein``, ``rouge-n``, ``bleu`` or ``meteor``; a variable with one of the label keys.
    """
    scored: dict[str, str] = {}
    unscorable = []
    for assertion in case.asserts:
        text = _answer(assertion, case)
        key = _key(assertion.kind)
        if key is None or text is None:
            unscorable.append(assertion.kind)
        else:
            scored.setdefault(key, text)
    label = next((key for key in label_keys if case.written.get(key, "").strip()), None)
    variables = {name: value for name, value in case.vars.items() if name != label}
    answer = _chosen(scored, case.written.get(label, "") if label else "")
    return (None if answer is None else Row({"vars": variables, **answer}, case.location)), tuple(unscorable)


def _key(kind: str) -> str | None:
    if kind in ("equals", "starts-with"):
        return kind
    return "reference" if kind in _REFERENCE else None


def _chosen(scored: dict[str, str], labelled: str) -> dict[str, Any] | None:
    if "equals" in scored:
        return {"expected": scored["equals"]}
    if "starts-with" in scored:
        return {"prefix": scored["starts-with"]}
    text = scored.get("reference") or labelled
    return {"expected": text} if text else None


def _answer(assertion: Assertion, case: Case) -> str | None:
    """The assertion's value with its placeholders filled; None where that needs code or a value that is not there."""
    value = assertion.value
    if value is None or assertion.is_code:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    names = set(_FIELD.findall(text))
    if not names <= case.written.keys() or "{%" in text or re.search(r"\{\{(?!\s*[A-Za-z_][\w.]*\s*\}\})", text):
        return None
    filled = _FIELD.sub(lambda found: case.written[found[1]], text)
    return filled if filled.strip() else None
