"""What travels between processes, and what becomes of it."""

from __future__ import annotations

import json
import math

import pytest

from pytest_pmpo.app.results import Result, Results, Work, from_plain, to_plain, trouble
from pytest_pmpo.errors import BaselineError, FixtureError, Location
from pytest_pmpo.gate.baseline import StoredFixture, StoredPrompt
from pytest_pmpo.gate.records import Comparison, FixtureDelta, Policy, Verdict
from pytest_pmpo.report.records import Entry, ModelFacts, RunInfo
from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, TargetScore

METRIC = MetricInfo("cross-entropy", "nats/token")


def result(prompt: str = "a.md", model: str = "fake", fingerprint: str = "f") -> Result:
    """A regressed prompt with an interval that has no upper end."""
    score = FixtureScore("x", Measurement(1.5, 1.5, {"total": 3.0}), scores=(TargetScore((1.0, 2.0), 4),))
    comparison = Comparison(1, 1, 1.0, 1.5, 0.5, -math.inf, math.inf, 0.1, math.inf, 0.02, "sign-flip", 0.1, None)
    verdict = Verdict(
        prompt, model, METRIC, "regressed", "worse", True, 1.5, Policy(), 0.02, comparison,
        (FixtureDelta("x", score, score, 0.5, True),), ("look",),
    )  # fmt: skip
    stored = StoredPrompt("t", METRIC, {"x": StoredFixture("d", 1.5, 1.5)})
    facts = ModelFacts(model, "1", "cpu", "float32")
    return Result(
        Entry(verdict, prompt, 3, (("user", "old"),), (("user", "new"),)), stored, facts, {"model": fingerprint}
    )


def test_a_result_survives_the_way_from_a_worker():
    """Plain values only, and equal on the other side; infinite ends too."""
    plain = to_plain(result())
    json.dumps(plain)  # nothing but JSON types
    assert from_plain(plain) == result()


def test_a_trouble_survives_the_way_from_a_worker():
    """And stands where the error does, or at the prompt."""
    error = FixtureError("no label", location=Location("a.fixtures.yaml", 4), hint="add one")
    there = trouble(error, "a.md", "a.md")
    assert (there.path, there.line, there.hint) == ("a.fixtures.yaml", 4, "add one")
    assert from_plain(to_plain(there)) == there
    nowhere = trouble(FixtureError("lost"), "a.md", "a.md")
    assert (nowhere.path, nowhere.line) == ("a.md", 1)


def test_the_last_result_of_a_test_counts():
    """As after a rerun."""
    results = Results()
    results.found["id"] = trouble(FixtureError("lost"), "a.md", "a.md")
    results.found["id"] = result()
    assert (len(results.results), len(results.troubles)) == (1, 0)


def test_the_report_brings_facts_and_results_together():
    """Models once, work added up, versions from the fingerprint."""
    results = Results(work=Work(1.0, 10, 5) + Work(0.5, 1, 0))
    results.found |= {"a": result(), "b": result("b.md")}
    report = results.report(RunInfo(no_base="no git"))
    assert report.info.models == (ModelFacts("fake", "1", "cpu", "float32"),)
    assert (report.info.seconds, report.info.tokens, report.info.cached_tokens) == (1.5, 11, 5)
    assert report.info.no_base == "no git"
    assert [entry.path for entry in report.entries] == ["a.md", "b.md"]


def test_a_baseline_holds_every_expected_prompt_or_is_refused():
    """By name of what is missing."""
    results = Results()
    results.found["a"] = result()
    assert list(results.baseline([("a.md", "fake")]).models["fake"].prompts) == ["a.md"]
    with pytest.raises(BaselineError, match=r"b\.md \[fake\] was not scored"):
        results.baseline([("a.md", "fake"), ("b.md", "fake")])


def test_a_baseline_of_two_fingerprints_is_refused():
    """Workers on different machines."""
    results = Results()
    results.found |= {"a": result(), "b": result("b.md", fingerprint="g")}
    with pytest.raises(BaselineError, match="different machines"):
        results.baseline([])
