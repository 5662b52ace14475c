"""GitHub Models prompt files: turns, rows, and what their evaluators make of an answer."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from pytest_pmpo.errors import FixtureError, FormatError
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.github import GitHubFormat
from pytest_pmpo.prompts.formats.paths import reads_nothing
from pytest_pmpo.prompts.model import Choice, Expected, Preference, PromptSuite

GITHUB = GitHubFormat()
TYPED = "testData:\n  - q: 1.10\n    ok: true\n    day: 2026-01-02\n    l: [1, a]\n    expected: yes\n"
MESSAGES = "messages:\n  - role: user\n    content: 'Answer: {{q}}'\n"


def read(text: str, **options: object) -> PromptSuite:
    context = ParseContext(read=reads_nothing, **options)  # type: ignore[arg-type]  # a test names the field
    (suite,) = GITHUB.parse("prompts/a.prompt.yml", text.encode(), context)
    return suite


def test_every_key_of_a_row_but_the_answer_is_a_variable_written_as_in_the_file() -> None:
    suite = read(
        MESSAGES + "testData:\n  - q: 1.10\n    ok: true\n    day: 2026-01-02\n    l: [1, a]\n    expected: yes\n"
    )
    (fixture,) = suite.fixtures
    assert fixture.vars == {"q": "1.10", "ok": "true", "day": "2026-01-02", "l": '[1, "a"]'}
    assert fixture.label == Expected("yes")
    assert str(fixture.location) == "prompts/a.prompt.yml:5"


def test_label_keys_can_be_configured_and_are_tried_in_order() -> None:
    text = MESSAGES + "testData:\n  - {q: 1, ideal: one, gold: two}\n"
    assert read(text).fixtures[0].label == Expected("one")
    assert read(text, label_keys=("gold",)).fixtures[0].label == Expected("two")


def test_a_label_key_that_the_messages_use_is_a_variable() -> None:
    text = (
        "messages:\n  - role: user\n    content: 'Is {{answer}} right?'\ntestData:\n  - {answer: four, label: 'yes'}\n"
    )
    (fixture,) = read(text).fixtures
    assert fixture.label == Expected("yes")
    assert fixture.vars == {"answer": "four"}


@pytest.mark.parametrize(
    ("evaluator", "label"),
    [
        ("string: {equals: 'is {{q}}'}", Expected("is 2+2")),
        ("string: {startsWith: '4'}", Expected("4", prefix=True)),
    ],
)
def test_a_string_evaluator_is_the_answer_of_a_row_without_one(evaluator: str, label: Expected) -> None:
    suite = read(MESSAGES + f"testData:\n  - q: 2+2\nevaluators:\n  - name: e\n    {evaluator}\n")
    assert suite.fixtures[0].label == label
    assert suite.prompt.notes == ()


def test_starts_with_the_expected_answer_makes_it_a_prefix() -> None:
    suite = read(
        MESSAGES
        + "testData:\n  - {q: a, expected: 'Yes'}\nevaluators:\n  - name: e\n    string: {startsWith: '{{expected}}'}\n"
    )
    assert suite.fixtures[0].label == Expected("Yes", prefix=True)


def test_choices_that_hold_the_answer_are_choices() -> None:
    judge = "evaluators:\n  - name: j\n    llm:\n      prompt: x\n      choices:\n"
    judge += "        - {choice: good, score: 1}\n        - {choice: bad, score: 0}\n"
    suite = read(MESSAGES + "testData:\n  - {q: a, expected: bad}\n" + judge)
    assert suite.fixtures[0].label == Choice(("good", "bad"), 1)
    assert suite.prompt.notes == ()
    graded = read(MESSAGES + "testData:\n  - {q: a, expected: elsewhere}\n" + judge)
    assert graded.fixtures[0].label == Expected("elsewhere")
    assert "'j' (llm) is not scorable by loss" in graded.prompt.notes[0].message


def test_chosen_and_rejected_are_a_preference() -> None:
    suite = read(MESSAGES + "testData:\n  - {q: a, chosen: [x, y], rejected: z}\n")
    assert suite.fixtures[0].label == Preference(("x", "y"), ("z",))
    assert suite.fixtures[0].vars == {"q": "a"}


def test_what_loss_cannot_score_is_listed_and_rows_without_answer_are_counted() -> None:
    suite = read(
        MESSAGES
        + "testData:\n  - {q: a}\n  - {q: b}\nevaluators:\n"
        + "  - name: c\n    string: {contains: x}\n  - name: s\n    uses: github/similarity\n"
    )
    assert suite.fixtures == ()
    assert [note.message for note in suite.prompt.notes] == [
        "evaluator 'c' (contains) is not scorable by loss",
        "evaluator 's' (uses github/similarity) is not scorable by loss",
        "2 testData row(s) without an answer that loss can score: 1, 2",
    ]


def test_one_row_without_an_answer_among_others_is_an_error_with_its_line() -> None:
    with pytest.raises(FixtureError, match=r"prompts/a.prompt.yml:6: testData row 2 has no answer"):
        read(MESSAGES + "testData:\n  - {q: a, expected: x}\n  - {q: b}\n")


def test_an_empty_answer_is_an_error() -> None:
    with pytest.raises(FixtureError, match="the target 'expected' is empty"):
        read(MESSAGES + "testData:\n  - {q: a, expected: ''}\n")


def test_the_json_schema_is_kept_as_data() -> None:
    suite = read(MESSAGES + 'responseFormat: json_schema\njsonSchema: \'{"name": "n", "schema": {}}\'\n')
    assert suite.prompt.metadata["jsonSchema"] == {"name": "n", "schema": {}}


def test_unknown_keys_are_kept_and_never_an_error() -> None:
    assert read(MESSAGES + "futureKey: {a: [1, 2]}\n").prompt.metadata["futureKey"] == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("model: x\n", "no messages"),
        ("messages: []\n", "empty"),
        ("messages:\n  - role: user\n    content: ''\n", "empty"),
        ("messages: hello\n", "should be a list"),
        ("messages:\n  - hello\n", r":2: this should be a mapping"),
        ("messages:\n  - role: boss\n    content: x\n", r":2: 'boss' is not a role"),
        ("messages:\n  - role: user\n", r":2: this message has no content"),
        ("messages:\n  - role: user\n    content: {a: b}\n", r":3: this should be text"),
        ("messages:\n  - role: user\n   content: x\n", r":3: the YAML does not parse"),
        ("messages: []\nmessages: []\n", r":2: the key 'messages' stands here twice"),
    ],
)
def test_a_malformed_file_is_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("path", "head", "claimed"),
    [
        ("a.prompt.yml", b"", True),
        ("a.prompt.yaml", b"", True),
        ("sample.yml", b"name: x\nmodel: m\nmessages:\n", True),
        ("sample.yml", b"messages:\n  - a\n", False),
        ("sample.yml", b"messages:\n  - role: user\n    content: x\n", True),
        ("sample.chat.yml", b"messages:\n  - role: user\nmodel: x\n", False),
        ("texts.yml", b"messages:\n  hello: world\n", False),
        ("compose.yml", b"services:\n  model: x\n", False),
        ("a.json", b"messages:\nmodel:\n", False),
    ],
)
def test_the_schema_is_recognised_by_suffix_or_by_its_keys(path: str, head: bytes, claimed: bool) -> None:
    assert GITHUB.sniff(PurePosixPath(path), head) is claimed
