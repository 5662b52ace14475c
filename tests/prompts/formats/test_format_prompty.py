"""Prompty files of both generations: turns, inputs, references, refusals."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_pmpo.errors import FormatError, SourceError
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.prompty import PromptyFormat
from pytest_pmpo.prompts.model import Expected, Prompt, PromptSuite

PROMPTY = PromptyFormat()


def read(text: str, files: Mapping[str, bytes] = {}) -> PromptSuite:  # never written to
    def read_file(path: str) -> bytes:
        if path not in files:
            raise SourceError(f"{path} does not exist")
        return files[path]

    (suite,) = PROMPTY.parse("prompts/a.prompty", text.encode(), ParseContext(read=read_file))
    return suite


def turns(prompt: Prompt) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in prompt.messages]


# the cases of Prompty's own parser conformance vectors (spec/vectors/parse)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Just a plain message", [("system", "Just a plain message")]),
        ("system:\nBe brief.\n\nuser:\nHi\n\nassistant:\nHello!", None),
        ("system:\n\nuser:\nHello", [("system", ""), ("user", "Hello")]),
        ("system:\nThe user: said hello\n\nuser:\nHi", [("system", "The user: said hello"), ("user", "Hi")]),
        ("system:\n  \n  You.  \n  \n\nuser:\n  Hello  ", [("system", "  \n  You.  \n  "), ("user", "  Hello  ")]),
        ("system:\nHelper\n\n\n\nuser:\nHi", [("system", "Helper"), ("user", "Hi")]),
        ("# System :\nA\nUSER:\nB", [("system", "A"), ("user", "B")]),
        ('user[name="Al"]:\nB', [("user", "B")]),
    ],
)
def test_role_lines_open_turns(body: str, expected: list[tuple[str, str]] | None) -> None:
    wanted = expected or [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!")]
    assert turns(read(body).prompt) == wanted
    assert turns(read("---\nname: x\n---\n" + body).prompt) == wanted


def test_the_generation_is_told_by_the_keys() -> None:
    assert read("---\nmodel:\n  api: chat\n---\nx").prompt.metadata["generation"] == 1
    assert read("---\nmodel:\n  apiType: chat\n---\nx").prompt.metadata["generation"] == 2
    assert read("---\ninputs:\n  q:\n    type: string\n---\nx").prompt.metadata["generation"] == 1
    assert read("---\ninputs:\n  - name: q\n    kind: string\n---\nx").prompt.metadata["generation"] == 2


def test_v1_samples_are_the_fallback_and_v2_examples_are_not() -> None:
    v1 = read("---\nmodel: {api: chat}\ninputs:\n  q: {type: string}\nsample: {q: why}\n---\n{{q}}").prompt
    assert (v1.inputs["q"].default, v1.inputs["q"].has_default) == ("why", True)
    v2 = read("---\ninputs:\n  - {name: q, kind: string, example: why, required: true}\n---\n{{q}}").prompt
    assert not v2.inputs["q"].has_default
    assert v2.inputs["q"].required


def test_a_file_reference_is_followed_inside_the_prompts_directory() -> None:
    head = "---\nmodel: {api: chat}\nsample: ${file:data/s.json}\n---\n{{q}}"
    prompt = read(head, {"prompts/data/s.json": b'{"q": [1, 2]}'}).prompt
    assert prompt.inputs["q"].default == [1, 2]


@pytest.mark.parametrize("reference", ["../secret.json", "/etc/passwd", "a/../../b", "C:/x", "~/x"])
def test_a_file_reference_out_of_the_directory_is_refused_with_its_line(reference: str) -> None:
    with pytest.raises(FormatError, match=r"prompts/a.prompty:3: .*leads out of the prompt's directory"):
        read(f"---\nmodel: {{api: chat}}\nsample: ${{file:{reference}}}\n---\nx")


def test_a_missing_file_reference_is_an_error_with_its_line() -> None:
    with pytest.raises(FormatError, match=r"prompts/a.prompty:3: .*cannot be read"):
        read("---\nmodel: {api: chat}\nsample: ${file:none.json}\n---\nx")


def test_environment_references_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    prompt = read("---\nmodel: {apiType: chat}\ninputs:\n  - {name: q, default: '${env:SECRET}'}\n---\n{{q}}").prompt
    assert prompt.inputs["q"].default == "${env:SECRET}"
    assert "hunter2" not in repr(prompt)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\nmodel: {api: chat}\n---\nuser:\n![photo](cat.png)\n", r":5: the prompt shows an image"),
        ("---\ninputs:\n  - {name: p, kind: image}\n---\nx", r":3: the input 'p' is of kind image"),
        ("---\nmodel: {api: embedding}\n---\nx", r"an embedding prompt has no text answer"),
        ("---\ntemplate: liquid\n---\nx", r":2: the template format 'liquid' is not supported"),
        ("---\nname: x\n", r":1: the front matter opens with --- and is never closed"),
        ("---\nname: [x\n---\nhi", r"the YAML does not parse"),
        ("---\nname: x\n---\n\n", r"the prompt is empty"),
        ("system:\n{% if a %}\nuser:\nx\n{% endif %}", r"spans several turns"),
        ("---\n- a\n---\nx", r"should be a mapping"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(text)


def test_markdown_images_are_text_in_v2() -> None:
    text = "---\nmodel: {apiType: chat}\n---\nuser:\n![photo](cat.png)\n"
    assert turns(read(text).prompt) == [("user", "![photo](cat.png)")]


def test_earlier_turns_go_where_the_thread_stands() -> None:
    v2 = "---\ninputs:\n  - {name: talk, kind: thread}\n---\nsystem:\nHelp.\n\n{{talk}}\n\nuser:\nHi"
    for text in (v2, "---\nmodel: {api: chat}\n---\nsystem:\nHelp.\n![thread]\nuser:\nHi"):
        prompt = read(text).prompt
        assert turns(prompt) == [("system", "Help."), ("user", "Hi")]
        assert prompt.metadata["history_index"] == 1


def test_a_name_that_is_only_looped_over_is_optional_and_a_printed_one_is_not() -> None:
    prompt = read("user:\n{% for h in history %}{{ h }}{% endfor %}{{ question }}").prompt
    assert prompt.inputs["history"].has_default
    assert "question" not in prompt.inputs


def test_a_tools_section_is_no_turn_in_v1() -> None:
    prompt = read("---\nmodel: {api: chat}\n---\ntools:\n- id: f\n  type: function\n\nsystem:\nS\nuser:\n{{q}}").prompt
    assert turns(prompt) == [("system", "S"), ("user", "{{q}}")]
    assert [(note.message, note.location.line) for note in prompt.notes if note.location] == [
        ("the tools: section defines tools; it is no turn", 5)
    ]


def test_labels_may_stand_under_metadata_pmpo() -> None:
    suite = read("---\nmetadata:\n  pmpo:\n    fixtures:\n      - vars: {q: a}\n        expected: b\n---\n{{q}}")
    assert suite.fixtures[0].label == Expected("b")
    assert suite.fixtures[0].vars == {"q": "a"}
