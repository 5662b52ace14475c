"""Plain prompt files: which turns they make, and what front matter changes."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from pytest_pmpo.errors import FormatError
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.paths import reads_nothing
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Prompt

TEXT = TextFormat()


def read(data: bytes, path: str = "prompts/triage.md") -> Prompt:
    (suite,) = TEXT.parse(path, data, ParseContext(read=reads_nothing))
    assert suite.fixtures == ()
    return suite.prompt


def turns(prompt: Prompt) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in prompt.messages]


def test_a_template_with_a_variable_is_one_user_turn() -> None:
    prompt = read(b"Label this ticket:\n\n{{ ticket }}\n")
    assert turns(prompt) == [("user", "Label this ticket:\n\n{{ ticket }}")]
    assert prompt.engine == "jinja2"
    assert prompt.name == "triage"


def test_a_text_without_variables_is_a_system_turn_followed_by_the_input() -> None:
    prompt = read(b"You label tickets.\n")
    assert turns(prompt) == [("system", "You label tickets."), ("user", "{{ input }}")]
    assert not prompt.messages[1].segments[0].editable
    assert prompt.messages[1].segments[0].span is None


def test_front_matter_sets_the_role_and_is_not_part_of_the_text() -> None:
    prompt = read(b"---\nrole: user\nowner: search team\n---\n\nSay hello.\n")
    assert turns(prompt) == [("user", "Say hello.")]
    assert prompt.metadata["owner"] == "search team"
    assert prompt.messages[0].line == 6


def test_a_system_template_with_variables_is_still_followed_by_the_input() -> None:
    prompt = read(b"---\nrole: system\n---\nYou answer in {{ language }}.\n")
    assert turns(prompt) == [("system", "You answer in {{ language }}."), ("user", "{{ input }}")]


def test_front_matter_inputs_are_defaults() -> None:
    prompt = read(b"---\ninputs:\n  tone: polite\n  text:\n---\nBe {{ tone }}: {{ text }}\n")
    assert prompt.inputs["tone"].default == "polite"
    assert not prompt.inputs["text"].has_default


def test_a_horizontal_rule_at_the_top_is_text() -> None:
    prompt = read(b"---\nSome text {{ x }}\n---\nmore\n")
    assert prompt.messages[0].text == "---\nSome text {{ x }}\n---\nmore"


def test_the_span_holds_exactly_the_text_and_leaves_the_line_ends_outside() -> None:
    data = b"\xef\xbb\xbf\r\nH\xc3\xa9llo {{ x }}\r\nline two\r\n\r\n"
    segment = read(data).messages[0].segments[0]
    assert segment.text == "Héllo {{ x }}\nline two"
    assert segment.span is not None
    assert data[segment.span.start : segment.span.end] == "Héllo {{ x }}\r\nline two".encode()


@pytest.mark.parametrize("data", [b"", b"\n \n", b"---\nname: x\n---\n\n"])
def test_an_empty_prompt_is_an_error(data: bytes) -> None:
    with pytest.raises(FormatError, match="empty"):
        read(data)


def test_a_file_that_is_not_utf8_is_an_error_with_its_line() -> None:
    with pytest.raises(FormatError, match=r"prompts/triage.md:2: the file is not UTF-8: byte 0xff"):
        read(b"one\ntwo \xff\n")


def test_an_unknown_role_is_an_error() -> None:
    with pytest.raises(FormatError, match="'boss' is not one of system, user"):
        read(b"---\nrole: boss\n---\nhello\n")


@pytest.mark.parametrize(
    ("path", "claimed"),
    [
        ("prompts/a.md", True),
        ("prompts/a.j2", True),
        ("a.txt", True),
        ("prompts/README.md", False),
        ("requirements.txt", False),
        ("requirements-dev.txt", False),
        ("LICENSE.txt", False),
        ("readme_writer.md", True),
        ("a.yaml", False),
        ("a.fixtures.txt", False),
    ],
)
def test_text_claims_by_suffix_but_not_a_repositorys_own_papers(path: str, claimed: bool) -> None:
    assert TEXT.sniff(PurePosixPath(path), b"") is claimed
