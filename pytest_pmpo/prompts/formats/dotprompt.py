"""Google's dotprompt, ``.prompt``: YAML front matter (a licence comment may precede it) and a Handlebars template.

``name.variant.prompt`` is a variant; ``_name.prompt`` is a partial, no prompt of its own. Picoschema is kept as it is;
its field names become inputs, optional ones (``field?``) print nothing where a fixture leaves them out. Labels come
from a sidecar, from the format's own extension keys (``pmpo.fixtures``), or from ``metadata.pmpo.fixtures``.

Other tools use the suffix for plain text: a file without front matter and without a single ``{{`` is read as
``text.py`` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from pytest_pmpo.errors import FormatError, SourceError
from pytest_pmpo.prompts.formats import braces as braces  # makes the engine known
from pytest_pmpo.prompts.formats import frontmatter, rawtext, roletags, yamldoc
from pytest_pmpo.prompts.formats.base import Insertion, ParseContext
from pytest_pmpo.prompts.formats.chat import empty_prompt
from pytest_pmpo.prompts.formats.filetext import FileText, decode
from pytest_pmpo.prompts.formats.newtags import tag_insertion
from pytest_pmpo.prompts.formats.ownrows import listed_fixtures, own_fixtures
from pytest_pmpo.prompts.formats.text import read_template
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument
from pytest_pmpo.prompts.model import Fixture, Prompt, PromptSuite, Segment, Turn, Variable

_LEAD = re.compile(r"(?:(?:#[^\n]*|[ \t]*\r?)\n)*")
_FIELD = re.compile(r"([^?(]+)(\??)\s*(?:\(.*\))?\s*\Z")
_MAX_PARTIALS = 100


class DotpromptFormat:
    """Reads ``.prompt``."""

    name = "dotprompt"

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        """By suffix; a partial is not a prompt."""
        return path.name.lower().endswith(".prompt") and not path.name.startswith("_")

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        """One prompt, with the fixtures of its extension keys.

        Raises:
            FormatError: front matter that does not parse, an empty prompt, a partial that is not there, a turn that
                opens inside a block, media.
        """
        file = decode(path, data)
        if PurePosixPath(path).name.startswith("_"):
            raise FormatError("this is a partial, no prompt of its own", location=file.at(0))
        lead = _LEAD.match(file.text)
        matter = frontmatter.split(file, lead.end() if lead else 0)
        if matter is None and "{{" not in file.text:
            return (PromptSuite(read_template(file, 0, {}, self.name), ()),)
        document = yamldoc.compose(file, matter.start, matter.end) if matter else None
        fields = document.fields(document.root) if document and document.root is not None else {}
        start, end = matter.body if matter else 0, len(file.text)
        if matter is not None:  # dotprompt trims the template only where there is front matter
            start, end = rawtext.trim(file.text, start, end, None)
        partials = _partials(file, start, end, context)
        turns = roletags.split(file, start, end, partials)
        if not turns.messages:
            raise empty_prompt(file, file.line(min(start, len(file.text))))
        prompt = self._prompt(file, document, fields, turns, partials)
        return (PromptSuite(prompt, _fixtures(document, fields, context)),)

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        """The text itself, with the file's line ends."""
        return rawtext.encode_segment(segment, text, data, decode(prompt.path, data))

    def insertion(self, prompt: Prompt, data: bytes, place: int, turns: Sequence[Turn]) -> Insertion:
        """Role tags with their texts, in front of the tag that opens the turn.

        Raises:
            EditError: the turn has no tag of its own in this file, or a history tag says where earlier turns go.
        """
        return tag_insertion(decode(prompt.path, data), prompt.messages, place, turns)

    def _prompt(
        self,
        file: FileText,
        document: YamlDocument | None,
        fields: Mapping[str, yaml.Node],
        turns: roletags.Turns,
        partials: Mapping[str, FileText],
    ) -> Prompt:
        values = {key: document.value(node) for key, node in fields.items()} if document else {}
        stem, _, variant = PurePosixPath(file.path).name.removesuffix(".prompt").partition(".")
        metadata = {key: value for key, value in values.items() if key not in ("name", "variant")}
        metadata |= {"history_index": turns.history_index, roletags.OPENS_TAGGED: turns.opens_with_role}
        return Prompt(
            path=file.path,
            format=self.name,
            engine="handlebars",
            messages=turns.messages,
            digest=file.digest,
            name=str(values.get("name") or stem),
            variant=str(values.get("variant") or variant) or None,
            inputs=_inputs(values),
            partials={name: source.text for name, source in partials.items()},
            metadata=metadata,
            notes=turns.notes,
        )


