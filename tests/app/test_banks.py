"""A response bank beside a prompt is what the gate measures by, and it abstains where the bank does not reach."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_pmpo.app.banks import defend
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.extensions import Extensions, bare_manager
from pytest_pmpo.app.project import Project
from pytest_pmpo.app.results import Result
from pytest_pmpo.errors import BankError
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy
from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, PromptScore, TargetScore

PROMPT = "Say {word} or {other}. Input: {{{{ text }}}}\n"
FIXTURES = "".join(
    json.dumps({"id": f"f{i}", "vars": {"text": f"item {i}"}, "expected": "yes" if i % 2 else "no"}) + "\n"
    for i in range(8)
)


def row(fixture: str, text: str, grade: float) -> str:
    return json.dumps({"fixture": fixture, "response": text, "grade": grade, "source": "written", "finished": True})


BANK = "\n".join(
    row(f"f{i}", text, float(text == ("yes" if i % 2 else "no"))) for i in range(8) for text in ("yes", "no")
)


@pytest.fixture
def project(tmp_path: Path, clean_environment: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.pmpo]\nmodel = "fake"\n')
    (tmp_path / "prompts/a.j2").write_text(PROMPT.format(word="yes", other="no"))
    (tmp_path / "prompts/a.fixtures.jsonl").write_text(FIXTURES)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def check(root: Path, **given: object) -> Result:
    project = Project.open(root, given, Extensions(bare_manager().hook))
    [task] = project.tasks("prompts/a.j2")
    return Checker(project, environ={}).check(task)


def test_a_bank_beside_the_prompt_is_the_metric(project: Path) -> None:
    (project / "prompts/a.responses.jsonl").write_text(BANK + "\n")
    (project / "prompts/a.j2").write_text(PROMPT.format(word="yes", other="nope"))
    verdict = check(project).entry.verdict
    assert verdict.metric.name == "response-bank"
    assert "proxy" not in verdict.reason


@pytest.mark.parametrize(("blocking", "failed"), [("no-proxy", True), ("never", False)])
def test_a_verdict_by_a_bank_blocks_where_those_by_proxies_inform(project: Path, blocking: str, failed: bool) -> None:
    (project / "prompts/a.responses.jsonl").write_text(BANK + "\n")
    (project / "prompts/a.j2").write_text(PROMPT.format(word="no", other="no"))
    verdict = check(project, blocking=blocking, strict=True).entry.verdict
    assert (verdict.metric.name, verdict.status) == ("response-bank", "inconclusive")
    assert (verdict.failed, verdict.informs) == (failed, not failed)


def test_without_a_bank_the_fixtures_decide_the_metric(project: Path) -> None:
    assert check(project).entry.verdict.metric.name == "cross-entropy"


def test_a_bank_that_lacks_a_fixture_is_not_used_and_says_so(project: Path) -> None:
    (project / "prompts/a.responses.jsonl").write_text(row("f0", "no", 1.0) + "\n")
    result = check(project)
    assert result.entry.verdict.metric.name == "cross-entropy"
    assert any("7 fixtures have no usable response" in note for note in result.entry.notes)


STALE = "\n".join(row(f"f{i}", "yes", 1.0).replace("{", '{"label": "0123456789abcdef", ', 1) for i in range(8)) + "\n"
"""Every response was graded by a label that is another one today."""


def test_a_bank_that_is_stale_throughout_is_not_used_and_says_so(project: Path) -> None:
    (project / "prompts/a.responses.jsonl").write_text(STALE)
    result = check(project)
    assert result.entry.verdict.metric.name == "cross-entropy"
    assert any("8 responses were graded by a label that has changed since" in note for note in result.entry.notes)
    assert any("the bank is not used: 8 fixtures have no usable response" in note for note in result.entry.notes)


def test_a_stale_bank_that_was_asked_for_by_name_is_an_error(project: Path) -> None:
    (project / "prompts/a.responses.jsonl").write_text(STALE)
    with pytest.raises(BankError, match="8 fixtures have no usable response"):
        check(project, metric="response-bank")


def test_a_bank_asked_for_by_name_has_to_be_there(project: Path) -> None:
    with pytest.raises(BankError, match="has no bank"):
        check(project, metric="response-bank")


def test_a_broken_bank_is_an_error_with_its_line(project: Path) -> None:
    (project / "prompts/a.responses.jsonl").write_text(BANK + "\n{broken\n")
    with pytest.raises(BankError, match=r"a\.responses\.jsonl:17"):
        check(project)


def score(value: float, coverage: float, informative: float = 1.0) -> PromptScore:
    details = {"coverage": coverage, "effective_sample_size": 2.0, "responses": 4.0, "informative": informative}
    rows = [
        FixtureScore(
            f"f{i}", Measurement(value, details={**details, "variance": 0.01}), scores=(TargetScore((1.0,), 3),)
        )
        for i in range(8)
    ]
    return PromptScore(
        "prompts/a.j2", MetricInfo("response-bank", "accuracy", "higher", False, "absolute"), tuple(rows)
    )


@pytest.mark.parametrize(("reach", "status"), [(0.9, "regressed"), (0.2, "inconclusive")])
def test_a_bank_that_does_not_reach_the_head_leaves_it_undecided_and_tells_the_cost(reach: float, status: str) -> None:
    head, base = score(0.2, reach), score(0.9, 1.0)
    verdict = defend(decide(head, base, Policy(), model="fake"), "prompts/a.j2", head, base)
    assert verdict.status == status
    assert verdict.failed == (status == "regressed")
    assert any("pmpo bank top-up prompts/a.j2" in line for line in verdict.advice) == (status == "inconclusive")


def test_a_base_that_the_bank_does_not_reach_is_told_apart_from_the_head() -> None:
    head, base = score(0.2, 1.0), score(0.9, 0.2)
    verdict = defend(decide(head, base, Policy(), model="fake"), "prompts/a.j2", head, base)
    assert verdict.status == "inconclusive"
    assert "the base would answer" in verdict.reason
    assert any("pmpo bank build prompts/a.j2 --from" in line for line in verdict.advice)


@pytest.mark.parametrize(("informative", "said"), [(0.0, True), (1.0, False)])
def test_an_undecided_verdict_of_a_bank_that_cannot_tell_prompts_apart_says_what_would_help(
    informative: float, said: bool
) -> None:
    head, base = (valued(score(0.5, 1.0, informative), values) for values in ([0.1, 0.9] * 4, [0.9, 0.1] * 4))
    verdict = defend(decide(head, base, Policy(), model="fake"), "prompts/a.j2", head, base)
    assert verdict.status == "inconclusive"
    assert ("only 0 % of the fixtures have right and wrong responses in the bank" in verdict.advice[0]) == said
    assert ("no fixture has both right and wrong responses" in verdict.reason) == said


@pytest.mark.parametrize(("informative", "said"), [(0.0, True), (0.5, False)])
def test_a_verdict_that_passes_says_if_its_bank_could_hardly_have_shown_a_difference(
    informative: float, said: bool
) -> None:
    """Responses of one grade to every fixture: the build passes, and the reader must know how little that says."""
    head, base = score(0.5, 1.0, informative), score(0.5, 1.0, informative)
    verdict = defend(decide(head, base, Policy(), model="fake"), "prompts/a.j2", head, base)
    assert verdict.status == "passed"
    assert ("a difference could hardly show" in verdict.reason) == said


@pytest.mark.parametrize(("value", "status"), [(0.0, "inconclusive"), (1.0, "passed")])
def test_a_bank_without_a_right_response_passes_no_edit_as_being_as_good(value: float, status: str) -> None:
    """Nothing is worse than nought: such a pass would hold for any edit. Where all are right, it says something."""
    head, base = score(value, 1.0, 0.0), score(value, 1.0, 0.0)
    verdict = defend(decide(head, base, Policy(strict=True), model="fake"), "prompts/a.j2", head, base)
    assert (verdict.status, verdict.failed) == (status, status == "inconclusive")
    assert verdict.reason.startswith("no response in the bank is right") == (value == 0)


@pytest.mark.parametrize(("bias", "status"), [(-0.25, "inconclusive"), (0.0, "regressed")])
def test_where_a_small_banks_bias_alone_leaves_it_undecided_the_advice_is_a_larger_bank(
    bias: float, status: str
) -> None:
    head = biased(valued(score(0.5, 1.0), [0.30, 0.31] * 4), bias)
    base = valued(score(0.5, 1.0), [0.5] * 8)
    verdict = defend(decide(head, base, Policy(), model="fake"), "prompts/a.j2", head, base)
    assert verdict.status == status
    assert any("pmpo bank build prompts/a.j2 --per-fixture 8" in line for line in verdict.advice) == bool(bias)
    if bias:
        assert "--per-fixture 8, then judge again" in verdict.advice[0]
        assert "off by 25 points" in verdict.advice[0]


@pytest.mark.parametrize(
    ("values", "bias"), [([0.1, 0.9] * 4, -0.01), ([0.5] * 8, -0.25)], ids=["chance decides", "passes all the same"]
)
def test_where_the_bias_is_not_why_it_is_undecided_no_larger_bank_is_advised(values: list[float], bias: float) -> None:
    head, base = biased(valued(score(0.5, 1.0), values), bias), valued(score(0.5, 1.0), [1 - v for v in values])
    if bias < -0.1:
        base = biased(base, bias)  # the same for both: it cancels
    verdict = defend(decide(head, base, Policy(), model="fake"), "prompts/a.j2", head, base)
    assert not any("--per-fixture" in line for line in verdict.advice)


def test_against_a_saved_baseline_a_larger_bank_is_not_advised() -> None:
    """The baseline's numbers, and so their bias, do not change with the bank."""
    head, base = biased(valued(score(0.5, 1.0), [0.30, 0.31] * 4), -0.25), valued(score(0.5, 1.0), [0.5] * 8)
    against = defend(decide(head, base, Policy(), model="fake"), "prompts/a.j2", head, None)
    assert against.status == "inconclusive"
    assert not any("--per-fixture" in line for line in against.advice)


def biased(whole: PromptScore, bias: float) -> PromptScore:
    rows = whole.fixtures
    measured = [replace(f.measurement, details={**f.measurement.details, "bias": bias}) for f in rows]
    return replace(whole, fixtures=tuple(replace(f, measurement=m) for f, m in zip(rows, measured, strict=True)))


def valued(whole: PromptScore, values: list[float]) -> PromptScore:
    rows = zip(whole.fixtures, values, strict=True)
    return replace(whole, fixtures=tuple(replace(f, measurement=replace(f.measurement, value=v)) for f, v in rows))
