"""Grades given later, again, and checked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pmpo.errors import GraderError, Location
from pytest_pmpo.prompts.model import Expected, Fixture
from pytest_pmpo.responses.graders.exact import Exact
from pytest_pmpo.responses.graders.number import Number
from pytest_pmpo.responses.records import Bank, Response, label_digest
from pytest_pmpo.responses.regrade import disagreements, grade_bank, require_agreement

FIXTURE = Fixture("f1", {}, Expected("4"))
LABEL = label_digest(FIXTURE)


def bank(*rows: Response) -> Bank:
    return Bank("b", {}, tuple(replace(row, location=Location("b", i + 1)) for i, row in enumerate(rows)))


def test_a_response_without_a_grade_gets_one() -> None:
    result = grade_bank(bank(Response("f1", "4"), Response("f1", "5")), [FIXTURE], Exact())
    assert [r.grade for r in result.bank.responses] == [1.0, 0.0]
    assert {r.grader for r in result.bank.responses} == {"exact"}
    assert result.graded == 2


def test_a_changed_label_or_another_grader_grades_anew_and_says_so() -> None:
    rows = [
        Response("f1", "4", 0.0, "exact", label="old"),
        Response("f1", "four is 4.0", 0.0, "number", label=LABEL),
        Response("f1", "4", 1.0, "exact", label=LABEL),
    ]
    result = grade_bank(bank(*rows), [FIXTURE], Exact())
    assert [r.grade for r in result.bank.responses] == [1.0, 0.0, 1.0]
    assert result.graded == 2
    assert [note.message for note in result.notes] == ["grades by number were replaced by those of exact"]


def test_given_grades_and_gone_fixtures_stay_as_they_are() -> None:
    rows = [Response("f1", "5", 1.0, "given"), Response("f1", "5", 0.5), Response("gone", "5")]
    result = grade_bank(bank(*rows), [FIXTURE], Exact())
    assert [r.grade for r in result.bank.responses] == [1.0, 0.5, None]
    assert result.graded == 0


def test_a_grader_that_disagrees_with_its_kept_grades_is_named_with_the_line() -> None:
    rows = bank(Response("f1", "4", 1.0, "number", label=LABEL), Response("f1", "5", 1.0, "number", label=LABEL))
    (note,) = disagreements(rows, [FIXTURE], Number())
    assert str(note.location) == "b:2"
    with pytest.raises(GraderError, match="1 kept grades differ") as caught:
        require_agreement(rows, [FIXTURE], Number())
    assert str(caught.value.location) == "b:2"


def test_grades_of_others_and_of_older_labels_are_no_disagreement() -> None:
    rows = bank(
        Response("f1", "5", 1.0, "given"),
        Response("f1", "5", 1.0, "number", label="old"),
        Response("f1", "4", 1.0, "number", label=LABEL),
    )
    require_agreement(rows, [FIXTURE], Number())
