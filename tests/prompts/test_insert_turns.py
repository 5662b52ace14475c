"""Turns put into a file: it reads back as the prompt with those turns, and every other byte is where it was."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_pmpo.errors import EditError
from pytest_pmpo.prompts.edit import apply_edits, insert_turns, is_added, with_turns
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.formats.paths import reads_nothing
from pytest_pmpo.prompts.formats.registry import builtin_formats
from pytest_pmpo.prompts.model import Expected, Fixture, Prompt, Turn
from pytest_pmpo.prompts.render import render

GITHUB = """\
# a comment that stays
messages:
  - role: system   # trailing comment
    content: |
      Be brief.

      - one word
  # the question
  - role: user
    content: "{{input}}"
model: openai/gpt-4o
testData:
  - input: hello
    expected: 'yes'   # the label
"""
WIDE = "messages:\n-   role: system\n    content: Be brief.\n-   content: >-\n      Say\n      {{x}}\n    role: user\n"
PRETTY = """[
  {
    "role": "system",
    "content": "Be brief \\ud83d\\ude00."
  },
  {
    "role": "user",
    "content": "{{ q }}"
  }
]
"""
CHAT = '{"_type": "chat", "input_variables": ["q"], "messages": [{"role": "system", "content": "Be {{brief}}."}, '
FILES: dict[str, tuple[str, bytes]] = {
    "github": ("a.prompt.yml", GITHUB.encode()),
    "github CRLF": ("a.prompt.yml", GITHUB.replace("\n", "\r\n").encode()),
    "github BOM": ("a.prompt.yml", b"\xef\xbb\xbf" + GITHUB.encode()),
    "github wide dashes, folded, keys turned round": ("a.prompt.yml", WIDE.encode()),
    "github kept block in front": (
        "a.prompt.yml",
        b"messages:\n  - role: system\n    content: |+\n      Be brief.\n\n\n  - role: user\n    content: '{{x}}'\n",
    ),
    "github flow": ("a.prompt.yml", b"{messages: [{role: system, content: b}, {role: user, content: 'Say {{x}}'}]}\n"),
    "github flow over lines": (
        "a.prompt.yml",
        b"messages: [\n  {role: system, content: b},  # why\n  {role: user, content: 'Say {{x}}'}\n]\n",
    ),
    "github first": ("a.prompt.yml", b"messages:\n- role: user\n  content: Say {{x}}\nmodel: m\n"),
    "messages YAML": ("a.messages.yaml", b"- role: developer\n  content: Be\n- role: user\n  content: '{{ q }}'\n"),
    "messages JSON": ("a.messages.json", PRETTY.encode()),
    "messages JSON, minified": (
        "a.messages.json",
        b'{"messages":[{"role":"system","content":"B"},{"role":"user","content":[{"type":"text","text":"{{ q }}"}]}]}',
    ),
    "messages with an answer": (
        "a.chat.yaml",
        b"- role: user\n  content: What is 2+2?\n- role: assistant\n  content: four\n",
    ),
    "langchain": ("a.json", (CHAT + '{"role": "human", "content": "{q}"}]}').encode()),
    "langchain with AI turns": (
        "a.json",
        (
            CHAT
            + '{"role": "user", "content": "1"}, {"role": "ai", "content": "2"}, {"role": "user", "content": "{q}"}]}'
        ).encode(),
    ),
    "prompty": ("a.prompty", b"---\nname: x\nmodel:\n  api: chat\n---\n\nsystem:\nBe brief.\n\nuser:\n{{q}}\n"),
    "prompty CRLF": ("a.prompty", b"---\r\nname: x\r\n---\r\nsystem:\r\nBe\r\nbrief.\r\n\r\nuser:\r\n{{q}}"),
    "dotprompt": ("a.prompt", b'---\nmodel: m\n---\n{{role "system"}}\nBe brief.\n{{role "user"}}\n{{q}}\n'),
    "dotprompt bare, umlaut": ("a.prompt", "{{role \"system\"}}Sei knäpp.{{~role 'user'~}}\n{{q}}\n".encode()),
}
TEXTS = st.text(
    st.one_of(st.sampled_from(list("ab :#-'\"\\\n{}%|>&*!é😀\u2028\x85\t")), st.characters(codec="utf-8")),
    min_size=1,
    max_size=40,
)


def read(path: str, data: bytes) -> tuple[Format, Prompt]:
    format = next(f for f in builtin_formats() if f.sniff(PurePosixPath(path), data[:4096]))
    return format, format.parse(path, data, ParseContext(read=reads_nothing))[0].prompt


def last_user(prompt: Prompt) -> int:
    return max(number for number, message in enumerate(prompt.messages) if message.role == "user")


def said(prompt: Prompt) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in prompt.messages]


@pytest.mark.parametrize("name", FILES)
def test_the_file_reads_back_as_the_prompt_with_the_turns(name: str) -> None:
    path, data = FILES[name]
    format, prompt = read(path, data)
    turns = [Turn("user", 'One: #1\n  two "é"'), Turn("assistant", "yes"), Turn("user", "- x"), Turn("assistant", "no")]
    new = insert_turns(data, prompt, last_user(prompt), turns, format)
    again = read(path, new)[1]
    wanted = with_turns(prompt, last_user(prompt), turns)
    assert said(again) == said(wanted)
    assert again.template_digest == wanted.template_digest
    assert sum(map(is_added, wanted.messages)) == 4


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=TEXTS, answered=TEXTS)
def test_whatever_the_text_every_other_byte_stays_or_the_turns_are_refused(
    name: str, asked: str, answered: str
) -> None:
    path, data = FILES[name]
    format, prompt = read(path, data)
    turns = [Turn("user", asked), Turn("assistant", answered)]
    try:
        new = insert_turns(data, prompt, last_user(prompt), turns, format)
    except EditError:
        return
    assert said(read(path, new)[1]) == said(with_turns(prompt, last_user(prompt), turns))
    front = next((i for i, (a, b) in enumerate(zip(data, new, strict=False)) if a != b), len(data))
    assert any(new == data[:at] + new[at : at + len(new) - len(data)] + data[at:] for at in range(front, -1, -1)), (
        "more than one run of bytes was put in"
    )


@pytest.mark.parametrize("name", ["github", "messages JSON", "langchain", "prompty", "dotprompt"])
def test_plain_words_are_never_refused(name: str) -> None:
    path, data = FILES[name]
    format, prompt = read(path, data)
    for text in ("yes", "no: # 1", "Text: a\nLabel: b", "- {x}" if name != "langchain" else "- x", "'\"", "Größe 😀"):
        assert insert_turns(data, prompt, last_user(prompt), [Turn("user", text)], format) != data


def test_turns_and_new_text_go_into_one_file() -> None:
    path, data = FILES["github"]
    format, prompt = read(path, data)
    edited = apply_edits(data, prompt, {(0, 0): "Be very brief.\n"}, format)
    both = insert_turns(edited, read(path, edited)[1], 1, [Turn("user", "a"), Turn("assistant", "b")], format)
    assert said(read(path, both)[1]) == [
        ("system", "Be very brief.\n"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "{{input}}"),
    ]
    assert b"# trailing comment" in both
    assert both.endswith(b"expected: 'yes'   # the label\n")


def test_the_rendered_turns_alternate_as_chat_templates_want_them() -> None:
    path, data = FILES["dotprompt"]
    format, prompt = read(path, data)
    new = insert_turns(data, prompt, 1, [Turn("user", "a"), Turn("assistant", "b")], format)
    turns = render(read(path, new)[1], Fixture("f", {"q": "c"}, Expected("d")))
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("path", "data", "reason"),
    [
        ("a.md", b"Label {{ x }}.\n", "holds no turns one by one"),
        ("a.prompt", b"Say {{x}}\n", "no role tag"),
        ("a.prompt", b'{{role "system"}}a{{history}}{{role "user"}}{{q}}', "a history tag says"),
        ("a.prompty", b"---\nname: x\n---\nWho is {{q}}?\n", "a file of|no role line|there is no"),
        ("a.prompt.yml", b"messages: &m\n  - role: user\n    content: '{{x}}'\nagain: *m\n", "an alias repeats"),
        (
            "a.json",
            b'{"_type": "chat", "input_variables": [], "messages": [{"role": "system", "content": "x"}, '
            b'{"lc": 1, "type": "constructor", "id": ["MessagesPlaceholder"], "kwargs": {"variable_name": "h"}}, '
            b'{"role": "user", "content": "{q}"}]}',
            "without a messages placeholder",
        ),
    ],
)
def test_a_file_that_has_no_place_for_turns_says_why(path: str, data: bytes, reason: str) -> None:
    format, prompt = read(path, data)
    with pytest.raises(EditError, match=reason):
        insert_turns(data, prompt, len(prompt.messages) - 1, [Turn("user", "a")], format)


@pytest.mark.parametrize("text", ["", "a\0b", "\ud800"])
def test_text_that_no_file_can_hold_is_refused(text: str) -> None:
    path, data = FILES["github"]
    format, prompt = read(path, data)
    with pytest.raises(EditError, match="a turn needs text"):
        insert_turns(data, prompt, 1, [Turn("user", text)], format)


def test_a_text_is_spelled_as_a_person_would() -> None:
    path, data = FILES["github"]
    format, prompt = read(path, data)
    turns = [Turn("user", "a\nb"), Turn("assistant", '{"team": "bug"}'), Turn("user", "yes"), Turn("assistant", "it's")]
    new = insert_turns(data, prompt, 1, turns, format).decode()
    assert "content: |-\n      a\n      b\n" in new
    assert """content: '{"team": "bug"}'\n""" in new
    assert 'content: "yes"\n' in new
    assert 'content: "it\'s"\n' in new
