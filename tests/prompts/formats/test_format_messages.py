"""OpenAI-style message lists in JSON and YAML."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from pytest_pmpo.errors import FixtureError, FormatError
from pytest_pmpo.prompts.edit import apply_edits
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.messages import MessagesFormat
from pytest_pmpo.prompts.formats.paths import reads_nothing
from pytest_pmpo.prompts.model import Expected, PromptSuite

MESSAGES = MessagesFormat()
CONTEXT = ParseContext(read=reads_nothing)


def read(text: str, path: str = "p/a.messages.json") -> PromptSuite:
    (suite,) = MESSAGES.parse(path, text.encode(), CONTEXT)
    return suite


def turns(suite: PromptSuite) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in suite.prompt.messages]


def test_a_json_list_is_a_prompt() -> None:
    suite = read('[{"role": "developer", "content": "S\\ud83d\\ude00"},\n {"role": "user", "content": "{{q}}"}]')
    assert turns(suite) == [("system", "S😀"), ("user", "{{q}}")]
    assert [message.line for message in suite.prompt.messages] == [1, 2]
    assert suite.prompt.engine == "jinja2"


def test_a_yaml_mapping_may_hold_messages_and_fixtures() -> None:
    text = "name: n\nmessages:\n  - {role: user, content: 'Say {{ q }}'}\nfixtures:\n  - {vars: {q: a}, expected: A}\n"
    suite = read(text, "a.chat.yaml")
    assert suite.prompt.name == "n"
    assert suite.fixtures[0].label == Expected("A")


def test_few_shot_turns_are_kept_in_order() -> None:
    shots = '[{"role":"user","content":"a"},{"role":"assistant","content":"A"},{"role":"user","content":"{{q}}"}]'
    assert turns(read(shots)) == [("user", "a"), ("assistant", "A"), ("user", "{{q}}")]


def test_a_last_turn_of_the_assistant_is_the_answer() -> None:
    suite = read('[{"role": "user", "content": "2+2"},\n {"role": "assistant", "content": "4"}]')
    assert turns(suite) == [("user", "2+2")]
    assert [(f.label, str(f.location)) for f in suite.fixtures] == [(Expected("4"), "p/a.messages.json:2")]


def test_an_answer_behind_templates_is_an_error() -> None:
    with pytest.raises(FixtureError, match=r":1: the last turn is the assistant's"):
        read('[{"role": "user", "content": "{{q}}"}, {"role": "assistant", "content": "4"}]')


def test_text_parts_are_segments_and_images_are_refused() -> None:
    part = '[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "%s", "text": "b"}]}]'
    assert [s.text for s in read(part % "text").prompt.messages[0].segments] == ["a", "b"]
    with pytest.raises(FormatError, match="of type 'image_url': only text can be scored"):
        read(part % "image_url")


@pytest.mark.parametrize(
    ("old", "text", "new"),
    [
        (r'"Caf\u00e9 \/ {{q}}"', "Café / now {{q}}", r'"Caf\u00e9 \/ now {{q}}"'),
        (r'"Caf\u00e9 {{q}}"', "Café é😀 {{q}}", r'"Caf\u00e9 \u00e9\ud83d\ude00 {{q}}"'),
        ('"Café {{q}}"', 'Café é "x"\n{{q}}', r'"Café é \"x\"\n{{q}}"'),
    ],
)
def test_a_json_string_keeps_its_spelling_where_it_stays(old: str, text: str, new: str) -> None:
    head, tail = '[\n  {"role" :"user",  "content": ', "}\n]\n"
    data = (head + old + tail).encode()
    (suite,) = MESSAGES.parse("a.messages.json", data, CONTEXT)
    assert apply_edits(data, suite.prompt, {(0, 0): text}, MESSAGES) == (head + new + tail).encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the JSON does not parse: the file ends too early"),
        ("[]", "empty"),
        ('[{"role": "user", "content": "a"},]', "a comma stands before"),
        ('[{"role": "user" "content": "a"}]', ":1: the JSON does not parse"),
        ('[{"role": "user", "content": "\\ud83d"}]', "half of a surrogate pair"),
        ("[" * 5000, "nests deeper"),
        ('{"model": "x"}', "there are no messages"),
        ('[{"role": "user", "content": "a"}] x', "more behind the end"),
        ('[{"role": "user", "content": nul}]', "unexpected 'n'"),
    ],
)
def test_a_malformed_file_is_an_error(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("path", "head", "claimed"),
    [
        ("a.messages.json", b"", True),
        ("a.chat.yaml", b"", True),
        ("a.json", b'[{"role": "user"', True),
        ("a.json", b'{"messages": [{"role":', True),
        ("package.json", b'{"name": "x"}', False),
        ("a.yaml", b"# c\n- role: user\n  content: x\n", True),
        ("a.yaml", b"- name: x\n", False),
    ],
)
def test_message_lists_are_recognised(path: str, head: bytes, claimed: bool) -> None:
    assert MESSAGES.sniff(PurePosixPath(path), head) is claimed
