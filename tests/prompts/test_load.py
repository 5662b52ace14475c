"""A prompt file with the fixtures of the file and of its sidecar, from disk and from a commit."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from pytest_pmpo.errors import FixtureError, FormatError, Location, SourceError
from pytest_pmpo.prompts.fixtures import Row, parse_rows
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.registry import builtin_formats
from pytest_pmpo.prompts.load import LABEL_KEYS, load, load_fixtures, load_prompts, sidecar, sidecar_names
from pytest_pmpo.prompts.model import Expected, Message, Note, Prompt, PromptSuite, Segment
from pytest_pmpo.prompts.source import WorkingTree

GITHUB = "messages:\n- role: user\n  content: 'Is {{input}} spam?'\ntestData:\n- input: x\n  expected: y\n"


class Lines:
    """A format for tests: every line is a prompt; ``#id`` lines are fixtures; ``<path`` lines include a file."""

    name = "lines"

    def __init__(self) -> None:
        self.contexts: list[ParseContext] = []

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        return path.suffix == ".lines"

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        self.contexts.append(context)
        suites, rows = [], []
        for number, line in enumerate(data.decode().splitlines(), 1):
            if line.startswith("#"):
                if context.wants_fixtures:
                    rows.append(Row({"id": line[1:], "expected": "from the file"}, Location(path, number)))
                continue
            text = context.read(line[1:]).decode() if line.startswith("<") else line
            message = Message("user", (Segment(text),), number)
            notes = (Note("an evaluator that loss cannot score"),)
            suites.append(Prompt(path, self.name, "jinja2", (message,), "0", variant=str(number), notes=notes))
        fixtures = parse_rows(rows)
        return tuple(PromptSuite(prompt, fixtures) for prompt in suites)

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        raise AssertionError("loading writes nothing")


def write(root: Path, **files: str | bytes) -> WorkingTree:
    for name, data in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())
    return WorkingTree(root)


def test_the_fixtures_of_the_file_come_first_then_those_of_the_sidecar(tmp_path: Path) -> None:
    source = write(tmp_path, **{"p/a.lines": "one\n#f1\n", "p/a.fixtures.yaml": "- {id: s1, expected: beside}\n"})
    (suite,) = load(source, "p/a.lines", [Lines()])
    assert [(f.id, f.location) for f in suite.fixtures] == [
        ("f1", Location("p/a.lines", 2)),
        ("s1", Location("p/a.fixtures.yaml", 1)),
    ]


