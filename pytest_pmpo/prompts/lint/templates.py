"""Rules about the prompt itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_pmpo.errors import Location
from pytest_pmpo.prompts.conflict import conflict_line
from pytest_pmpo.prompts.lint.findings import Finding
from pytest_pmpo.prompts.lint.variables import used_variables, variables_by_message
from pytest_pmpo.prompts.model import Message, Prompt, PromptSuite

_SPACED = re.compile(r"\{\{(?:\s+[\w.-]+\s*|[\w.-]+\s+)\}\}")
_SPECIAL = re.compile(
    r"<\|[a-z_]{2,24}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<<<dotprompt:[a-z:]+>>>", re.IGNORECASE
)
"""Marks that chat templates and runners give a meaning: ChatML's and Llama 3's, Gemma's, Llama 2's, dotprompt's."""


def where(prompt: Prompt, message: Message | None = None) -> Location:
    """The place of a message, or of the prompt."""
    return Location(prompt.path, message.line if message is not None else None)


def lost_placeholders(head: PromptSuite, base: PromptSuite | None) -> Iterator[Finding]:
    """A variable the base used and the head does not: its values no longer reach the model."""
    if base is None:
        return
    before, now = used_variables(base.prompt), used_variables(head.prompt)
    for name in sorted(before - now):
        yield Finding(
            "placeholder-lost", "error", f"the base uses the variable {name!r}, this version does not", _at(head)
        )
    for name in sorted(now - before):
        yield Finding("placeholder-new", "note", f"the variable {name!r} is new since the base", _at(head))


def _at(suite: PromptSuite) -> Location:
    return where(suite.prompt)


def format_only(head: PromptSuite, base: PromptSuite | None) -> Iterator[Finding]:
    """The versions differ in white space alone."""
    if base is None or head.prompt.template_digest == base.prompt.template_digest:
        return
    if _words(head.prompt) == _words(base.prompt):
        yield Finding("format-only", "note", "this version differs from the base in white space only", _at(head))


def _words(prompt: Prompt) -> list[tuple[str, list[str]]]:
    return [(message.role, message.text.split()) for message in prompt.messages]


def unused_inputs(head: PromptSuite) -> Iterator[Finding]:
    """A declared input that no template uses."""
    used = used_variables(head.prompt)
    for name, variable in head.prompt.inputs.items():
        if name not in used and variable.kind != "implied":
            yield Finding("unused-input", "warning", f"the input {name!r} is declared and never used", _at(head))


def system_variables(head: PromptSuite) -> Iterator[Finding]:
    """A variable in a system turn: whatever it holds speaks with the system's voice."""
    for index, names in variables_by_message(head.prompt):
        message = head.prompt.messages[index]
        if message.role == "system" and names and len(head.prompt.messages) > 1:
            listed = ", ".join(sorted(names))
            what = f"what the variable(s) {listed} hold stands in a system turn; untrusted text belongs to the user's"
            yield Finding("role-injection", "warning", what, where(head.prompt, message))


def special_marks(head: PromptSuite) -> Iterator[Finding]:
    """A mark in the prompt's own text that a chat template would take for its own."""
    for message in head.prompt.messages:
        for mark in sorted(set(_SPECIAL.findall(message.text))):
            what = f"{mark!r} is a mark of a chat template: the model may read it as the end of the turn"
            yield Finding("special-mark", "warning", what, where(head.prompt, message))


def conflicts(head: PromptSuite) -> Iterator[Finding]:
    """A merge that was not finished. In plain text both sides and the marks between them reach the model."""
    for message in head.prompt.messages:
        line = conflict_line(message.text)
        if line is not None:
            place = None if message.line is None else message.line + line - 1
            what = "the prompt holds a merge conflict that is not resolved"
            yield Finding("merge-conflict", "error", what, Location(head.prompt.path, place))


def has_marks(text: str) -> str | None:
    """The first mark in a text that could open or close a turn, or None."""
    found = _SPECIAL.search(text)
    return found[0] if found else None


def spaced_placeholders(head: PromptSuite) -> Iterator[Finding]:
    """``{{ name }}`` where only ``{{name}}`` is filled."""
    if head.prompt.engine != "literal":
        return
    for message in head.prompt.messages:
        for found in sorted(set(_SPACED.findall(message.text))):
            what = f"{found} has spaces inside, so this format leaves it as text"
            yield Finding("placeholder-spaces", "warning", what, where(head.prompt, message))


def empty_messages(head: PromptSuite) -> Iterator[Finding]:
    """A turn that says nothing."""
    for message in head.prompt.messages:
        if not message.text.strip():
            yield Finding("empty-turn", "warning", f"the {message.role} turn is empty", where(head.prompt, message))


def unscorable(head: PromptSuite) -> Iterator[Finding]:
    """What the format read but loss cannot score."""
    for note in head.prompt.notes:
        yield Finding("not-scorable", "note", note.message, note.location or _at(head))
