"""A run as SARIF 2.1.0, for code scanning.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; what GitHub reads of it:
https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

import pytest_pmpo
from pytest_pmpo.report.records import Entry, Report, Trouble
from pytest_pmpo.report.text import mean_regressed, plain

MOST_RESULTS = 5_000
"""GitHub shows no more; the most severe come first."""

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0-rtm.5.json"

_RULES: tuple[tuple[str, str, str, str], ...] = (
    (
        "regressed",
        "error",
        "A prompt got worse",
        "Under this version of the prompt the model finds the right answers less likely than under the base version, "
        "by more than the tolerance and with the confidence that the run states.",
    ),
    (
        "broken-fixture",
        "error",
        "A fixture broke",
        "The right answer to one fixture lost more likelihood per token than the hard-break guard allows, whatever the "
        "mean did.",
    ),
    (
        "inconclusive",
        "warning",
        "The fixtures cannot tell",
        "The mean may have got worse by more than the tolerance, or not at all; more fixtures would tell.",
    ),
    (
        "not-judged",
        "error",
        "A prompt could not be judged",
        "The prompt file, its fixtures, the base or the model cannot be used.",
    ),
)
_RULE_INDEX = {rule[0]: index for index, rule in enumerate(_RULES)}


def render(report: Report) -> str:
    """The run as a SARIF log with one run."""
    results = [_trouble(t) for t in report.troubles] + [r for e in report.ranked() if (r := _result(e)) is not None]
    left_out = max(0, len(results) - MOST_RESULTS)
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver()},
                "automationDetails": {"id": f"pytest-pmpo/{plain(report.info.suite)}/"},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The root of the repository."}}},
                "results": results[:MOST_RESULTS],
                "properties": {"resultsLeftOut": left_out, "models": [m.name for m in report.info.models]},
            }
        ],
    }
    return json.dumps(log, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _driver() -> dict[str, Any]:
    return {
        "name": "pytest-pmpo",
        "version": pytest_pmpo.__version__,
        "rules": [
            {
                "id": f"pmpo/{name}",
                "name": "".join(word.capitalize() for word in name.split("-")),
                "shortDescription": {"text": short},
                "fullDescription": {"text": full},
                "defaultConfiguration": {"level": level},
            }
            for name, level, short, full in _RULES
        ],
    }


def _result(entry: Entry) -> dict[str, Any] | None:
    v = entry.verdict
    if v.status not in ("regressed", "inconclusive") and not (v.failed or v.informs):
        return None
    broken = any(f.broken for f in v.fixtures) and not mean_regressed(v)
    rule = "broken-fixture" if broken else v.status if v.status in _RULE_INDEX else "not-judged"
    text = "\n".join([f"{plain(v.reason)}.", *(f"- {plain(line)}" for line in v.advice)])
    properties: dict[str, Any] = {"status": v.status, "model": plain(v.model), "metric": plain(v.metric.name)}
    if v.comparison is not None:
        c = v.comparison
        properties |= {"baseMean": c.base_mean, "headMean": c.head_mean, "delta": c.delta, "fixtures": c.n}
    level = "error" if v.failed else "warning"
    name = f"{v.prompt} under {v.model}"
    return _entry(rule, level, f"{plain(name)}: {text}", entry.path, entry.line, (v.prompt, v.model), properties)


def _trouble(trouble: Trouble) -> dict[str, Any]:
    hint = f"\n{plain(trouble.hint)}" if trouble.hint else ""
    text = f"{plain(trouble.prompt)}: {plain(trouble.message)}{hint}"
    return _entry("not-judged", "error", text, trouble.path, trouble.line, (trouble.prompt,), {})


def _entry(
    rule: str, level: str, text: str, path: str, line: int, identity: tuple[str, ...], properties: dict[str, Any]
) -> dict[str, Any]:
    # the line may move and the numbers change; it is still the same finding
    fingerprint = hashlib.sha256("\0".join((rule, *identity)).encode("utf-8", "surrogatepass")).hexdigest()
    return {
        "ruleId": f"pmpo/{rule}",
        "ruleIndex": _RULE_INDEX[rule],
        "level": level,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(path.encode("utf-8", "replace")), "uriBaseId": "SRCROOT"},
                    "region": {"startLine": max(1, line)},
                }
            }
        ],
        "partialFingerprints": {"pmpo/v1": fingerprint},
        "properties": properties,
    }