def _fixtures(
    document: YamlDocument | None, fields: Mapping[str, yaml.Node], context: ParseContext
) -> tuple[Fixture, ...]:
    if document is None:
        return ()
    return (
        listed_fixtures(document, fields.get("pmpo.fixtures"), context)
        or own_fixtures(document, fields, ("pmpo",), context)
        or own_fixtures(document, fields, ("metadata", "pmpo"), context)
    )


def _partials(file: FileText, start: int, end: int, context: ParseContext) -> dict[str, FileText]:
    """Every partial the template includes, directly or not: ``_name.prompt`` beside it or in a folder above.

    Raises:
        FormatError: one is not there, or there are more than a prompt can need.
    """
    found: dict[str, FileText] = {}
    pending = [(name, file) for name in roletags.included_names(file.text[start:end])]
    while pending:
        name, user = pending.pop()
        if name in found:
            continue
        if len(found) >= _MAX_PARTIALS:
            raise FormatError(f"more than {_MAX_PARTIALS} partials", location=user.at(0))
        found[name] = _find_partial(name, user, PurePosixPath(file.path).parent, context)
        pending += [(inner, found[name]) for inner in roletags.included_names(found[name].text)]
    return found


def _find_partial(name: str, user: FileText, folder: PurePosixPath, context: ParseContext) -> FileText:
    where = user.at(max(0, user.text.find(name)))
    wanted = PurePosixPath(name)
    if wanted.is_absolute() or ".." in wanted.parts:
        raise FormatError(f"the partial {name!r} leads out of the prompts", location=where)
    for parent in (folder, *folder.parents):
        path = str(parent / wanted.parent / f"_{wanted.name}.prompt")
        try:
            return decode(path, context.read(path))
        except SourceError:
            continue
    raise FormatError(
        f"the partial {name!r} is not there", location=where, hint=f"it would be _{wanted.name}.prompt, here or above"
    )


def _inputs(values: Mapping[str, Any]) -> dict[str, Variable]:
    variables: dict[str, Variable] = {}
    declared = values.get("input")
    declared = declared if isinstance(declared, dict) else {}
    schema = declared.get("schema")
    for name, optional, kind in _schema_fields(schema if isinstance(schema, dict) else {}):
        variables[name] = Variable(name, None, optional, False, kind)
    defaults = declared.get("default")
    for name, value in (defaults if isinstance(defaults, dict) else {}).items():
        variables[name] = Variable(name, value, True, False, variables[name].kind if name in variables else None)
    dialect = values.get("variables")
    for one in dialect if isinstance(dialect, list) else []:
        if isinstance(one, dict) and isinstance(one.get("name"), str):  # blogus, another tool's dialect
            name, default = one["name"], one.get("default")
            has_default = default is not None or one.get("required") is False
            variables.setdefault(name, Variable(name, default, has_default, False, None))
    return variables


def _schema_fields(schema: Mapping[str, Any]) -> list[tuple[str, bool, str | None]]:
    """Name, whether it may be left out, and type, of every top field of a Picoschema or a JSON Schema."""
    properties = schema.get("properties")
    if isinstance(properties, dict):
        required = schema.get("required")
        needed = required if isinstance(required, list) else []
        return [
            (name, name not in needed, str(value.get("type")) if isinstance(value, dict) else None)
            for name, value in properties.items()
        ]
    fields = []
    for key, value in schema.items():
        found = _FIELD.match(key)
        if found is not None and found[1].strip() != "(*)":
            kind = value.split(",")[0].strip() if isinstance(value, str) else None
            fields.append((found[1].strip(), bool(found[2]), kind))
    return fields
