"""``testData`` and ``evaluators`` of a GitHub prompt file → fixtures, and notes on what loss cannot score.

A row's answer is, in this order: the first label key it has that the messages do not use themselves; ``chosen`` with
``rejected``; a ``string.equals`` or ``string.startsWith`` evaluator, with its placeholders filled from the row. A
``startsWith`` evaluator that repeats the row's answer makes it a prefix. An ``llm`` evaluator's ``choices`` grade an
answer; they are the possible answers themselves only where the row's own answer is one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pytest_pmpo.errors import FixtureError
from pytest_pmpo.prompts.fixtures import Row, parse_rows
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, plain, written
from pytest_pmpo.prompts.model import Choice, Fixture, Note
from pytest_pmpo.prompts.rows_yaml import require_colons

_MAX_EVALUATORS = 100
_SCORABLE = ("equals", "startsWith")
_STRING_KINDS = (*_SCORABLE, "endsWith", "contains")


@dataclass(frozen=True, slots=True)
class Evaluator:
    """One way the file says an answer is compared."""

    name: str
    kind: str
    value: str = ""
    choices: tuple[str, ...] = ()
    node: yaml.Node | None = None


def read_rows(
    document: YamlDocument, fields: Mapping[str, yaml.Node], context: ParseContext
) -> tuple[tuple[Fixture, ...], tuple[Note, ...]]:
    """Fixtures of the rows that have an answer, and notes on evaluators and rows that loss cannot score.

    Raises:
        FormatError: ``testData`` or ``evaluators`` has the wrong shape.
        FixtureError: an answer is empty, or a row lacks one although nothing explains that.
    """
    if not context.wants_fixtures:
        return (), ()
    evaluators = _evaluators(document, fields.get("evaluators"))
    if "testData" not in fields or _is_nothing(fields["testData"]):
        return (), tuple(_note(document, evaluator, labelled=False) for evaluator in evaluators)
    used = set(re.findall(r"\{\{([^{}]+)\}\}", _message_text(document, fields["messages"])))
    keys = [key for key in context.label_keys if key not in used]
    rows: list[Row] = []
    bare: list[tuple[int, yaml.Node]] = []
    for number, node in enumerate(document.items(fields["testData"], "testData"), 1):
        row = document.fields(node)
        require_colons(document, node)
        label = _label(document, row, keys, evaluators)
        if label is None:
            bare.append((number, node))
            continue
        values = {key: _text(child) for key, child in row.items() if not _is_label(key, keys, row)}
        rows.append(Row({"vars": values, **label}, document.file.at(document.start(node))))
    fixtures = parse_rows(rows)
    notes = [_note(document, evaluator, labelled=bool(fixtures)) for evaluator in _unscorable(evaluators, fixtures)]
    return fixtures, (*notes, *_bare_rows(document, bare, evaluators, fixtures, keys))


def _label(
    document: YamlDocument, row: Mapping[str, yaml.Node], keys: Sequence[str], evaluators: Sequence[Evaluator]
) -> dict[str, Any] | None:
    key = next((key for key in keys if key in row), None)
    if key is not None:
        text = _text(row[key])
        if not text.strip():
            raise FixtureError(f"the target {key!r} is empty", location=document.file.at(document.start(row[key])))
        return _compared(text, row, evaluators)
    if "chosen" in row and "rejected" in row:
        return {"chosen": _texts(row["chosen"]), "rejected": _texts(row["rejected"])}
    for kind in _SCORABLE:
        for evaluator in evaluators:
            text = fill(evaluator.value, row)
            if evaluator.kind == kind and text.strip() and not re.search(r"\{\{\w+\}\}", text):
                return {"prefix" if kind == "startsWith" else "expected": text}
    return None


def _compared(text: str, row: Mapping[str, yaml.Node], evaluators: Sequence[Evaluator]) -> dict[str, Any]:
    for evaluator in evaluators:
        if text in evaluator.choices and len(set(evaluator.choices)) > 1:
            return {"choices": list(dict.fromkeys(evaluator.choices)), "expected": text}
    kinds = {evaluator.kind for evaluator in evaluators if fill(evaluator.value, row) == text}
    return {"prefix" if "startsWith" in kinds and "equals" not in kinds else "expected": text}


def fill(template: str, row: Mapping[str, yaml.Node]) -> str:
    """Literal ``{{key}}`` replacement from a row, in one pass, so that a value cannot bring in another placeholder."""
    return re.sub(r"\{\{([^{}]+)\}\}", lambda m: _text(row[m[1]]) if m[1] in row else m[0], template)


def _is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and written(node) is None


def _evaluators(document: YamlDocument, node: yaml.Node | None) -> list[Evaluator]:
    if node is None or _is_nothing(node):
        return []
    found = []
    items = document.items(node, "evaluators")
    if len(items) > _MAX_EVALUATORS:
        raise document.error(f"more than {_MAX_EVALUATORS} evaluators", node)
    for number, item in enumerate(items, 1):
        fields = document.fields(item)
        name = written(fields.get("name")) or f"#{number}"
        found.append(_evaluator(document, name, item, fields))
    return found


def _evaluator(document: YamlDocument, name: str, item: yaml.Node, fields: Mapping[str, yaml.Node]) -> Evaluator:
    if isinstance(fields.get("string"), yaml.MappingNode):
        string = document.fields(fields["string"])
        for kind in _STRING_KINDS:
            if kind in string:
                return Evaluator(name, kind, written(string[kind]) or "", node=item)
    if isinstance(fields.get("llm"), yaml.MappingNode):
        choices = document.fields(fields["llm"]).get("choices")
        nodes = choices.value if isinstance(choices, yaml.SequenceNode) else []
        texts = [written(document.fields(c).get("choice")) for c in nodes if isinstance(c, yaml.MappingNode)]
        return Evaluator(name, "llm", choices=tuple(t for t in texts if t), node=item)
    return Evaluator(name, f"uses {written(fields['uses'])}" if "uses" in fields else "of no known kind", node=item)


def _unscorable(evaluators: Sequence[Evaluator], fixtures: Sequence[Fixture]) -> list[Evaluator]:
    def scored(evaluator: Evaluator) -> bool:
        if evaluator.kind == "llm":
            return any(isinstance(f.label, Choice) and set(f.label.choices) == set(evaluator.choices) for f in fixtures)
        return evaluator.kind in _SCORABLE

    return [evaluator for evaluator in evaluators if not scored(evaluator)]


def _note(document: YamlDocument, evaluator: Evaluator, *, labelled: bool) -> Note:
    instead = "; the rows' own answers are scored instead" if labelled else ""
    where = None if evaluator.node is None else document.file.at(document.start(evaluator.node))
    return Note(f"evaluator {evaluator.name!r} ({evaluator.kind}) is not scorable by loss{instead}", where)


def _bare_rows(
    document: YamlDocument,
    bare: Sequence[tuple[int, yaml.Node]],
    evaluators: Sequence[Evaluator],
    fixtures: Sequence[Fixture],
    keys: Sequence[str],
) -> list[Note]:
    if not bare:
        return []
    number, node = bare[0]
    if fixtures and not any(evaluator.kind not in _SCORABLE for evaluator in evaluators):
        raise FixtureError(
            f"testData row {number} has no answer although other rows have one",
            location=document.file.at(document.start(node)),
            hint=f"give it one of the keys {', '.join(keys)}",
        )
    rows = ", ".join(str(n) for n, _ in bare)
    where = document.file.at(document.start(node))
    return [Note(f"{len(bare)} testData row(s) without an answer that loss can score: {rows}", where)]


def _is_label(key: str, keys: Sequence[str], row: Mapping[str, yaml.Node]) -> bool:
    first = next((k for k in keys if k in row), None)
    return key == first or (first is None and key in ("chosen", "rejected") and "chosen" in row and "rejected" in row)


def _message_text(document: YamlDocument, node: yaml.Node) -> str:
    contents = (document.fields(item).get("content") for item in document.items(node, "messages"))
    return "\n".join(written(content) or "" for content in contents)


def _texts(node: yaml.Node) -> list[str]:
    return [_text(child) for child in node.value] if isinstance(node, yaml.SequenceNode) else [_text(node)]


def _text(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return written(node) or ""
    return json.dumps(plain(node), ensure_ascii=False)
