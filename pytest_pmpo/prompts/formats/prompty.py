"""``.prompty``, both generations: v1 (PyPI ``prompty`` 0.1, promptflow) and v2 (the specification of 2026).

They are told apart by their keys. Jinja templates mean what Prompty's renderer makes of them, with one difference: a
variable that is printed must be set (Prompty prints nothing, which hides a typing error); one that nothing declares and
that is only looped over or tested is empty, as in Prompty. ``${env:NAME}`` is never looked up. ``${file:NAME}`` is
followed for inputs and samples, inside the prompt's own directory tree. Labels come from a sidecar or from
``metadata.pmpo.fixtures``, the one place that Prompty's own schema leaves to others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from pytest_pmpo.errors import EditError, FormatError
from pytest_pmpo.prompts.formats import braces as braces  # makes the engine known
from pytest_pmpo.prompts.formats import frontmatter, rawtext, rolelines, yamldoc
from pytest_pmpo.prompts.formats.base import Insertion, ParseContext
from pytest_pmpo.prompts.formats.chat import empty_prompt
from pytest_pmpo.prompts.formats.filetext import FileText, decode
from pytest_pmpo.prompts.formats.implied import with_implied
from pytest_pmpo.prompts.formats.ownrows import own_fixtures
from pytest_pmpo.prompts.formats.promptyinputs import Inputs, read_inputs
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument
from pytest_pmpo.prompts.model import Engine, Message, Note, Prompt, PromptSuite, Segment, Turn

_ENGINES: Mapping[str, Engine] = {"jinja2": "jinja2", "mustache": "mustache", "nop": "none"}
_V1_IMAGE = re.compile(r"!\[[^\]\n]{0,300}\]\([^)\n]{0,2000}\)")
_REFUSED_APIS = ("embedding", "image", "audio", "speech")


class PromptyFormat:
    """Reads ``.prompty``."""

    name = "prompty"

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        """By suffix."""
        return path.name.lower().endswith(".prompty")

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        """One prompt, with the fixtures of ``metadata.pmpo.fixtures``.

        Raises:
            FormatError: front matter that does not parse, an empty prompt, images or other media, an engine we lack, a
                reference out of the prompt's directory.
        """
        file = decode(path, data)
        matter = frontmatter.split(file)
        document = yamldoc.compose(file, matter.start, matter.end) if matter else None
        fields = document.fields(document.root) if document and document.root is not None else {}
        metadata = {key: document.value(node) for key, node in fields.items()} if document else {}
        generation = _generation(metadata)
        inputs = read_inputs(document, fields, context, generation) if document else Inputs({})
        body = matter.body if matter else 0
        turns = _turns(file, body, metadata, generation, inputs, document, fields)
        engine = _engine(document, fields, metadata)
        _refuse_media(file, body, generation)
        prompt = Prompt(
            path=path,
            format=self.name,
            engine=engine,
            messages=turns.messages,
            digest=file.digest,
            name=str(metadata.get("name") or PurePosixPath(path).name.split(".")[0]),
            inputs=with_implied(inputs.variables, turns.messages, engine),
            metadata=_metadata(metadata, generation, turns),
            notes=_notes(file, metadata, turns),
        )
        fixtures = own_fixtures(document, fields, ("metadata", "pmpo"), context) if document else ()
        return (PromptSuite(prompt, fixtures),)

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        """The text itself, with the file's line ends."""
        return rawtext.encode_segment(segment, text, data, decode(prompt.path, data))

    def insertion(self, prompt: Prompt, data: bytes, place: int, turns: Sequence[Turn]) -> Insertion:
        """Role lines with their texts, in front of the line that opens the turn.

        Raises:
            EditError: the turn has no role line, or an input stands for earlier turns.
        """
        file = decode(prompt.path, data)
        if "history_index" in prompt.metadata:
            raise EditError("an input of this prompt stands for earlier turns", location=file.at(0))
        return rolelines.insertion(file, prompt.messages, place, turns)


def _generation(metadata: Mapping[str, Any]) -> int:
    model = metadata.get("model")
    model = model if isinstance(model, dict) else {}
    if {"provider", "apiType"} & model.keys() or isinstance(metadata.get("tools"), list):
        return 2
    if {"api", "configuration", "parameters"} & model.keys() or "sample" in metadata:
        return 1
    inputs = metadata.get("inputs")
    declared = list(inputs.values()) if isinstance(inputs, dict) else inputs if isinstance(inputs, list) else []
    if any(isinstance(one, dict) and "kind" in one for one in declared):
        return 2
    return 1 if any(isinstance(one, dict) and "type" in one for one in declared) else 2


def _turns(
    file: FileText,
    body: int,
    metadata: Mapping[str, Any],
    generation: int,
    inputs: Inputs,
    document: YamlDocument | None,
    fields: Mapping[str, yaml.Node],
) -> rolelines.Turns:
    model = metadata.get("model")
    api = str((model.get("api") or model.get("apiType") or "chat") if isinstance(model, dict) else "chat").lower()
    if document is not None and api in _REFUSED_APIS:
        raise document.error(f"an {api} prompt has no text answer to score", fields["model"])
    start, end = rawtext.trim(file.text, body, len(file.text), "\r\n")
    if not file.text[start:end].strip():
        raise empty_prompt(file, file.line(start))
    if api == "completion":
        return rolelines.Turns((Message("user", (rawtext.segment(file, start, end),), file.line(start)),))
    turns = rolelines.split(file, body, generation, inputs.threads)
    if not any(message.text.strip() for message in turns.messages):
        raise empty_prompt(file, file.line(start))
    return turns


def _engine(document: YamlDocument | None, fields: Mapping[str, yaml.Node], metadata: Mapping[str, Any]) -> Engine:
    template = metadata.get("template", "jinja2")
    if isinstance(template, dict):
        template = template.get("format", template.get("type", "jinja2"))
        template = template.get("kind", "jinja2") if isinstance(template, dict) else template
    engine = _ENGINES.get(str(template).lower())
    if engine is None and document is not None:
        raise document.error(
            f"the template format {template!r} is not supported", fields["template"], hint="use jinja2 or mustache"
        )
    return engine or "jinja2"


def _refuse_media(file: FileText, body: int, generation: int) -> None:
    # v2 keeps this Markdown as text and takes media through inputs, which promptyinputs refuses
    image = _V1_IMAGE.search(file.text, body) if generation == 1 else None
    if image is not None:
        raise FormatError(
            f"the prompt shows an image, {image[0][:60]!r}: only text can be scored", location=file.at(image.start())
        )


def _metadata(metadata: Mapping[str, Any], generation: int, turns: rolelines.Turns) -> dict[str, Any]:
    kept = {key: value for key, value in metadata.items() if key not in ("name", "inputs", "sample")}
    kept["generation"] = generation
    kept["trim"] = "blank-lines"
    if turns.history_index is not None:
        kept["history_index"] = turns.history_index
    return kept


def _notes(file: FileText, metadata: Mapping[str, Any], turns: rolelines.Turns) -> tuple[Note, ...]:
    notes = []
    if turns.templated_role is not None:
        what = "a role line made by the template opens no turn: it stays text"
        notes.append(Note(what, file.at(turns.templated_role)))
    if turns.tools is not None:
        notes.append(Note("the tools: section defines tools; it is no turn", file.at(turns.tools)))
    if "base" in metadata:
        notes.append(Note("base: is not followed", file.at(0)))
    return tuple(notes)
