"""The SARIF report against the official schema, and what GitHub needs of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from pytest_pmpo.report import sarif
from pytest_pmpo.report.records import Report, Trouble

SCHEMA = json.loads((Path(__file__).parent / "data" / "sarif-2.1.0-rtm.5.json").read_bytes())


def results(report: Report) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(sarif.render(report))["runs"][0]["results"]
    return found


@pytest.mark.parametrize("which", ["report", "hostile_report"])
def test_the_log_is_valid_sarif(which: str, request: pytest.FixtureRequest) -> None:
    log = json.loads(sarif.render(request.getfixturevalue(which)))
    jsonschema.Draft4Validator(SCHEMA).validate(log)


def test_the_schema_would_object() -> None:
    log = json.loads(sarif.render(Report()))
    log["runs"][0]["results"] = [{"level": "fatal"}]
    assert not jsonschema.Draft4Validator(SCHEMA).is_valid(log)


def test_failures_doubts_and_troubles_are_results_and_nothing_else_is(report: Report) -> None:
    found = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: r for r in results(report)}
    expected = {e.path for e in report.entries if e.verdict.status in ("regressed", "inconclusive")}
    assert set(found) == expected | {"prompts/broken.md"}
    assert found["prompts/broken.md"]["ruleId"] == "pmpo/not-judged"
    assert found["prompts/triage.prompt.yml"]["ruleId"] == "pmpo/regressed"
    assert found["prompts/triage.prompt.yml"]["level"] == "error"
    assert found["prompts/triage.prompt.yml"]["locations"][0]["physicalLocation"]["region"] == {"startLine": 3}
    assert found["prompts/vague.md"]["level"] == "warning"


def test_rule_indices_point_at_their_rules(report: Report) -> None:
    rules = json.loads(sarif.render(report))["runs"][0]["tool"]["driver"]["rules"]
    for result in results(report):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_a_finding_keeps_its_fingerprint_when_its_line_moves_and_no_two_share_one(report: Report) -> None:
    moved = replace(report, entries=tuple(replace(e, line=e.line + 10) for e in report.entries))
    prints = [r["partialFingerprints"]["pmpo/v1"] for r in results(report)]
    assert prints == [r["partialFingerprints"]["pmpo/v1"] for r in results(moved)]
    assert len(set(prints)) == len(prints)


def test_paths_are_relative_percent_encoded_uris() -> None:
    path = "prompts/a b#?%/ü.md"
    [result] = results(Report(troubles=(Trouble("x", "y", path),)))
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.isascii()
    assert not set(" #?") & set(uri)
    assert unquote(uri) == path


def test_no_more_results_than_github_shows(report: Report) -> None:
    troubles = tuple(Trouble(f"p{i}", "broken", f"prompts/{i}.md") for i in range(5_100))
    log = json.loads(sarif.render(replace(report, troubles=troubles)))["runs"][0]
    assert len(log["results"]) == 5_000
    assert log["properties"]["resultsLeftOut"] == 100 + len(results(report)) - 1
