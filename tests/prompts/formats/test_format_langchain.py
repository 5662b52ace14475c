"""LangChain's saved prompts: templates, few-shot examples, chats, and the serialised form read as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest

from pytest_pmpo.errors import FormatError, SourceError, TemplateError
from pytest_pmpo.prompts.edit import apply_edits
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.langchain import LangChainFormat
from pytest_pmpo.prompts.model import Expected, Fixture, Prompt
from pytest_pmpo.prompts.render import render

LANGCHAIN = LangChainFormat()


def read(content: str | dict[str, Any], files: Mapping[str, str] = {}, path: str = "p/a.yaml") -> Prompt:
    def read_file(name: str) -> bytes:
        if name not in files:
            raise SourceError(f"{name} does not exist")
        return files[name].encode()

    text = content if isinstance(content, str) else json.dumps(content)
    (suite,) = LANGCHAIN.parse(path, text.encode(), ParseContext(read=read_file))
    return suite.prompt


def rendered(prompt: Prompt, **values: object) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in render(prompt, Fixture("f", values, Expected("x")))]


def test_a_prompt_is_one_user_turn_formatted_as_an_f_string() -> None:
    prompt = read(
        "_type: prompt\ninput_variables: [a]\ntemplate: 'Say {a} as {{json}}: {b}'\npartial_variables: {b: B}\n"
    )
    assert rendered(prompt, a="hi") == [("user", "Say hi as {json}: B")]


def test_the_type_may_be_missing_and_the_template_in_a_file() -> None:
    for files in ({"p/t/x.txt": "Tell {a}\n"}, {"t/x.txt": "Tell {a}\n"}):
        prompt = read("input_variables: [a]\ntemplate_path: t/x.txt\n", files)
        assert rendered(prompt, a="hi") == [("user", "Tell hi\n")]
        assert not prompt.messages[0].segments[0].editable


@pytest.mark.parametrize("template", ["{a.__class__}", "{a[0]}", "{0}", "{}"])
def test_reaching_into_values_is_refused(template: str) -> None:
    prompt = read({"_type": "prompt", "template": template}, path="p/a.json")
    with pytest.raises(TemplateError):
        rendered(prompt, a="x")


@pytest.mark.parametrize(
    ("format_name", "template", "text"),
    [("jinja2", "Say {{ a }}", "Say <b>"), ("mustache", "Say {{a}} {{{a}}}", "Say &lt;b&gt; <b>")],
)
def test_other_template_formats(format_name: str, template: str, text: str) -> None:
    pytest.importorskip("dotpromptz_handlebars", reason="the extra 'dotprompt' is not installed")
    prompt = read({"_type": "prompt", "template": template, "template_format": format_name}, path="p/a.json")
    assert rendered(prompt, a="<b>") == [("user", text)]


FEW_SHOT = """\
_type: few_shot
input_variables: [adjective]
prefix: Write antonyms for the following words.
example_prompt:
  _type: prompt
  input_variables: [input, output]
  template: "Input: {input}\\nOutput: {output}"
