"""One line of a bank file ↔ one record. The published schema is ``responses.schema.json`` beside this file."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, get_args

from pytest_pmpo.errors import BankError, Location
from pytest_pmpo.prompts.model import Engine, Message, Prompt, Role, Segment, Variable
from pytest_pmpo.responses.records import Origin, Proposal, Response

SCHEMA = 1
RESPONSE_KEYS = (
    "kind",
    "fixture",
    "response",
    "grade",
    "grader",
    "proposal",
    "input",
    "label",
    "logprob",
    "model",
    "date",
    "source",
    "finished",
    "draw",
)
PROPOSAL_KEYS = (
    "kind",
    "schema",
    "digest",
    "name",
    "engine",
    "undefined",
    "messages",
    "inputs",
    "partials",
    "trim",
    "history_index",
    "opens_with_role",
)
_RENDERING = ("trim", "history_index", "opens_with_role")  # keys of a prompt's metadata that decide what the model sees
_ORIGINS = get_args(Origin)


def parse_line(text: str, location: Location) -> Proposal | Response:
    """The record of one line.

    Raises:
        BankError: with file and line.
    """
    value = _json(text, location)
    kind = value.get("kind", "response")
    if kind == "response":
        return _Reader(value, location, RESPONSE_KEYS).response()
    if kind == "proposal":
        return _Reader(value, location, PROPOSAL_KEYS).proposal()
    raise BankError(f"unknown kind {kind!r}", location=location, hint="'response' or 'proposal'")


def response_line(response: Response) -> str:
    """A response as one line, without its end."""
    values = {
        "fixture": response.fixture,
        "response": response.text,
        "grade": response.grade,
        "grader": response.grader,
        "proposal": response.proposal,
        "input": response.input,
        "label": response.label,
        "logprob": None if response.logprob is None else round(response.logprob, 4),
        "model": response.model,
        "date": response.date,
        "source": response.origin,
        "finished": response.finished,
        "draw": response.draw,
    }
    return _dump({key: value for key, value in values.items() if value is not None})


def proposal_line(proposal: Proposal) -> str:
    """A proposal as one line, without its end."""
    prompt = proposal.prompt
    values: dict[str, Any] = {
        "kind": "proposal",
        "schema": SCHEMA,
        "digest": proposal.digest,
        "name": proposal.name,
        "engine": prompt.engine,
        "undefined": prompt.undefined,
        "messages": [{"role": message.role, "text": message.text} for message in prompt.messages],
    }
    if prompt.inputs:
        values["inputs"] = {name: _variable_value(variable) for name, variable in prompt.inputs.items()}
    if prompt.partials:
        values["partials"] = dict(prompt.partials)
    values |= {key: prompt.metadata[key] for key in _RENDERING if prompt.metadata.get(key) is not None}
    try:
        return _dump(values)
    except TypeError as error:
        raise BankError(
            f"prompt {prompt.path} has a default that JSON does not know, so it cannot be kept in a bank: {error}",
            location=Location(prompt.path),
            hint="write the default as text",
        ) from error


def _variable_value(variable: Variable) -> dict[str, Any]:
    value: dict[str, Any] = {"default": variable.default} if variable.has_default else {}
    return {**value, "required": True} if variable.required else value


def _dump(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # a lone surrogate has no UTF-8; escaped it survives
    return text if text.isascii() or _encodes(text) else json.dumps(value, allow_nan=False)


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json(text: str, location: Location) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BankError(f"not a line of JSON: {error}", location=location) from error
    if not isinstance(value, dict):
        raise BankError("a line is a JSON object", location=location)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is there twice")
    return value


class _Reader:
    """Typed access to the keys of one line, with its place for every complaint."""

    def __init__(self, value: Mapping[str, Any], location: Location, keys: tuple[str, ...]) -> None:
        self.value, self.location = value, location
        for key in value:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, n=1)
                raise self.error(f"unknown key {key!r}", f"did you mean {near[0]!r}?" if near else None)

    def error(self, message: str, hint: str | None = None) -> BankError:
        return BankError(message, location=self.location, hint=hint)

    def get(self, key: str, kind: type | tuple[type, ...], what: str, *, needed: bool = False) -> Any:
        value = self.value.get(key)
        if value is None:
            if needed:
                raise self.error(f"{key!r} is missing")
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(f"{key!r} is {what}, not {value!r:.60}")
        return value

    def text(self, key: str, *, needed: bool = False) -> str | None:
        value: str | None = self.get(key, str, "text", needed=needed)
        if value == "":
            raise self.error(f"{key!r} is empty")
        return value

    def number(self, key: str, fits: Callable[[float], bool], what: str) -> float | None:
        value = self.get(key, (int, float), what)
        if value is None:
            return None
        if not _finite(value) or not fits(value):
            raise self.error(f"{key!r} is {what}, not {value!r:.60}")
        return float(value)

    def one_of(self, key: str, choices: tuple[str, ...], default: str) -> Any:
        value = self.text(key) or default
        if value not in choices:
            raise self.error(f"{key!r} is one of {', '.join(choices)}, not {value!r:.60}")
        return value

    def response(self) -> Response:
        origin: Origin = self.one_of("source", _ORIGINS, "sampled")
        proposal = self.text("proposal")
        if proposal is None and origin != "written":
            raise self.error(
                f"a {origin} response names the prompt it was drawn from",
                "add 'proposal', the digest of a proposal line, or say 'source': 'written'",
            )
        draw = self.get("draw", int, "a whole number")
        finished = self.get("finished", bool, "true or false")
        return Response(
            fixture=str(self.text("fixture", needed=True)),
            text=str(self.text("response", needed=True)),
            grade=self.number("grade", lambda grade: 0 <= grade <= 1, "a number from 0 to 1"),
            grader=self.text("grader"),
            proposal=proposal,
            input=self.text("input"),
            label=self.text("label"),
            logprob=self.number("logprob", lambda value: value <= 0, "a number, at most 0"),
            model=self.text("model"),
            date=self._date(),
            origin=origin,
            finished=True if finished is None else finished,
            draw=draw,
            location=self.location,
        )

    def _date(self) -> str | None:
        value = self.text("date")
        if value is not None:
            try:
                date.fromisoformat(value[:10])
            except ValueError:
                raise self.error(f"'date' is an ISO date such as 2026-11-24, not {value!r:.60}") from None
        return value

    def proposal(self) -> Proposal:
        schema = self.get("schema", int, "a number")
        if schema not in (None, SCHEMA):
            raise self.error(f"schema {schema} is not known here", "update pytest-pmpo")
        messages = self.get("messages", list, "a list of messages", needed=True)
        inputs = self.get("inputs", dict, "an object") or {}
        partials = self.get("partials", dict, "an object") or {}
        if not all(isinstance(text, str) for text in partials.values()):
            raise self.error("'partials' are texts by name")
        prompt = Prompt(
            path=self.location.path,
            format="bank",
            engine=self.one_of("engine", get_args(Engine), "none"),
            messages=tuple(self._message(message) for message in messages),
            digest="",
            name=self.text("name") or "",
            inputs={name: self._variable(name, value) for name, value in inputs.items()},
            undefined=self.one_of("undefined", ("error", "keep", "empty"), "error"),
            partials=partials,
            metadata={key: self.value[key] for key in _RENDERING if key in self.value},
        )
        proposal = Proposal(prompt.name or prompt.template_digest[:8], prompt, self.location)
        if self.text("digest") not in (None, proposal.digest):
            raise self.error(
                "the proposal's text does not fit its digest: the line was edited",
                "restore the line; responses drawn from another text need another proposal",
            )
        return proposal

    def _message(self, value: Any) -> Message:
        if not isinstance(value, dict) or set(value) != {"role", "text"} or not isinstance(value["text"], str):
            raise self.error("a message has a 'role' and a 'text'")
        if value["role"] not in get_args(Role):
            raise self.error(f"{value['role']!r:.60} is no role")
        return Message(value["role"], (Segment(value["text"]),), self.location.line)

    def _variable(self, name: str, value: Any) -> Variable:
        if not isinstance(value, dict) or not set(value) <= {"default", "required"}:
            raise self.error(f"input {name!r} has 'default' or 'required' and nothing else")
        return Variable(name, value.get("default"), "default" in value, bool(value.get("required", False)))


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False
