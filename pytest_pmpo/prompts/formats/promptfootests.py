"""promptfoo's tests: inline, in YAML, JSON, JSON Lines and CSV files, with defaults, scenarios and matrices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import yaml

from pytest_pmpo.errors import FormatError
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.documents import compose_file
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.formats.jsondoc import compose_json
from pytest_pmpo.prompts.formats.promptfoocases import MAX_CASES, Assertion, Case
from pytest_pmpo.prompts.formats.promptfoocsv import csv_cases
from pytest_pmpo.prompts.formats.references import code_in, is_remote, paths_of, read_at
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, written
from pytest_pmpo.prompts.model import Note

_MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp3", ".wav", ".mp4", ".pdf")


@dataclass(frozen=True, slots=True)
class Cases:
    """Every test, unfolded, and the text that ``defaultTest`` puts around every prompt."""

    cases: tuple[Case, ...]
    notes: tuple[Note, ...]
    prefix: str = ""
    suffix: str = ""


@dataclass(slots=True)
class _Reader:
    context: ParseContext
    notes: dict[str, Note] = field(default_factory=dict)

    def note(self, message: str, document: YamlDocument, node: yaml.Node) -> None:
        """Keep a note; what is said again is kept once, at its first place."""
        self.notes.setdefault(message, Note(message, document.file.at(document.start(node))))


def read_cases(document: YamlDocument, fields: Mapping[str, yaml.Node], context: ParseContext) -> Cases:
    """The tests of a configuration.

    Raises:
        FormatError: a file is not there, out of the repository or malformed, or there are too many tests.
    """
    reader = _Reader(context)
    default, around = _default(reader, document, fields.get("defaultTest"))
    folded = chain(_tests(reader, document, fields.get("tests")), _scenarios(reader, document, fields.get("scenarios")))
    cases: list[Case] = []
    for number, case in enumerate(folded):
        cases.extend(case.over(default).unfold())
        if max(number, len(cases)) > MAX_CASES:
            raise FormatError(f"the tests unfold to more than {MAX_CASES} cases", location=case.location)
    return Cases(tuple(cases), tuple(reader.notes.values()), around.get("prefix", ""), around.get("suffix", ""))


def _default(reader: _Reader, document: YamlDocument, node: yaml.Node | None) -> tuple[Case, dict[str, str]]:
    nothing = Case(document.file.at(0))
    if node is None or (isinstance(node, yaml.ScalarNode) and written(node) is None):
        return nothing, {}
    name = written(node)
    if name is not None:
        if code_in(name) or is_remote(name):
            reader.note(f"defaultTest {name!r} is code or lies in the network, and is left out", document, node)
            return nothing, {}
        (path, *_) = paths_of(document, node, name, reader.context)
        document = compose_file(read_at(document, node, path, reader.context))
        if document.root is None:
            return nothing, {}
        node = document.root
    options = document.fields(node).get("options")
    around = {}
    if isinstance(options, yaml.MappingNode):
        around = {key: written(value) or "" for key, value in document.fields(options).items()}
    case = _case(reader, document, node, default=True)
    return (case or nothing), {key: around[key] for key in ("prefix", "suffix") if key in around}


def _scenarios(reader: _Reader, document: YamlDocument, node: yaml.Node | None) -> Iterator[Case]:
    for item in node.value if isinstance(node, yaml.SequenceNode) else []:
        if not isinstance(item, yaml.MappingNode):
            reader.note("this scenario is not inline, and is left out", document, item)
            continue
        fields = document.fields(item)
        configs = list(_tests(reader, document, fields.get("config")))
        tests = list(_tests(reader, document, fields.get("tests")))
        for config in configs:
            yield from (test.over(config) for test in tests)


def _tests(reader: _Reader, document: YamlDocument, node: yaml.Node | None) -> Iterator[Case]:
    """The tests a node stands for: a list, one test, or the name of a file of tests."""
    if node is None:
        return
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _tests(reader, document, item)
        return
    if isinstance(node, yaml.MappingNode):
        case = _case(reader, document, node)
        if case is not None:
            yield case
        return
    name = written(node)
    if name is None:
        return
    if code_in(name) or is_remote(name):
        reader.note(f"tests {name!r} are made by code or lie in the network, and are left out", document, node)
        return
    for path in paths_of(document, node, name, reader.context):
        yield from _file_tests(reader, document, node, path)


def _file_tests(reader: _Reader, document: YamlDocument, node: yaml.Node, path: str) -> Iterator[Case]:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in (".csv", ".jsonl", ".json", ".yaml", ".yml"):
        reader.note(f"tests in {path!r} cannot be read: CSV, JSON, JSON Lines or YAML can", document, node)
        return
    file = read_at(document, node, path, reader.context)
    if suffix == ".csv":
        yield from csv_cases(file)
    elif suffix == ".jsonl":
        yield from _jsonl_tests(reader, file)
    else:
        inner = compose_file(file)
        yield from _tests(reader, inner, inner.root)


def _jsonl_tests(reader: _Reader, file: FileText) -> Iterator[Case]:
    for number, line in enumerate(file.text.split("\n"), 1):
        if line.strip():
            inner = compose_json(FileText(file.path, b"", line, first=number))
            yield from _tests(reader, inner, inner.root)


def _case(reader: _Reader, document: YamlDocument, node: yaml.Node, *, default: bool = False) -> Case | None:
    """One test, or None (and a note) where it cannot be scored as it is meant."""
    fields = document.fields(node)
    if "path" in fields and "vars" not in fields:
        reader.note(f"tests {written(fields['path'])!r} are made by code, and are left out", document, node)
        return None
    options = fields.get("options")
    settings = document.fields(options) if isinstance(options, yaml.MappingNode) else {}
    expands = "disableVarExpansion" not in settings or document.value(settings["disableVarExpansion"]) is not True
    if not default and ("prefix" in settings or "suffix" in settings):
        reader.note("a test with its own options.prefix or suffix is left out", document, node)
        return None
    for key in ("transform", "transformVars", "postprocess"):
        if key in settings:
            reader.note(f"options.{key} is code, which is never run", document, settings[key])
    values = _vars(reader, document, fields.get("vars"))
    if values is None:
        return None
    prompts = fields.get("prompts")
    return Case(
        document.file.at(document.start(node)),
        {name: value for name, (value, _) in values.items()},
        {name: text for name, (_, text) in values.items() if text is not None},
        tuple(_asserts(reader, document, fields.get("assert"))),
        tuple(text for text in map(written, prompts.value) if text) if isinstance(prompts, yaml.SequenceNode) else (),
        expands,
    )


def _vars(reader: _Reader, document: YamlDocument, node: yaml.Node | None) -> dict[str, tuple[Any, str | None]] | None:
    """Variables with their values and, for scalars, their text; None (and a note) where one comes from code."""
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        return _vars_files(reader, document, node)
    values: dict[str, tuple[Any, str | None]] = {}
    for name, child in document.fields(node).items():
        text = written(child)
        if text is None or not text.startswith("file://"):
            values[name] = (document.value(child), text)
            continue
        if code_in(text) or PurePosixPath(text).suffix.lower() in _MEDIA:
            reader.note(f"a test whose {name!r} is {text!r} is left out: only text can be scored", document, child)
            return None
        paths = paths_of(document, child, text, reader.context)
        contents = [_content(read_at(document, child, path, reader.context)) for path in paths]
        values[name] = (contents, None) if len(contents) > 1 else (contents[0], contents[0])
    return values


def _vars_files(reader: _Reader, document: YamlDocument, node: yaml.Node) -> dict[str, tuple[Any, str | None]] | None:
    values: dict[str, tuple[Any, str | None]] = {}
    for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        name = written(item)
        if name is None or code_in(name):
            reader.note("a test whose variables come from code is left out", document, item)
            return None
        for path in paths_of(document, item, name, reader.context):
            inner = compose_file(read_at(document, item, path, reader.context))
            values |= _vars(reader, inner, inner.root) or {}
    return values


def _content(file: FileText) -> str:
    if file.path.lower().endswith((".yaml", ".yml")):
        document = compose_file(file)
        return json.dumps(document.value(document.root), ensure_ascii=False)
    return file.text


def _asserts(reader: _Reader, document: YamlDocument, node: yaml.Node | None) -> Iterator[Assertion]:
    for item in node.value if isinstance(node, yaml.SequenceNode) else []:
        if not isinstance(item, yaml.MappingNode):
            continue
        fields = document.fields(item)
        kind = written(fields.get("type")) or "of no type"
        if kind == "assert-set":
            yield from _asserts(reader, document, fields.get("assert"))
            continue
        value = fields.get("value")
        text = written(value)
        if text is None or not text.startswith("file://"):
            # what is text by meaning is kept as it is written: `value: 1.50` is the text 1.50
            yield Assertion(kind, text if text is not None else document.value(value))
        elif code_in(text):
            yield Assertion(kind, None, True)
        else:
            (path, *_) = paths_of(document, value, text, reader.context)
            yield Assertion(kind, _content(read_at(document, value, path, reader.context)).strip())
