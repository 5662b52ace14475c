"""promptfoo configurations: prompts from everywhere, tests in every shape, and code that is never run."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import pytest

from pytest_pmpo.errors import FormatError, SourceError
from pytest_pmpo.prompts.edit import apply_edits
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.promptfoo import PromptfooFormat
from pytest_pmpo.prompts.model import Expected, PromptSuite

PROMPTFOO = PromptfooFormat()
PROMPT = "prompts: ['Say {{q}}']\n"


def context(files: Mapping[str, str]) -> ParseContext:
    def read(path: str) -> bytes:
        if path not in files:
            raise SourceError(f"{path} does not exist")
        return files[path].encode()

    return ParseContext(read=read, glob=lambda pattern: tuple(sorted(p for p in files if fnmatchcase(p, pattern))))


def read(text: str, files: Mapping[str, str] = {}, path: str = "e/promptfooconfig.yaml") -> tuple[PromptSuite, ...]:
    return PROMPTFOO.parse(path, text.encode(), context(files))


def turns(suite: PromptSuite) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in suite.prompt.messages]


def labels(suite: PromptSuite) -> list[object]:
    return [fixture.label for fixture in suite.fixtures]


def notes(suite: PromptSuite) -> list[str]:
    return [note.message for note in suite.prompt.notes]


def test_inline_prompts_are_user_turns_and_variants_of_each_other() -> None:
    one, two = read("prompts:\n  - Say {{q}}\n  - id: b\n    label: polite\n    raw: Please say {{q}}\n")
    assert (turns(one), one.prompt.variant) == ([("user", "Say {{q}}")], "1")
    assert (turns(two), two.prompt.variant) == ([("user", "Please say {{q}}")], "polite")


def test_one_prompt_without_a_label_is_no_variant() -> None:
    (suite,) = read(PROMPT)
    assert suite.prompt.variant is None


def test_a_file_may_hold_several_prompts_and_a_glob_several_files() -> None:
    files = {"e/p/a.txt": "first {{q}}\n---\nsecond {{q}}\n", "e/p/b.txt": "third"}
    suites = read("prompts: file://p/*.txt\n", files)
    assert [turns(s)[0][1] for s in suites] == ["first {{q}}", "second {{q}}", "third"]
    assert [s.prompt.variant for s in suites] == ["e/p/a.txt#1", "e/p/a.txt#2", "e/p/b.txt"]
    assert all(not s.prompt.messages[0].segments[0].editable for s in suites)
    assert suites[0].prompt.messages[0].segments[0].path == "e/p/a.txt"


def test_markdown_is_one_prompt_whatever_lines_it_has() -> None:
    (suite,) = read("prompts: [p.md]\n", {"e/p.md": "one\n---\ntwo\n"})
    assert turns(suite) == [("user", "one\n---\ntwo")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.json", '[{"role": "system", "content": "S"}, {"role": "user", "content": "{{q}}"}]'),
        ("c.yaml", "- role: system\n  content: S\n- role: user\n  content: '{{q}}'\n"),
        ("c.txt", '[{"role": "system", "content": "S"}, {"role": "user", "content": "{{q}}"}]'),
    ],
)
def test_chats_in_files_are_turns(name: str, content: str) -> None:
    (suite,) = read(f"prompts: ['file://{name}']\n", {f"e/{name}": content})
    assert turns(suite) == [("system", "S"), ("user", "{{q}}")]


@pytest.mark.parametrize(
    "chat",
    [
        '  - \'[{"role": "system", "content": "S"}, {"role": "user", "content": "{{q}}"}]\'\n',
        "  - |\n    - role: system\n      content: S\n    - role: user\n      content: '{{q}}'\n",
    ],
)
def test_a_chat_inside_a_text_is_turns_without_bytes_of_their_own(chat: str) -> None:
    (suite,) = read("prompts:\n" + chat)
    assert turns(suite) == [("system", "S"), ("user", "{{q}}")]
    assert all(not m.segments[0].editable and m.segments[0].span is None for m in suite.prompt.messages)


def test_prompts_in_csv_and_jsonl() -> None:
    files = {"e/p.csv": 'prompt,label\n"Say {{q}}, please",nice\n', "e/p.jsonl": "Say {{q}}\nTell {{q}}\n"}
    suites = read("prompts: [file://p.csv, file://p.jsonl]\n", files)
    assert [turns(s)[0][1] for s in suites] == ["Say {{q}}, please", "Say {{q}}", "Tell {{q}}"]
    assert suites[0].prompt.variant == "nice"


@pytest.mark.parametrize(
    "prompt", ["file://p.py", "p.py:make", "p.js", "file://p.mjs:f", "exec:./run", "file://p.ts", "python:x"]
)
def test_code_is_refused_by_name(prompt: str) -> None:
    with pytest.raises(FormatError, match=r"e/promptfooconfig.yaml:1: no prompt can be read: .*is code") as error:
        read(f"prompts: ['{prompt}']\n")
    assert prompt in str(error.value)
    (suite,) = read(f"prompts: ['{prompt}', 'Say {{{{q}}}}']\n")
    assert f"prompt '{prompt}' is code, which is never run" in notes(suite)


@pytest.mark.parametrize(
    ("assertion", "label"),
    [
        ("{type: equals, value: 1.50}", Expected("1.50")),
        ("{type: equals, value: '{{a}}!'}", Expected("A!")),
        ("{type: starts-with, value: Yes}", Expected("Yes", prefix=True)),
        ("{type: similar, value: about this, threshold: 0.8}", Expected("about this")),
        ("{type: factuality, value: the sky is blue}", Expected("the sky is blue")),
        ("{type: levenshtein, value: abc}", Expected("abc")),
        ("{type: equals, value: file://answer.txt}", Expected("from a file")),
        ("{type: equals, value: {k: [1]}}", Expected('{"k": [1]}')),
    ],
)
def test_assertions_that_name_an_answer_are_labels(assertion: str, label: Expected) -> None:
    text = PROMPT + f"tests:\n  - vars: {{q: hi, a: A}}\n    assert: [{assertion}]\n"
    (suite,) = read(text, {"e/answer.txt": "from a file\n"})
    assert labels(suite) == [label]
    assert notes(suite) == []


def test_equals_wins_over_starts_with_and_reference_texts() -> None:
    asserts = "[{type: similar, value: s}, {type: starts-with, value: p}, {type: equals, value: e}]"
    (suite,) = read(PROMPT + f"tests:\n  - vars: {{q: hi}}\n    assert: {asserts}\n")
    assert labels(suite) == [Expected("e")]


def test_what_loss_cannot_score_is_counted_by_kind() -> None:
    asserts = "[{type: contains, value: x}, {type: javascript, value: 'true'}, {type: python, value: file://a.py}]"
    tests = "".join(f"  - vars: {{q: {n}}}\n    assert: {asserts}\n" for n in range(2))
    (suite,) = read(PROMPT + "tests:\n" + tests)
    assert suite.fixtures == ()
    assert notes(suite) == [
        "assertion 'contains' (2×) is not scorable by loss",
        "assertion 'javascript' (2×) is not scorable by loss",
        "assertion 'python' (2×) is not scorable by loss",
        "2 of 2 test(s) have no answer that loss can score",
    ]
    assert str(suite.prompt.notes[-1].location) == "e/promptfooconfig.yaml:3"


def test_a_label_variable_that_no_prompt_uses_is_the_answer() -> None:
    (suite,) = read(PROMPT + "tests:\n  - vars: {q: hi, label: greeting}\n    assert: [{type: contains, value: g}]\n")
    assert labels(suite) == [Expected("greeting")]
    assert suite.fixtures[0].vars == {"q": "hi"}
    (used,) = read("prompts: ['Is {{label}} right for {{q}}?']\ntests:\n  - vars: {q: hi, label: greeting}\n")
    assert used.fixtures == ()


def test_csv_columns_are_variables_and_expectations() -> None:
    csv = (
        "q,__expected,__expected2,__description\n"
        "one,1,,first\n"
        '"two, too",starts-with: II,contains:I,x\n'
        "three,similar(0.8):III,,\n"
        "four,note: this is text,,\n"
        "five,python:len(output) > 3,,\n"
    )
    (suite,) = read(PROMPT + "tests: t.csv\n", {"e/t.csv": csv})
    assert labels(suite) == [Expected("1"), Expected("II", True), Expected("III"), Expected("note: this is text")]
    assert [f.vars["q"] for f in suite.fixtures] == ["one", "two, too", "three", "four"]
    assert [str(f.location) for f in suite.fixtures] == ["e/t.csv:2", "e/t.csv:3", "e/t.csv:4", "e/t.csv:5"]
    assert "assertion 'python' (1×) is not scorable by loss" in notes(suite)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.yaml", "- vars: {q: a}\n  assert: [{type: equals, value: A}]\n- vars: {q: b, label: B}\n"),
        (
            "t.json",
            '[{"vars": {"q": "a"}, "assert": [{"type": "equals", "value": "A"}]},\n{"vars": {"q": "b", "label": "B"}}]',
        ),
        (
            "t.jsonl",
            '{"vars": {"q": "a"}, "assert": [{"type": "equals", "value": "A"}]}\n{"vars": {"q": "b", "label": "B"}}\n',
        ),
    ],
)
def test_tests_in_files_of_every_kind(name: str, content: str) -> None:
    for tests in (f"tests: {name}\n", f"tests:\n  - file://*{name[1:]}\n"):
        (suite,) = read(PROMPT + tests, {f"e/{name}": content})
        assert labels(suite) == [Expected("A"), Expected("B")]
        assert suite.fixtures[1].location is not None
        assert suite.fixtures[1].location.line == (3 if name == "t.yaml" else 2)


def test_lists_among_the_variables_are_a_matrix() -> None:
    head = "prompts: ['{{a}} {{b}} {{c}}']\ntests:\n  - vars: {a: [1, 2], b: [x, y], c: z, label: L}\n"
    (suite,) = read(head)
    assert [(f.vars["a"], f.vars["b"]) for f in suite.fixtures] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    (kept,) = read(head + "    options: {disableVarExpansion: true}\n")
    assert kept.fixtures[0].vars["a"] == [1, 2]


def test_a_matrix_without_end_is_refused() -> None:
    values = "[" + ", ".join(map(str, range(200))) + "]"
    with pytest.raises(FormatError, match="unfolds to more than 20000 cases"):
        read(PROMPT + f"tests:\n  - vars: {{q: {values}, b: {values}, label: L}}\n")


def test_the_default_test_fills_in_variables_and_assertions() -> None:
    text = PROMPT + "defaultTest: {vars: {q: hi, z: 1}, assert: [{type: equals, value: '{{z}}'}]}\n"
    (suite,) = read(text + "tests:\n  - vars: {z: 2}\n  - vars: {q: yo}\n")
    assert labels(suite) == [Expected("2"), Expected("1")]
    assert [f.vars["q"] for f in suite.fixtures] == ["hi", "yo"]


def test_text_around_every_prompt_is_part_of_it() -> None:
    (suite,) = read(PROMPT + "defaultTest: {options: {prefix: 'Now: ', suffix: ' End.'}}\n")
    assert turns(suite) == [("user", "Now: Say {{q}} End.")]
    assert [segment.editable for segment in suite.prompt.messages[0].segments] == [False, True, False]


def test_scenarios_cross_their_configs_with_their_tests() -> None:
    scenario = "scenarios:\n  - config: [{vars: {q: a}}, {vars: {q: b}}]\n    tests:\n      - vars: {label: L}\n"
    (suite,) = read(PROMPT + scenario)
    assert [f.vars["q"] for f in suite.fixtures] == ["a", "b"]


def test_a_test_may_be_for_some_prompts_only() -> None:
    head = "prompts: [{raw: 'A {{q}}', label: a}, {raw: 'B {{q}}', label: b}]\n"
    one, two = read(head + "tests:\n  - {vars: {q: x, label: X}, prompts: [b]}\n  - {vars: {q: y, label: Y}}\n")
    assert (labels(one), labels(two)) == ([Expected("Y")], [Expected("X"), Expected("Y")])


def test_variables_may_come_from_files() -> None:
    (suite,) = read(PROMPT + "tests:\n  - vars: {q: file://q.txt, label: L}\n", {"e/q.txt": "from a file"})
    assert suite.fixtures[0].vars["q"] == "from a file"
    (left_out,) = read(PROMPT + "tests:\n  - vars: {q: file://q.py, label: L}\n  - vars: {q: file://p.png}\n")
    assert left_out.fixtures == ()
    assert "a test whose 'q' is 'file://q.py' is left out: only text can be scored" in notes(left_out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tests: []\n", r":1: there are no prompts"),
        ("prompts: []\n", r":1: no prompt can be read"),
        ("prompts: [file://../../x.txt]\n", r"leads out of the repository"),
        ("prompts: [file:///etc/passwd]\n", r"leads out of the repository"),
        ("prompts: [file://none.txt]\n", r"e/none.txt cannot be read"),
        ("prompts: ['file://*.nothing']\n", r"matches no file"),
        ('prompts: [\'[{"role": "user", "content": {{q}}}]\']\n', r"a chat that cannot be read before"),
        (PROMPT + "tests: none.csv\n", r":2: e/none.csv cannot be read"),
        (PROMPT + "tests: t.csv\n", r"e/t.csv:2: the row has 3 cells, the header 1"),
        (PROMPT + "tests:\n  - vars: [1\n", r"the YAML does not parse"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(text, {"e/t.csv": "q\na,b,c\n"})


def test_an_inline_prompt_is_edited_in_the_configuration() -> None:
    data = b"prompts:\n  - |\n    Say {{q}}\n  - Other {{q}}\ntests: t.yaml\n"
    ctx = context({"e/t.yaml": "- vars: {q: a, label: L}\n"})
    suites = PROMPTFOO.parse("e/promptfooconfig.yaml", data, ctx)
    new = apply_edits(data, suites[0].prompt, {(0, 0): "Say {{q}}\nin one word\n"}, PROMPTFOO, ctx)
    assert new == data.replace(b"    Say {{q}}\n", b"    Say {{q}}\n    in one word\n")


@pytest.mark.parametrize(
    ("path", "head", "claimed"),
    [
        ("promptfooconfig.yaml", b"", True),
        ("promptfooconfig.prompt-builder.yaml", b"", True),
        ("evals.yaml", b"prompts: x\nproviders: y\n", True),
        ("evals.yaml", b"prompts: x\n", False),
        ("a.json", b"", False),
    ],
)
def test_configurations_are_recognised_by_name_or_by_keys(path: str, head: bytes, claimed: bool) -> None:
    assert PROMPTFOO.sniff(PurePosixPath(path), head) is claimed
