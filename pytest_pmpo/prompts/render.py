"""Prompt + fixture → the turns the model is given.

Each message is rendered on its own, from its own template: whatever a variable's value holds, it can never open a new
turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_pmpo.errors import Location, TemplateError
from pytest_pmpo.prompts.engines import ENGINES, MAX_OUTPUT, Engine, Template
from pytest_pmpo.prompts.model import Fixture, Message, Prompt, Turn

__all__ = ["ENGINES", "MAX_OUTPUT", "MAX_TEMPLATE", "Engine", "Template", "render"]

MAX_TEMPLATE = 2**20
"""Characters the template of one message may have."""


def render(prompt: Prompt, fixture: Fixture) -> tuple[Turn, ...]:
    """The turns of ``prompt`` with the variables of ``fixture``.

    Earlier turns (``fixture.history``) go in before message ``prompt.metadata["history_index"]`` where the format
    marked a place, else before the last user turn, else at the end; they are data, not templates.
    ``prompt.metadata["trim"]`` is what the format's own runner cuts from the ends of each message: ``"blank-lines"``,
    ``"whitespace"``, or nothing.

    Raises:
        TemplateError: with file and line, for an undefined variable, a template that does not parse or run, an
            attempt to leave the sandbox, a limit (see ``budget.py``), or a prompt that renders to nothing.
    """
    engine = ENGINES.get(prompt.engine)
    if engine is None:
        raise TemplateError(f"no engine for {prompt.engine!r} templates", location=Location(prompt.path))
    values = _values(prompt, fixture)
    trim = _TRIMS.get(str(prompt.metadata.get("trim")), str)
    turns = [_turn(engine, Template(m.text, values, prompt, fixture, m), trim) for m in prompt.messages]
    if not any(turn.content.strip() for turn in turns):
        raise TemplateError(
            "the prompt renders to nothing",
            location=Location(prompt.path, prompt.messages[0].line if prompt.messages else None),
            hint=f"every message is blank for fixture {fixture.id!r}",
        )
    place = _history_place(prompt)
    return (*turns[:place], *fixture.history, *turns[place:])


def _values(prompt: Prompt, fixture: Fixture) -> dict[str, Any]:
    values = {name: variable.default for name, variable in prompt.inputs.items() if variable.has_default}
    values.update(fixture.vars)
    for name, variable in prompt.inputs.items():
        if variable.required and name not in fixture.vars:
            whole = Template("", values, prompt, fixture, Message("user", ()))
            raise whole.missing(name)
    return values


def _turn(engine: Engine, template: Template, trim: Callable[[str], str]) -> Turn:
    if len(template.text) > MAX_TEMPLATE:
        raise template.error(f"the message is longer than {MAX_TEMPLATE:,} characters")
    text = engine(template)
    if len(text) > MAX_OUTPUT:
        raise template.error(f"the message renders to more than {MAX_OUTPUT:,} characters")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise template.error(f"the message renders to text that is not Unicode ({error.reason})") from error
    return Turn(template.message.role, trim(text))


def _history_place(prompt: Prompt) -> int:
    place = prompt.metadata.get("history_index")
    if isinstance(place, int) and not isinstance(place, bool):
        return min(max(place, 0), len(prompt.messages))
    users = [index for index, message in enumerate(prompt.messages) if message.role == "user"]
    return users[-1] if users else len(prompt.messages)


def _without_blank_ends(text: str) -> str:
    """``text`` less the blank lines in front of and behind it; the other lines keep their spaces."""
    blank = " \t\r\n"
    first = text.rfind("\n", 0, len(text) - len(text.lstrip(blank))) + 1
    end = text.find("\n", len(text.rstrip(blank)))
    return text[first:] if end < first else text[first:end].removesuffix("\r")


_TRIMS: Mapping[str, Callable[[str], str]] = {"blank-lines": _without_blank_ends, "whitespace": str.strip}