def test_a_sidecar_is_for_every_prompt_of_the_file(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.lines": "one\ntwo\n", "a.fixtures.yaml": "- {id: s1, expected: beside}\n"})
    assert [[f.id for f in suite.fixtures] for suite in load(source, "a.lines", [Lines()])] == [["s1"], ["s1"]]


@pytest.mark.parametrize("suffix", ["yaml", "yml", "jsonl", "json", "csv"])
def test_a_sidecar_may_have_any_of_the_suffixes(tmp_path: Path, suffix: str) -> None:
    text = {"csv": "expected\nx\n", "json": '[{"expected": "x"}]', "jsonl": '{"expected": "x"}'}.get(
        suffix, "- expected: x"
    )
    source = write(tmp_path, **{"a.lines": "one", f"a.fixtures.{suffix}": text})
    assert load(source, "a.lines", [Lines()])[0].fixtures[0].label == Expected("x")


def test_the_names_of_a_sidecar_are_the_file_name_less_one_or_two_suffixes() -> None:
    assert sidecar_names("p/triage.prompt.yml")[::5] == ("p/triage.prompt.fixtures.yaml", "p/triage.fixtures.yaml")
    assert sidecar_names("a.md") == tuple(f"a.fixtures.{suffix}" for suffix in ("yaml", "yml", "jsonl", "json", "csv"))
    assert sidecar_names("a")[0] == "a.fixtures.yaml"
    assert sidecar_names("x.y/a.1.2.md")[::5] == ("x.y/a.1.2.fixtures.yaml", "x.y/a.1.fixtures.yaml")


def test_variants_share_a_sidecar(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.v1.lines": "one", "a.v2.lines": "two", "a.fixtures.yaml": "- expected: x\n"})
    assert sidecar(source, "a.v1.lines") == sidecar(source, "a.v2.lines") == "a.fixtures.yaml"


@pytest.mark.parametrize("other", ["a.fixtures.csv", "a.b.fixtures.yaml"])
def test_two_sidecars_are_an_error(tmp_path: Path, other: str) -> None:
    source = write(tmp_path, **{"a.b.lines": "one", "a.fixtures.yaml": "", other: ""})
    with pytest.raises(FixtureError, match="two sidecar files") as caught:
        load(source, "a.b.lines", [Lines()])
    assert other in caught.value.message
    assert caught.value.location == Location("a.b.lines")


def test_an_id_in_the_file_and_in_the_sidecar_is_an_error(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.lines": "one\n#x\n", "a.fixtures.yaml": "- {id: x, expected: y}\n"})
    with pytest.raises(FixtureError, match="exists already") as caught:
        load(source, "a.lines", [Lines()])
    assert (caught.value.location, caught.value.hint) == (Location("a.fixtures.yaml", 1), "first at a.lines:2")


@pytest.mark.parametrize("beside", [{}, {"p/a.fixtures.yaml": "[]"}])
def test_a_prompt_without_fixtures_says_where_to_put_them_and_what_was_left_out(
    tmp_path: Path, beside: dict[str, str]
) -> None:
    source = write(tmp_path, **{"p/a.prompt.lines": "one", **beside})
    with pytest.raises(FixtureError, match="no fixtures") as caught:
        load(source, "p/a.prompt.lines", [Lines()])
    assert "an evaluator that loss cannot score" in caught.value.message
    assert "p/a.fixtures.yaml" in (caught.value.hint or "")
    assert caught.value.location == Location("p/a.prompt.lines")


def test_prompts_can_be_loaded_without_fixtures(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.lines": "one\n#x\n#x\n", "a.fixtures.yaml": "not: [closed"})
    (suite,) = load_prompts(source, "a.lines", [Lines()])
    assert (suite.prompt.messages[0].text, suite.fixtures) == ("one", ())


def test_fixtures_can_be_loaded_without_prompts(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.lines": "one", "a.fixtures.yaml": "- expected: x\n"})
    assert load_fixtures(source, "a.lines")[0].label == Expected("x")
    assert load_fixtures(source, "b.lines") == ()


def test_a_format_reads_other_files_of_the_same_version_only(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.lines": "<part.txt\n#x\n", "part.txt": "included", "b.lines": "<../part.txt\n#x\n"})
    format_ = Lines()
    assert load(source, "a.lines", [format_])[0].prompt.messages[0].text == "included"
    assert format_.contexts[0].glob("*.txt") == ("part.txt",)
    with pytest.raises(SourceError, match="does not stay inside"):
        load(source, "b.lines", [format_])


def test_label_keys_reach_the_format(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.lines": "one\n#x\n"})
    format_ = Lines()
    load(source, "a.lines", [format_])
    load(source, "a.lines", [format_], label_keys=["gold"])
    assert [context.label_keys for context in format_.contexts] == [LABEL_KEYS, ("gold",)]


@pytest.mark.parametrize("data", [b"one\n\xff", "one".encode("utf-16")])
def test_a_prompt_that_is_no_utf8_is_an_error_with_line_and_byte(tmp_path: Path, data: bytes) -> None:
    source = write(tmp_path, **{"a.lines": data})
    with pytest.raises(FormatError, match="byte 0xff at offset") as caught:
        load(source, "a.lines", [Lines()])
    assert caught.value.location == Location("a.lines", 1 + data.startswith(b"one"))


def test_a_file_no_format_claims_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.xyz": ""})
    with pytest.raises(FormatError, match="no format claims"):
        load(source, "a.xyz", [Lines()])


def test_fixtures_named_in_place_of_their_prompt_say_so(tmp_path: Path) -> None:
    source = write(tmp_path, **{"a.fixtures.jsonl": "{}"})
    with pytest.raises(FormatError, match="this belongs to a prompt and is none") as caught:
        load(source, "a.fixtures.jsonl", builtin_formats())
    assert caught.value.hint == "name the prompt beside it"


def test_a_missing_file_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        load(WorkingTree(tmp_path), "a.lines", [Lines()])


def test_the_formats_of_this_package_load_with_sidecars(tmp_path: Path) -> None:
    files = {
        "a.prompt.yml": GITHUB,
        "b.md": "Is {{ input }} spam?\n",
        "c.prompty": "---\nname: c\n---\nsystem:\nBe short.\n\nuser:\nIs {{input}} spam?\n",
        "b.fixtures.yaml": "- {vars: {input: x}, expected: y}\n",
        "c.fixtures.csv": "input,expected\nx,y\n",
    }
    source = write(tmp_path, **files)
    for name in ("a.prompt.yml", "b.md", "c.prompty"):
        (suite,) = load(source, name, builtin_formats())
        assert [(f.vars, f.label) for f in suite.fixtures] == [({"input": "x"}, Expected("y"))], name


@pytest.mark.parametrize("name", ["a.fixture.yaml", "a.fixtures.yam", "a.fixures.jsonl", "A.Fixture.csv"])
def test_a_file_that_looks_like_a_sidecar_and_is_not_called_as_one_is_named(tmp_path: Path, name: str) -> None:
    source = write(
        tmp_path, **{"p/a.lines": "one\n", f"p/{name}": "- {id: s1, expected: x}\n", "p/b.fixtures.yaml": ""}
    )
    with pytest.raises(FixtureError, match="no fixtures") as caught:
        load(source, "p/a.lines", [Lines()])
    assert caught.value.hint == f"is p/{name} meant to hold them? Then call it p/a.fixtures.yaml"


def test_an_empty_sidecar_is_named_as_such(tmp_path: Path) -> None:
    source = write(tmp_path, **{"p/a.lines": "one\n", "p/a.fixtures.yaml": "[]\n"})
    with pytest.raises(FixtureError, match="no fixtures") as caught:
        load(source, "p/a.lines", [Lines()])
    assert caught.value.hint == "p/a.fixtures.yaml holds none"


CONFLICT = b"<<<<<<< HEAD\r\nid,expected\r\n=======\r\nid,input\r\n>>>>>>> other\r\n"


def test_a_file_that_a_merge_conflict_keeps_from_being_read_says_so_with_its_line(tmp_path: Path) -> None:
    """What the parser stumbles over is not what is wrong."""
    source = write(tmp_path, **{"a.prompt.yml": GITHUB.encode() + CONFLICT})
    with pytest.raises(FormatError, match="merge conflict") as caught:
        load(source, "a.prompt.yml", builtin_formats())
    assert caught.value.location == Location("a.prompt.yml", 7)
    source = write(tmp_path, **{"b.md": "Is it spam?", "b.fixtures.csv": CONFLICT})
    with pytest.raises(FixtureError, match="merge conflict") as sidecar_error:
        load_fixtures(source, "b.md")
    assert sidecar_error.value.location == Location("b.fixtures.csv", 1)
