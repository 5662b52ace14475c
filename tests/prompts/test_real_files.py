"""Prompt files nobody here wrote: what becomes of each, and that no damage to them gets past our own errors."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from pytest_pmpo.errors import FormatError, PmpoError, SourceError
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.formats.registry import builtin_formats
from pytest_pmpo.prompts.lint import lint

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "formats"
DOCS = ROOT / "docs" / "formats.md"
MUTATIONS = 2_000
FORMATS = {format.name: format for format in builtin_formats()}

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/formats is not here")

# what no file of the collection shows: message lists, LangChain, plain text
GENERATED = {
    "messages": [
        (
            "a.messages.json",
            b'[{"role": "system", "content": "S \\ud83d\\ude00"},\n {"role": "user", "content": "{{q}}"}]',
        ),
        (
            "a.chat.yaml",
            b"messages:\n  - {role: user, content: 'Say {{ q }}'}\nfixtures:\n  - {vars: {q: a}, expected: A}\n",
        ),
        (
            "b.messages.json",
            b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],\n "more": [1, null]}',
        ),
    ],
    "langchain": [
        (
            "a.yaml",
            b"_type: few_shot\nprefix: P {x}\nexample_prompt: {template: 'I: {i}'}\nexamples:\n  - {i: 1}\nsuffix: S\n",
        ),
        (
            "a.json",
            b'{"lc": 1, "id": ["PromptTemplate"],\n "kwargs": {"template": "Say {a}", "partial_variables": {"b": 1}}}',
        ),
        (
            "b.yaml",
            b"_type: chat\nmessages:\n  - {role: system, content: 'Be {mood}.'}\n  - {prompt: {template: '{q}'}}\n",
        ),
    ],
    "text": [
        ("a.md", "---\nrole: user\ninputs: {a: 1}\n---\n\n# Tïtle\n\n{{ x }}\n".encode()),
        ("a.j2", b"{% for x in xs %}{{ x }}{% endfor %}\r\n"),
    ],
}


def _context(extra: dict[str, bytes] | None = None) -> ParseContext:
    def read(path: str) -> bytes:
        if extra and path in extra:
            return extra[path]
        try:
            return (SHARED / path).read_bytes()
        except OSError as error:
            raise SourceError(f"{path} cannot be read") from error

    def glob(pattern: str) -> tuple[str, ...]:
        return tuple(sorted(p.relative_to(SHARED).as_posix() for p in SHARED.glob(pattern)))

    return ParseContext(read=read, glob=glob)


def _claimed(path: str, data: bytes) -> Format | None:
    return next((f for f in FORMATS.values() if f.sniff(PurePosixPath(path), data[:4096])), None)


def _manifest() -> list[str]:
    entries = json.loads((SHARED / "manifest.json").read_text("utf-8"))["files"]
    return [entry["file"].removeprefix("formats/") for entry in entries]


def _fate(path: str) -> tuple[str, str]:
    """``read``, ``partial`` or ``refused``, and why not wholly."""
    data = (SHARED / path).read_bytes()
    format = _claimed(path, data)
    if format is None:
        return "refused", "a partial, included by other prompts; no prompt of its own"
    try:
        suites = format.parse(path, data, _context())
    except FormatError as error:
        line = f"line {error.location.line}: " if error.location else ""
        return "refused", line + error.message
    notes = [note.message for suite in suites for note in suite.prompt.notes]
    return ("partial", "; ".join(dict.fromkeys(notes))) if notes else ("read", "")


def table() -> str:
    """The table of docs/formats.md, from the files."""
    lines = ["| file | format | | why not wholly |", "|---|---|---|---|"]
    for path in sorted(_manifest()):
        fate, why = _fate(path)
        folder, _, name = path.partition("/")
        escaped = why.replace("|", "\\|").replace("{{", "`{{").replace("}}", "}}`") if why else ""
        lines.append(f"| {name} | {folder} | {fate} | {escaped} |")
    return "\n".join(lines)


@needs_shared
def test_the_documented_table_says_what_becomes_of_each_of_the_29_files() -> None:
    assert len(_manifest()) == 29
    documented = re.search(r"<!-- files -->\n(.*?)\n<!-- /files -->", DOCS.read_text("utf-8"), re.DOTALL)
    assert documented is not None
    assert documented[1] == table()


@needs_shared
def test_the_labels_of_github_files_are_found_in_them() -> None:
    counts = {}
    for path in _manifest():
        if path.startswith("github-models/"):
            (suite,) = FORMATS["github"].parse(path, (SHARED / path).read_bytes(), _context())
            counts[PurePosixPath(path).name] = len(suite.fixtures)
    assert counts == {
        "spam-detection.prompt.yml": 7,
        "ai-detection.prompt.yml": 6,
        "sample_prompt.yml": 2,
        "example-custom.prompt.yml": 0,
        "issue-triage.prompt.yml": 0,
        "duplicate-comparison.prompt.yml": 0,
        "json-schema.prompt.yml": 0,
    }


@needs_shared
def test_every_span_holds_the_bytes_of_its_text() -> None:
    for path in _manifest():
        data = (SHARED / path).read_bytes()
        format = _claimed(path, data)
        if format is None or _fate(path)[0] == "refused":
            continue
        for suite in format.parse(path, data, _context()):
            for message in suite.prompt.messages:
                for segment in message.segments:
                    if segment.span is not None and segment.path is None:
                        written = data[segment.span.start : segment.span.end].decode()
                        # whatever the style, the words stand there in order
                        for word in re.findall(r"\w+", segment.text)[:50]:
                            assert word in written


def _samples(name: str) -> list[tuple[str, bytes]]:
    files = list(GENERATED.get(name, []))
    if SHARED.is_dir():
        for file in sorted(SHARED.rglob("*")):
            path = file.relative_to(SHARED).as_posix()
            if file.is_file():
                format = _claimed(path, file.read_bytes())
                if format is not None and format.name == name:
                    files.append((path, file.read_bytes()))
    return files


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """``data`` with bytes flipped, a piece cut out, a piece of ``other`` spliced in, or all of that."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3) if len(data) > 300 else 1):
        kind = chance.choice(("flip", "cut", "splice", "token", "truncate"))
        at = chance.randrange(len(changed) + 1)
        if kind == "flip" and changed:
            for _ in range(chance.randint(1, 4)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
        elif kind == "cut":
            del changed[at : at + chance.randint(1, 60)]
        elif kind == "splice" and other:
            start = chance.randrange(len(other))
            changed[at:at] = other[start : start + chance.randint(1, 200)]
        elif kind == "token":
            changed[at:at] = chance.choice(TOKENS)
        else:
            del changed[at:]
    return bytes(changed)


TOKENS = (
    *(b"\n---\n", b"{{", b"}}", b"{%", b"%}", b"*a ", b"&a ", b"<<: *a\n", b"!!python/object:x ", b"? ", b": ", b"- "),
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\t", b"'", b'"', b"|", b">", b"[", b"]", b"{", b"}", b"file://"),
    *(b"${file:../../x}", b"[" * 200, b"{a: " * 200, b"9" * 5000, b"\xc2\x85", b"\xe2\x80\xa8", b'{{role "system"}}'),
    *(b"\nuser:\n", b"{{>x}}", b"{{#each x}}", b"\\ud83d", b"exec:x", b"1e999", b"~", b"__expected"),
)


def _mutants(name: str) -> Iterator[tuple[str, bytes]]:
    samples = _samples(name)
    chance = random.Random(f"pmpo {name}")
    others = [data for _, data in samples]
    for number in range(MUTATIONS):
        path, data = samples[number % len(samples)]
        yield path, mutated(data, chance.choice(others), chance)


@pytest.mark.parametrize("name", list(FORMATS))
def test_no_damage_to_a_file_gets_past_our_own_errors(name: str) -> None:
    if not _samples(name):
        pytest.skip("../shared/data/formats is not here")
    format, context = FORMATS[name], _context()
    outcomes = {"read": 0, "refused": 0}
    for path, data in _mutants(name):
        _claimed(path, data)
        try:
            suites = format.parse(path, data, context)
        except PmpoError as error:
            assert error.location is not None, (path, error)  # noqa: PT017  # the point is that only ours are raised
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            for suite in suites:
                lint(suite, suites[0])  # which renders every fixture
    assert min(outcomes.values()) > MUTATIONS // 50, "the damage should leave some files readable and some not"