examples: EXAMPLES
suffix: "Input: {adjective}\\nOutput:"
"""
WRITTEN = (
    "Write antonyms for the following words.\n\nInput: happy\nOutput: sad\n\nInput: tall\nOutput: short\n\n"
    "Input: big\nOutput:"
)


@pytest.mark.parametrize(
    ("examples", "files"),
    [
        ("[{input: happy, output: sad}, {input: tall, output: short}]", {}),
        ("e.json", {"p/e.json": '[{"input": "happy", "output": "sad"}, {"input": "tall", "output": "short"}]'}),
        ("e.yaml", {"p/e.yaml": "- {input: happy, output: sad}\n- {input: tall, output: short}\n"}),
    ],
)
def test_few_shot_examples_stand_between_prefix_and_suffix(examples: str, files: dict[str, str]) -> None:
    prompt = read(FEW_SHOT.replace("EXAMPLES", examples), files)
    assert rendered(prompt, adjective="big") == [("user", WRITTEN)]
    editable = [segment.text for segment in prompt.messages[0].segments if segment.editable]
    assert editable == ["Write antonyms for the following words.", "Input: {adjective}\nOutput:"]


def test_prefix_and_suffix_are_edited_in_place() -> None:
    data = FEW_SHOT.replace("EXAMPLES", "[{input: happy, output: sad}]").encode()

    def nothing(path: str) -> bytes:
        raise SourceError(path)

    (suite,) = LANGCHAIN.parse("a.yaml", data, ParseContext(read=nothing))
    new = apply_edits(data, suite.prompt, {(0, 0): "Give the opposite."}, LANGCHAIN)
    assert new == data.replace(b"Write antonyms for the following words.", b"Give the opposite.")


def test_a_saved_chat_is_read_as_langchain_reads_it() -> None:
    message = {"prompt": {"_type": "prompt", "input_variables": ["a"], "template": "Say {a}"}}
    prompt = read({"_type": "chat", "input_variables": ["a"], "messages": [message, message]}, path="p/a.json")
    assert rendered(prompt, a="hi") == [("user", "Say hi")]
    assert prompt.notes[0].message == "LangChain's loader reads the first message only; 1 more left out"


def _lc(name: str, **kwargs: object) -> dict[str, object]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "prompts", "chat", name], "kwargs": kwargs}


def test_the_serialised_form_is_read_as_data() -> None:
    messages = [
        _lc(
            "SystemMessagePromptTemplate", prompt=_lc("PromptTemplate", template="Be {mood}.", input_variables=["mood"])
        ),
        _lc("MessagesPlaceholder", variable_name="history"),
        _lc("HumanMessage", content="Look: {braces}"),
        _lc("AIMessage", content="Yes."),
        _lc("HumanMessagePromptTemplate", prompt=_lc("PromptTemplate", template="{q}")),
    ]
    prompt = read(_lc("ChatPromptTemplate", messages=messages, input_variables=["mood", "q"]), path="p/a.json")
    assert rendered(prompt, mood="calm", q="why?") == [
        ("system", "Be calm."),
        ("user", "Look: {braces}"),
        ("assistant", "Yes."),
        ("user", "why?"),
    ]
    assert prompt.metadata["history_index"] == 1


def test_messages_with_roles_are_turns() -> None:
    text = "_type: chat\nmessages:\n  - {role: system, content: 'Be {mood}.'}\n  - {role: human, content: '{q}'}\n"
    assert rendered(read(text), mood="calm", q="why?") == [("system", "Be calm."), ("user", "why?")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_type: agent\n", "type 'agent' is not supported"),
        ("_type: prompt\n", "there is no template"),
        ("template: ''\n", "the prompt is empty"),
        ("template_path: ../../etc/x.txt\n", "leads out of the repository"),
        ("template_path: /etc/x.txt\n", "leads out of the repository"),
        ("template_path: x.py\n", "'x.py' is not a .txt file"),
        ("template_path: x.txt\n", r"a.yaml:1: 'x.txt' cannot be read"),
        ("template: x\ntemplate_format: liquid\n", r":2: the template format 'liquid' is not supported"),
        ("_type: few_shot\nsuffix: x\nexample_selector: {a: b}\n", "picks examples by code"),
        (
            "_type: few_shot\nsuffix: x\nexample_prompt: {template: '{a}'}\nexamples: [{b: 1}]\n",
            r":4: example 1 does not",
        ),
        ("_type: chat\n", "there are no messages"),
        ("_type: chat\nmessages: [{role: boss, content: x}]\n", "'boss' is not a role"),
    ],
)
def test_what_cannot_be_read_is_an_error(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("path", "head", "claimed"),
    [
        ("a.yaml", b"_type: prompt\n", True),
        ("a.json", b'{"_type": "few_shot"}', True),
        ("a.json", b'{"input_variables": [], "template": "x"}', True),
        ("a.yaml", b"template: x\n", False),
        ("a.json", b'{"lc": 1, "id": ["PromptTemplate"]}', True),
        ("a.md", b"_type: prompt\n", False),
    ],
)
def test_langchain_files_are_recognised_by_their_keys(path: str, head: bytes, claimed: bool) -> None:
    assert LANGCHAIN.sniff(PurePosixPath(path), head) is claimed
