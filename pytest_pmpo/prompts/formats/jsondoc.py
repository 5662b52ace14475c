"""JSON as the same node tree as YAML, so that one reader serves both and every text knows its place.

JSON is not read as YAML: YAML 1.1 readers refuse the surrogate pairs (``\\ud83d\\ude00``) that JSON writers love.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

import yaml

from pytest_pmpo.errors import FormatError
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.formats.yamldoc import MAX_DEPTH, MAX_VALUES, PLAIN, YamlDocument

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")
_STRINGS = json.JSONDecoder(strict=False)
_STR = "tag:yaml.org,2002:str"


def compose_json(file: FileText) -> YamlDocument:
    """The JSON text that a file holds.

    Raises:
        FormatError: it does not parse, nests too deeply, or holds half of a surrogate pair.
    """
    reader = _Reader(file)
    root = reader.value(0)
    reader.space()
    if reader.at < len(file.text):
        reader.fail("there is more behind the end of the JSON value")
    return YamlDocument(file, 0, root, frozenset())


class _Reader:
    def __init__(self, file: FileText) -> None:
        self.file, self.text, self.at, self.values = file, file.text, 0, 0

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        where = self.file.at(min(self.at if at is None else at, len(self.text)))
        raise FormatError(f"the JSON does not parse: {what}", location=where)

    def space(self) -> str:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> yaml.Node:
        sign = self.space()
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            self.fail(f"it nests deeper than {MAX_DEPTH} levels or holds more than {MAX_VALUES} values")
        if sign == '"':
            return self.string()
        if sign == "{":
            return self.mapping(depth)
        if sign == "[":
            return self.sequence(depth)
        found = _SCALAR.match(self.text, self.at)
        if found is None:
            self.fail(f"unexpected {sign!r}" if sign else "the file ends too early")
        start, self.at = self.at, found.end()
        return yaml.ScalarNode(PLAIN, found.group(), self.mark(start), self.mark(self.at))

    def mark(self, index: int) -> yaml.error.Mark:
        return yaml.error.Mark(self.file.path, index, 0, 0, None, 0)

    def string(self) -> yaml.ScalarNode:
        start = self.at
        try:
            value, self.at = _STRINGS.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            self.fail(error.msg, error.pos)
        if any("\ud800" <= char <= "\udfff" for char in value):
            self.fail("half of a surrogate pair is no text", start)
        return yaml.ScalarNode(_STR, value, self.mark(start), self.mark(self.at), style='"')

    def sequence(self, depth: int) -> yaml.SequenceNode:
        start, items = self.at, []
        self.at += 1
        while self.space() != "]":
            items.append(self.value(depth + 1))
            self.separator("]")
        self.at += 1
        return yaml.SequenceNode("tag:yaml.org,2002:seq", items, self.mark(start), self.mark(self.at))

    def mapping(self, depth: int) -> yaml.MappingNode:
        start, pairs = self.at, []
        self.at += 1
        while self.space() != "}":
            if self.space() != '"':
                self.fail("a key should stand here, in double quotes")
            key = self.string()
            if self.space() != ":":
                self.fail("a colon should stand here")
            self.at += 1
            pairs.append((key, self.value(depth + 1)))
            self.separator("}")
        self.at += 1
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, self.mark(start), self.mark(self.at))

    def separator(self, close: str) -> None:
        sign = self.space()
        if sign == ",":
            self.at += 1
            if self.space() == close:
                self.fail("a comma stands before the closing bracket")
        elif sign != close:
            self.fail(f"a comma or {close} should stand here")
