"""Which variables a prompt's templates use, by name, without rendering them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from pytest_pmpo.prompts.formats.bracetags import tags
from pytest_pmpo.prompts.model import Engine, Prompt

_LITERAL = re.compile(r"\{\{([^\W\d][\w.\-]*)\}\}")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")
_PATH = re.compile(r"(?:@root\.|(?:\.\./)+|this\.|\./)?([A-Za-z_][\w-]*)")
_WORDS = frozenset({
    "if", "unless", "each", "with", "lookup", "log", "json", "role", "history", "media", "section", "ifEquals",
    "unlessEquals", "else", "as", "this", "true", "false", "null",
})  # fmt: skip


def used_variables(prompt: Prompt) -> frozenset[str]:
    """Names of the variables the messages and the partials they may include use.

    For Handlebars and Mustache the names inside a ``#each`` or ``#with`` count too: what they belong to is only known
    once values are there. A template that does not parse uses nothing here; rendering it says why.
    """
    finder = _FINDERS[prompt.engine]
    texts = [message.text for message in prompt.messages]
    if prompt.engine in ("jinja2", "handlebars", "mustache"):
        texts += prompt.partials.values()
    return frozenset(name for text in texts for name in finder(text))


def variables_by_message(prompt: Prompt) -> Iterator[tuple[int, frozenset[str]]]:
    """Index of each message, and the variables its own template uses."""
    finder = _FINDERS[prompt.engine]
    for index, message in enumerate(prompt.messages):
        yield index, frozenset(finder(message.text))


def _literal(text: str) -> frozenset[str]:
    return frozenset(_LITERAL.findall(text))


def _fstring(text: str) -> frozenset[str]:
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    except ValueError:
        return frozenset()
    return frozenset(re.split(r"[.\[]", name)[0] for name in fields)


@lru_cache(maxsize=512)
def _jinja2(text: str) -> frozenset[str]:
    if "{" not in text:
        return frozenset()
    from jinja2 import Environment, TemplateError, meta

    try:
        return frozenset(meta.find_undeclared_variables(Environment(autoescape=False).parse(text)))  # text
    except (TemplateError, RecursionError, ValueError):  # ValueError: a number of thousands of digits
        return frozenset()


def _handlebars(text: str) -> frozenset[str]:
    names: set[str] = set()
    for tag in tags(text):
        if tag.kind in ("comment", "raw") or tag.inner.startswith("/"):
            continue
        inner = _STRING.sub("", tag.inner).strip()
        if inner.startswith(">"):
            inner = inner[1:].strip().partition(" ")[2]
        for word in re.split(r"[\s()]+", inner.lstrip("#^&")):
            found = _PATH.match(word.partition("=")[2] if "=" in word else word)
            if found and found[1] not in _WORDS:
                names.add(found[1])
    return frozenset(names)


def _none(text: str) -> frozenset[str]:
    return frozenset()


_FINDERS: Mapping[Engine, Callable[[str], frozenset[str]]] = {
    "jinja2": _jinja2,
    "literal": _literal,
    "fstring": _fstring,
    "handlebars": _handlebars,
    "mustache": _handlebars,
    "none": _none,
}
