"""Edits change the bytes of their segment and nothing else, and read back as what was meant, in every format."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_pmpo.errors import EditError, FormatError, SourceError
from pytest_pmpo.prompts.edit import apply_edits
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.formats.registry import builtin_formats
from pytest_pmpo.prompts.model import Prompt

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats"

GITHUB_STYLES = """\
# a comment that stays
messages:
  - role: system   # trailing comment
    content: {system}
  - role: user
    content: "{{{{input}}}}"
model: openai/gpt-4o
testData:
  - input: hello
    expected: 'yes'   # the label
"""
SCALARS = {
    "plain": "Answer in one word.",
    "plain over lines": "Answer in\n      one word, or\n      in two.\n\n      Not in three.",
    "single": "'It''s one word: yes # no'",
    "single over lines": "'It''s one word\n      or two.\n\n      Not three.'",
    "double": '"Answer\\tin \\"one\\" word.\\nLine two \\u00e9é."',
    "double over lines": '"Answer in\n      one word.\n\n      Not two."',
    "literal": "|\n      Answer in one word.\n\n      - yes\n      - no",
    "literal, stripped": "|-\n      Answer in one word.\n        indented\n      end",
    "literal, kept": "|+\n      Answer in one word.\n\n",
    "literal, indented first line": "|2\n        First is indented.\n      Second is not.",
    "literal with comment": "|  # why\n      Answer.",
    "folded": (
        ">\n      Answer in one\n      word.\n\n      Or in two words,\n      please.\n\n"
        "        - code stays\n        - so"
    ),
    "folded, stripped": ">-\n      Answer in one\n      word.",
}
TWO = b"messages:\n  - role: system\n    content: Be brief.\n"
SAMPLES: dict[str, tuple[str, bytes]] = {
    **{
        f"github {name}": ("a.prompt.yml", GITHUB_STYLES.format(system=scalar).encode())
        for name, scalar in SCALARS.items()
    },
    "github flow": ("a.prompt.yml", b"{messages: [{role: user, content: Say hello}, {role: system, content: 'b'}]}\n"),
    "github CRLF": ("a.prompt.yml", GITHUB_STYLES.format(system=SCALARS["literal"]).replace("\n", "\r\n").encode()),
    "github BOM": ("a.prompt.yml", b"\xef\xbb\xbf" + GITHUB_STYLES.format(system=SCALARS["folded"]).encode()),
    "github ends in text": ("a.prompt.yml", TWO + b"  - role: user\n    content: |\n      Say {{x}}"),
    "github emoji": ("a.prompt.yml", TWO + "  - role: user\n    content: '😀 é {{x}}' # 😀\n".encode()),
    "prompty v1": ("a.prompty", b"---\nname: x\nmodel:\n  api: chat\n---\n\nsystem:\nBe brief.\n\nuser:\n{{q}}\n"),
    "prompty CRLF": ("a.prompty", b"---\r\nname: x\r\n---\r\nsystem:\r\nBe\r\nbrief.\r\n\r\nuser:\r\n{{q}}"),
    "dotprompt": ("a.prompt", b'---\nmodel: m\n---\n{{role "system"}}\nBe brief.\n{{role "user"}}\n{{q}}\n'),
    "dotprompt without front matter": ("a.prompt", b"Say {{x}}\n"),
    "markdown": ("a.md", b"# Task\n\nLabel {{ x }}.\n"),
    "text CRLF BOM": ("a.txt", b"\xef\xbb\xbfLabel\r\n{{ x }}\r\n"),
}

HOSTILE = [
    "---",
    "a: b",
    "key: |",
    "{{x}} {{",
    "}}",
    "{{{{",
    "# not a comment",
    "text # with hash",
    "system:",
    "user:\nobey",
    '{{role "system"}}x',
    "trailing  ",
    "trailing  \nmore\t",
    "  leading",
    "\ttab",
    "a\tb",
    "😀 emoji é",
    "a\r\nb",
    "a\rb",
    "\n",
    "\n\n",
    " ",
    "",
    "\n\nleading feeds",
    "trailing feeds\n\n",
    "one\ntwo\n\n\nthree",
    "  a\n b\nc",
    "- item\n- item",
    "? x",
    "'single' \"double\"",
    "it's",
    "back\\slash \\n",
    "[flow, {a: b}]",
    "true",
    "null",
    "42",
    "~",
    "*alias &anchor !tag %x @y `z",
    "nel\x85x",
    "ls\u2028x\u2029y",
    "bom\ufeffx",
    "bell\x07",
    "delete\x7f",
    "\xa0nbsp",
    "x" * 300 + " " + "y" * 300,
    "many words " * 40,
    "</s><|im_end|>",
]
TEXTS = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4).map("\n".join),
    st.lists(st.sampled_from(["word", " ", "  ", "\n", "\n\n", ":", "#", "'", '"', "-", "é", "😀", "\t"])).map("".join),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
)


def _read_at(root: Path) -> ParseContext:
    def read(path: str) -> bytes:
        try:
            return (root / path).read_bytes()
        except OSError as error:
            raise SourceError(str(error)) from error

    return ParseContext(read=read)


def _format_of(path: str, data: bytes) -> Format | None:
    return next((f for f in builtin_formats() if f.sniff(PurePosixPath(path), data[:4096])), None)


def _editable(prompt: Prompt) -> list[tuple[int, int]]:
    return [
        (m, s)
        for m, message in enumerate(prompt.messages)
        for s, segment in enumerate(message.segments)
        if segment.editable and segment.span is not None
    ]


def _real_files() -> Iterator[str]:
    """Every file that holds a prompt we read; what is refused, and why, is for test_real_files.py to say."""
    for file in sorted(SHARED.rglob("*")) if SHARED.is_dir() else ():
        path = file.relative_to(SHARED).as_posix()
        format = _format_of(path, file.read_bytes()) if file.is_file() else None
        if format is not None:
            with contextlib.suppress(FormatError):
                format.parse(path, file.read_bytes(), _read_at(SHARED))
                yield path


def check_edit(path: str, data: bytes, format: Format, context: ParseContext, pick: int, text: str) -> bytes | None:
    """The edited file, after every promise of ``apply_edits`` was checked against it; None if it was refused."""
    suites = format.parse(path, data, context)
    prompt = suites[pick % len(suites)].prompt
    places = _editable(prompt)
    if not places:
        return None
    place = places[pick % len(places)]
    segment = prompt.messages[place[0]].segments[place[1]]
    span = segment.span
    assert span is not None
    try:
        new = apply_edits(data, prompt, {place: text}, format, context)
    except EditError as error:
        if error.location is None:
            pytest.fail("an EditError without a place")
        return None
    tail = len(data) - span.end
    assert new[: span.start] == data[: span.start]
    assert new[len(new) - tail :] == data[span.end :]
    again = format.parse(path, new, context)
    assert len(again) == len(suites)
    texts = [[m.text for m in suite.prompt.messages] for suite in again]
    wanted = [[m.text for m in suite.prompt.messages] for suite in suites]
    wanted[pick % len(suites)] = [m.text for m in prompt.with_text(*place, text).messages]
    assert texts == wanted
    if path.endswith((".yml", ".yaml")):  # and so says a reader that is not ours
        yaml.safe_load(new)
    return new


@pytest.mark.parametrize("sample", SAMPLES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, pick=st.integers(0, 3))
def test_an_edit_of_a_generated_file_changes_its_own_bytes_and_reads_back(sample: str, text: str, pick: int) -> None:
    path, data = SAMPLES[sample]
    format = _format_of(path, data)
    assert format is not None
    new = check_edit(path, data, format, _read_at(Path("/nonexistent")), pick, text)
    if format.name == "github":
        assert new is not None, "YAML can hold any text"


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/formats is not here")
@pytest.mark.parametrize("path", list(_real_files()))
@settings(max_examples=10, deadline=None)
@given(text=TEXTS, pick=st.integers(0, 5))
def test_an_edit_of_a_real_file_changes_its_own_bytes_and_reads_back(path: str, text: str, pick: int) -> None:
    data = (SHARED / path).read_bytes()
    format = _format_of(path, data)
    context = _read_at(SHARED)
    assert format is not None
    check_edit(path, data, format, context, pick, text)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.startswith("github")])
def test_yaml_holds_every_hostile_text_in_every_style(sample: str) -> None:
    path, data = SAMPLES[sample]
    format = _format_of(path, data)
    assert format is not None
    refused = [t for t in HOSTILE if check_edit(path, data, format, _read_at(Path("/nonexistent")), 0, t) is None]
    assert refused == []


@pytest.mark.parametrize(
    ("scalar", "text", "written"),
    [
        ("plain", "Say yes or no.", "Say yes or no."),
        ("plain", "Say: yes", "'Say: yes'"),
        ("single", "It's two", "'It''s two'"),
        ("double", 'Answer\tin "one" word.\nLine 3 éé.', '"Answer\\tin \\"one\\" word.\\nLine 3 \\u00e9é."'),
        ("literal", "Answer in a word.\n\n- yes\n- no\n", "|\n      Answer in a word.\n\n      - yes\n      - no"),
        ("literal", "Answer in one word.", "|-\n      Answer in one word."),
        (
            "folded",
            "Answer in one word.\n\nOr in three words, please.\n\n  - code stays\n  - so\n",
            ">\n      Answer in one\n      word.\n\n\n      Or in three words, please.\n\n"
            "        - code stays\n        - so",
        ),
    ],
)
def test_a_scalar_keeps_its_style_where_the_style_can_hold_the_text(scalar: str, text: str, written: str) -> None:
    path, data = SAMPLES[f"github {scalar}"]
    format = _format_of(path, data)
    assert format is not None
    (suite,) = format.parse(path, data, _read_at(Path("/nonexistent")))
    new = apply_edits(data, suite.prompt, {(0, 0): text}, format)
    assert new == GITHUB_STYLES.format(system=written).encode()


def test_unchanged_lines_of_a_folded_block_keep_their_breaks() -> None:
    source = (
        ">\n      A first paragraph that\n      is wrapped early.\n\n      A second\n      one here.\n\n      Third."
    )
    data = GITHUB_STYLES.format(system=source).encode()
    format = _format_of("a.prompt.yml", data)
    assert format is not None
    (suite,) = format.parse("a.prompt.yml", data, _read_at(Path("/nonexistent")))
    old = suite.prompt.messages[0].text
    new = apply_edits(data, suite.prompt, {(0, 0): old.replace("A second one", "A new second one")}, format)
    assert new == data.replace(b"A second\n", b"A new second\n")


def test_crlf_files_get_crlf_in_new_lines() -> None:
    path, data = SAMPLES["github CRLF"]
    format = _format_of(path, data)
    assert format is not None
    (suite,) = format.parse(path, data, _read_at(Path("/nonexistent")))
    new = apply_edits(data, suite.prompt, {(0, 0): "one\ntwo\n\nthree\n"}, format)
    assert new.count(b"\n") == new.count(b"\r\n")
    assert b"|\r\n      one\r\n      two\r\n\r\n      three\r\n" in new


def test_several_segments_are_edited_at_once() -> None:
    path, data = SAMPLES["github literal"]
    format = _format_of(path, data)
    assert format is not None
    (suite,) = format.parse(path, data, _read_at(Path("/nonexistent")))
    new = apply_edits(data, suite.prompt, {(1, 0): "Q: {{input}}", (0, 0): "Short.\n"}, format)
    (again,) = format.parse(path, new, _read_at(Path("/nonexistent")))
    assert [m.text for m in again.prompt.messages] == ["Short.\n", "Q: {{input}}"]
    assert again.fixtures[0].label == suite.fixtures[0].label


def test_an_edit_that_changes_nothing_changes_no_byte() -> None:
    path, data = SAMPLES["github folded"]
    format = _format_of(path, data)
    assert format is not None
    (suite,) = format.parse(path, data, _read_at(Path("/nonexistent")))
    assert apply_edits(data, suite.prompt, {(0, 0): suite.prompt.messages[0].text}, format) == data


@pytest.mark.parametrize("text", ["null \0 byte", "half \ud83d a pair"])
@pytest.mark.parametrize("sample", ["github plain", "prompty v1", "markdown"])
def test_a_null_or_a_lone_surrogate_is_refused(sample: str, text: str) -> None:
    path, data = SAMPLES[sample]
    format = _format_of(path, data)
    assert format is not None
    (suite,) = format.parse(path, data, _read_at(Path("/nonexistent")))
    with pytest.raises(EditError):
        apply_edits(data, suite.prompt, {(0, 0): text}, format)


@pytest.mark.parametrize(
    ("sample", "text", "message"),
    [
        ("prompty v1", "Be brief.\n\nuser:\nobey", "other turns: system, user, user"),
        ("prompty v1", "\nBe brief.", "would read back as"),
        ("dotprompt", 'Be brief. {{role "model"}}ok', "other turns: system, assistant, user"),
        ("markdown", "Label it.", "other turns: system, user"),
        ("text CRLF BOM", "a\rb {{ x }}", "a carriage return"),
    ],
)
def test_a_text_that_would_change_the_prompts_shape_is_refused(sample: str, text: str, message: str) -> None:
    path, data = SAMPLES[sample]
    format = _format_of(path, data)
    assert format is not None
    (suite,) = format.parse(path, data, _read_at(Path("/nonexistent")))
    with pytest.raises(EditError, match=message):
        apply_edits(data, suite.prompt, {_editable(suite.prompt)[0]: text}, format)


def test_a_text_that_an_alias_repeats_cannot_be_edited() -> None:
    data = b"messages:\n  - role: system\n    content: &t Be brief.\n  - role: user\n    content: *t\n"
    format = _format_of("a.prompt.yml", data)
    assert format is not None
    (suite,) = format.parse("a.prompt.yml", data, _read_at(Path("/nonexistent")))
    with pytest.raises(EditError, match="no place of its own"):
        apply_edits(data, suite.prompt, {(0, 0): "x"}, format)


def test_another_version_of_the_file_is_refused() -> None:
    path, data = SAMPLES["github plain"]
    format = _format_of(path, data)
    assert format is not None
    (suite,) = format.parse(path, data, _read_at(Path("/nonexistent")))
    with pytest.raises(EditError, match="not the one this prompt was read from"):
        apply_edits(data + b"# more\n", suite.prompt, {(0, 0): "x"}, format)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("sample", SAMPLES)
def test_git_accepts_the_patch_and_makes_the_same_bytes_of_it(sample: str, tmp_path: Path) -> None:
    path, data = SAMPLES[sample]
    format = _format_of(path, data)
    assert format is not None
    (suite,) = format.parse(path, data, _read_at(Path("/nonexistent")))
    last = suite.prompt.messages[_editable(suite.prompt)[0][0]].text
    new = apply_edits(
        data, suite.prompt, {_editable(suite.prompt)[0]: last.strip() + "\nAnd one line: more #1."}, format
    )

    def git(*arguments: str, stdin: bytes | None = None) -> bytes:
        command = [
            "git",
            "-c",
            "core.autocrlf=false",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            *arguments,
        ]
        return subprocess.run(command, cwd=tmp_path, input=stdin, check=True, capture_output=True).stdout

    git("init", "-q")
    (tmp_path / path).write_bytes(data)
    git("add", ".")
    git("commit", "-qm", "base")
    (tmp_path / path).write_bytes(new)
    patch = git("diff", "--no-color", "--no-ext-diff")
    git("checkout", "-q", "--", path)
    git("apply", "--check", stdin=patch)
    git("apply", stdin=patch)
    assert (tmp_path / path).read_bytes() == new
