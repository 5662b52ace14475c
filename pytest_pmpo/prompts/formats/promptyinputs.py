"""The declared inputs of a ``.prompty`` file, of either generation, and the files they refer to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from pytest_pmpo.errors import FormatError, PmpoError
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.filetext import decode
from pytest_pmpo.prompts.formats.paths import inside
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, compose
from pytest_pmpo.prompts.model import Variable

_MEDIA = ("image", "file", "audio", "video")
_REFERENCE = re.compile(r"\$\{file:(.+)\}\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Variables by name, and the names of those that stand for earlier turns."""

    variables: Mapping[str, Variable]
    threads: tuple[str, ...] = ()


def read_inputs(
    document: YamlDocument, fields: Mapping[str, yaml.Node], context: ParseContext, generation: int
) -> Inputs:
    """``inputs`` and, in v1, ``sample``, which v1 falls back on where no value is given.

    Raises:
        FormatError: an input is an image or another medium, or a ``${file:}`` reference leads out of the prompt's
            directory or to a file that cannot be read.
    """
    variables: dict[str, Variable] = {}
    threads: list[str] = []
    for name, node in _declared(document, fields.get("inputs"), context):
        value = _resolved(document, node, document.value(node), context)
        declared = value if isinstance(value, dict) else {"default": value}
        kind = declared.get("kind", declared.get("type"))
        if isinstance(kind, str) and kind.lower() in _MEDIA:
            raise document.error(f"the input {name!r} is of kind {kind}: only text can be scored", node)
        if kind == "thread":
            threads.append(name)
            continue
        default = declared.get("default", declared.get("sample") if generation == 1 else None)
        default = _resolved(document, node, default, context)
        variables[name] = Variable(
            name, default, default is not None, declared.get("required") is True and default is None, _kind(kind)
        )
    sample = _sample(document, fields.get("sample"), context) if generation == 1 else {}
    for name, value in sample.items():
        old = variables.get(name, Variable(name))
        if not old.has_default:
            variables[name] = Variable(name, value, True, False, old.kind)
    return Inputs(variables, tuple(threads))


def _declared(document: YamlDocument, node: yaml.Node | None, context: ParseContext) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        fields = document.fields(node)
        if set(fields) == {"properties"}:
            yield from _declared(document, fields["properties"], context)
        else:
            yield from fields.items()
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            name = document.value(item).get("name") if isinstance(item, yaml.MappingNode) else None
            if not isinstance(name, str):
                raise document.error("this input has no name", item)
            yield name, item


def _sample(document: YamlDocument, node: yaml.Node | None, context: ParseContext) -> dict[str, Any]:
    value = document.value(node)
    if isinstance(value, str) and value.endswith(".json"):
        value = f"${{file:{value}}}"  # early v1 files name the file alone
    resolved = _resolved(document, node, value, context)
    if not isinstance(resolved, dict):
        return {}
    return {key: _resolved(document, node, inner, context) for key, inner in resolved.items()}


def _resolved(document: YamlDocument, node: yaml.Node | None, value: Any, context: ParseContext) -> Any:
    """A value with a ``${file:}`` reference followed; anything else as it is."""
    found = _REFERENCE.match(value) if isinstance(value, str) else None
    if found is None:
        return value
    path = inside(document.file.path, found[1])
    if path is None:
        raise document.error(f"{value} leads out of the prompt's directory", node)
    try:
        return _content(path, context.read(path))
    except FormatError:
        raise
    except PmpoError as error:
        raise document.error(f"{value} cannot be read: {error.message}", node) from error


def _content(path: str, data: bytes) -> Any:
    file = decode(path, data)
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ".json":
        try:
            return json.loads(file.text)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"the JSON does not parse: {error}", location=file.at(0)) from None
    if suffix in (".yml", ".yaml"):
        document = compose(file)
        return document.value(document.root)
    return file.text


def _kind(kind: Any) -> str | None:
    return kind if isinstance(kind, str) else None
