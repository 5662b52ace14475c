"""promptfoo: ``promptfooconfig.yaml`` (``.yml``, ``.json``) → its prompts, each with the tests that apply to it.

Nunjucks templates are rendered as Jinja, which is the same for what prompts use; ``dump`` and ``load`` are not there.
Nothing is run: a prompt, a test generator, an assertion or a transform that is code is named and left out. What loss
cannot score is counted by kind and listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

import yaml

from pytest_pmpo.prompts.fixtures import parse_rows
from pytest_pmpo.prompts.formats import yamledit
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.chat import empty_prompt
from pytest_pmpo.prompts.formats.documents import compose_file
from pytest_pmpo.prompts.formats.filetext import decode
from pytest_pmpo.prompts.formats.implied import printed_names, with_implied
from pytest_pmpo.prompts.formats.promptfooasserts import to_row
from pytest_pmpo.prompts.formats.promptfoocases import Case
from pytest_pmpo.prompts.formats.promptfooprompts import Entry, read_entries
from pytest_pmpo.prompts.formats.promptfootests import Cases, read_cases
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, written
from pytest_pmpo.prompts.model import Note, Prompt, PromptSuite, Segment

_KEYS = re.compile(rb"^\"?(prompts|providers|targets|tests|defaultTest|scenarios)\"?[ \t]*:", re.MULTILINE)
_KEPT_OUT = ("prompts", "tests", "defaultTest", "scenarios", "description")


class PromptfooFormat:
    """Reads promptfoo configurations."""

    name = "promptfoo"

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        """By name, or a YAML file with ``prompts`` beside ``providers`` or ``tests``."""
        name = path.name.lower()
        if name.startswith("promptfooconfig") and name.endswith((".yaml", ".yml", ".json")):
            return True
        if not name.endswith((".yaml", ".yml")):
            return False
        keys = set(_KEYS.findall(head))
        return b"prompts" in keys and bool(keys & {b"providers", b"targets", b"tests"})

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        """One suite for every prompt that is text.

        Raises:
            FormatError: the file does not parse, none of its prompts can be read, a file it names is not there or out
                of the repository.
            FixtureError: a label is malformed.
        """
        file = decode(path, data)
        document = compose_file(file)
        if document.root is None:
            raise empty_prompt(file)
        fields = document.fields(document.root)
        if "prompts" not in fields:
            raise document.error("there are no prompts", document.root)
        entries, refused = read_entries(document, fields["prompts"], context)
        if not entries:
            why = "; ".join(note.message for note in refused) or "the list is empty"
            raise document.error(f"no prompt can be read: {why}", fields["prompts"])
        tests = read_cases(document, fields, context)
        used = frozenset().union(*(printed_names(m.text) for entry in entries for m in entry.messages))
        keys = [key for key in context.label_keys if key not in used]
        labelled, unlabelled = _labelled(tests.cases, keys) if context.wants_fixtures else ([], ())
        metadata = {key: document.value(node) for key, node in fields.items() if key not in _KEPT_OUT}
        suites = []
        for plain in entries:
            entry = _surrounded(plain, tests)
            fixtures = parse_rows([row for case, row in labelled if _applies(case, entry)])
            own = (*entry.notes, *refused, *tests.notes, *unlabelled, *_unsupported(document, fields))
            prompt = _prompt(document, fields, entry, len(entries) > 1, metadata, own)
            suites.append(PromptSuite(prompt, fixtures))
        return tuple(suites)

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        """The text in the style its scalar has."""
        return yamledit.encode_segment(segment, text, data, prompt.path)


def _prompt(
    document: YamlDocument,
    fields: Mapping[str, yaml.Node],
    entry: Entry,
    several: bool,
    metadata: Mapping[str, Any],
    notes: tuple[Note, ...],
) -> Prompt:
    return Prompt(
        path=document.file.path,
        format=PromptfooFormat.name,
        engine="jinja2",
        messages=entry.messages,
        digest=document.file.digest,
        name=written(fields.get("description")) or PurePosixPath(document.file.path).name.split(".")[0],
        variant=entry.label if several or entry.labelled else None,
        inputs=with_implied({}, entry.messages, "jinja2"),
        metadata=metadata,
        notes=notes,
    )


def _surrounded(entry: Entry, tests: Cases) -> Entry:
    """The prompt with the text that ``defaultTest.options`` puts in front of and behind it."""
    if not (tests.prefix or tests.suffix) or len(entry.messages) != 1:
        return entry
    (message,) = entry.messages
    around = [Segment(text, editable=False) for text in (tests.prefix, tests.suffix)]
    segments = tuple(segment for segment in (around[0], *message.segments, around[1]) if segment.text)
    return replace(entry, messages=(replace(message, segments=segments),))


def _labelled(cases: tuple[Case, ...], keys: list[str]) -> tuple[list[tuple[Case, Any]], tuple[Note, ...]]:
    labelled, counts, bare = [], dict[str, int](), []
    for case in cases:
        row, unscorable = to_row(case, keys)
        for kind in unscorable:
            counts[kind] = counts.get(kind, 0) + 1
        if row is None:
            bare.append(case)
        else:
            labelled.append((case, row))
    notes = [Note(f"assertion {kind!r} ({count}×) is not scorable by loss") for kind, count in sorted(counts.items())]
    if bare:
        what = f"{len(bare)} of {len(cases)} test(s) have no answer that loss can score"
        notes.append(Note(what, bare[0].location))
    return labelled, tuple(notes)


def _applies(case: Case, entry: Entry) -> bool:
    """Whether a test's ``prompts`` filter, if it has one, names this prompt."""
    return not case.prompts or any(fnmatchcase(name, wanted) for wanted in case.prompts for name in entry.names)


def _unsupported(document: YamlDocument, fields: Mapping[str, yaml.Node]) -> list[Note]:
    notes = []
    for key in ("nunjucksFilters", "extensions"):
        if key in fields:
            notes.append(Note(f"{key} is code, which is never run", document.file.at(document.start(fields[key]))))
    return notes
