"""promptfoo's CSV tests: columns are variables, ``__expected`` and its like are assertions."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from pytest_pmpo.errors import FormatError, Location
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.formats.promptfoocases import Assertion, Case

_EXPECTED = re.compile(r"__expected\d*\Z")
_TYPED = re.compile(r"(?P<kind>(?:not-)?[a-z][a-z-]*)(?:\((?P<threshold>[\d.]+)\))?:(?P<value>.*)\Z", re.DOTALL)
_CODE = ("python", "javascript", "fn", "eval", "file", "ruby")
# the assertion types of promptfoo's published configuration schema; any other text before a colon is an answer's own
_KINDS = frozenset({
    "answer-relevance", "bleu", "classifier", "contains", "contains-all", "contains-any", "contains-html",
    "contains-json", "contains-sql", "contains-xml", "context-faithfulness", "context-recall", "context-relevance",
    "conversation-relevance", "cost", "equals", "eval", "factuality", "file", "finish-reason", "fn", "g-eval", "gleu",
    "grade", "guardrails", "icontains", "icontains-all", "icontains-any", "is-html", "is-json", "is-refusal", "is-sql",
    "is-valid-function-call", "is-valid-openai-function-call", "is-valid-openai-tools-call", "is-xml", "javascript",
    "latency", "levenshtein", "llm-rubric", "meteor", "model-graded-closedqa", "model-graded-factuality", "moderation",
    "perplexity", "perplexity-score", "pi", "python", "regex", "rouge-n", "ruby", "search-rubric", "select-best",
    "similar", "starts-with", "tool-call-f1", "trace-error-spans", "trace-span-count", "trace-span-duration", "webhook",
    "word-count",
})  # fmt: skip
_BARE = ("is-json", "is-xml", "is-sql", "is-html", "is-refusal", "contains-json", "contains-xml", "contains-html")


def csv_cases(file: FileText) -> Iterator[Case]:
    """One case for every row.

    Raises:
        FormatError: the file is not CSV, or a row does not fit its header.
    """
    reader = csv.reader(io.StringIO(file.text, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            first, line = line, reader.line_num + 1
            if not any(cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                continue
            if len(cells) != len(header):
                raise FormatError(
                    f"the row has {len(cells)} cells, the header {len(header)}", location=Location(file.path, first)
                )
            yield _case(Location(file.path, first), dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise FormatError(f"the CSV does not parse: {error}", location=Location(file.path, line)) from None


def _case(location: Location, row: dict[str, str]) -> Case:
    variables = {name: value for name, value in row.items() if name and not name.startswith("__")}
    asserts = tuple(assertion(value) for name, value in row.items() if _EXPECTED.match(name) and value.strip())
    if row.get("__prefix") or row.get("__suffix"):
        # the text around the prompt differs by row: the prompt as written is not what this row asks
        asserts = (Assertion("text around the prompt (__prefix, __suffix)", is_code=True),)
        variables = dict.fromkeys(variables, "")
    return Case(location, variables, variables, asserts, expands=False)


def assertion(cell: str) -> Assertion:
    """``type(threshold): value``, a bare type, or a text that the answer equals."""
    text = cell.strip()
    if text in _BARE or text.removeprefix("not-") in _BARE:
        return Assertion(text)
    found = _TYPED.match(text)
    if found is None or found["kind"].removeprefix("not-") not in _KINDS:
        return Assertion("equals", text)
    kind, value = found["kind"], found["value"].strip()
    code = kind in _CODE or value.startswith("file://")
    return Assertion({"fn": "javascript", "eval": "javascript", "file": "code"}.get(kind, kind), value, code)
