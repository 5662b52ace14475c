"""Roles under the names the formats give them."""

from __future__ import annotations

import yaml

from pytest_pmpo.errors import FormatError, Location
from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument
from pytest_pmpo.prompts.model import Role

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "tools": "tool",
    "function": "tool",
}


def message_role(document: YamlDocument, name: str | None, node: yaml.Node) -> Role:
    """Our role for a role's name.

    Raises:
        FormatError: no role, or one we do not know.
    """
    if name is None:
        raise document.error("this message has no role", node)
    role = ROLES.get(name.strip().lower())
    if role is None:
        raise document.error(f"{name!r} is not a role", node, hint="use system, user, assistant or tool")
    return role


def empty_prompt(file: FileText, line: int = 1) -> FormatError:
    """The error for a prompt that says nothing."""
    return FormatError("the prompt is empty", location=Location(file.path, line))
