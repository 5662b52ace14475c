"""The JSON report: whole, versioned, described by a schema, and read back with suspicion."""

from __future__ import annotations

import json as stdlib_json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from pytest_pmpo.errors import ConfigError
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.report import html, json, markdown, sarif
from pytest_pmpo.report.records import Report, RunInfo


def test_what_is_written_is_read_back(report: Report, hostile_report: Report) -> None:
    for run in (report, hostile_report, Report()):
        assert json.parse(json.render(run).encode()) == run
        assert json.from_plain(json.to_plain(run)) == run


def test_every_other_report_comes_out_the_same_from_the_file(report: Report) -> None:
    again = json.parse(json.render(report).encode())
    for reporter in (html.render, markdown.render, sarif.render):
        assert reporter(again) == reporter(report)


def test_the_document_fits_its_published_schema(report: Report, hostile_report: Report) -> None:
    validator = jsonschema.Draft202012Validator(json.json_schema())
    for run in (report, hostile_report):
        validator.validate(stdlib_json.loads(json.render(run)))
    assert not validator.is_valid({"schema": 2, "tool": "x", "run": {}})


def test_ends_without_end_are_standard_json(judge: Callable[..., Verdict], report: Report) -> None:
    verdict = judge(0.1, n=4, policy=Policy(hard_break=None))
    assert verdict.comparison is not None
    assert verdict.comparison.low == -math.inf
    run = replace(report, entries=(replace(report.entries[0], verdict=verdict),))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = json.render(run)
    plain = stdlib_json.loads(text, parse_constant=refuse)
    assert plain["run"]["entries"][0]["verdict"]["comparison"]["low"] == "-Infinity"
    assert json.parse(text.encode()) == run


def test_half_a_character_is_replaced_and_not_fatal() -> None:
    assert json.parse(json.render(Report(RunInfo(no_base="x\ud800y"))).encode()).info.no_base == "x\ufffd\ufffd\ufffdy"


def without(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    copy: dict[str, Any] = stdlib_json.loads(stdlib_json.dumps(data))
    inner = copy
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return copy


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "the document"),
        (b"[]", "the document"),
        (b'{"schema": 2, "tool": "", "run": {}}', "schema"),
        (b'{"schema": 1, "run": {}}', "tool"),
        (b'{"schema": 1, "tool": "", "run": {"entries": [{"path": "a"}]}}', "run.entries.0.verdict"),
        (b'{"schema": 1, "tool": "", "run": {}, "extra": 1}', "extra"),
        (b"\xff\xfe", "the document"),
        (b"[" * 100_000, "the document"),
    ],
)
def test_what_is_no_report_is_refused_and_the_place_is_named(data: bytes, where: str) -> None:
    with pytest.raises(ConfigError, match=f"r.json: not a report of this version: {where}"):
        json.parse(data, "r.json")


def test_a_file_too_large_to_be_a_report_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "MOST_BYTES", 10)
    with pytest.raises(ConfigError, match="too many"):
        json.parse(b" " * 11)
