"""Names a Jinja template uses: which it prints, and which it only loops over or tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pytest_pmpo.prompts.model import Engine, Message, Variable

_ONLY_USED = re.compile(r"\{%[-+]?\s*(?:for\s+[\w\s,]+\s+in|if|elif)\s+(?:not\s+)?([A-Za-z_]\w*)")
_PRINTED = re.compile(r"\{\{[-+]?\s*([A-Za-z_]\w*)")


def with_implied(declared: Mapping[str, Variable], messages: Iterable[Message], engine: Engine) -> dict[str, Variable]:
    """The declared variables, and one that is empty for every name that is only looped over or tested.

    In Prompty and in promptfoo anything undefined is empty. Printing nothing hides a typing error, so a printed name
    must be set here; but looping over what is not there is how their templates say "optional".
    """
    variables = dict(declared)
    if engine == "jinja2":
        text = "\n".join(message.text for message in messages)
        printed = printed_names(text)
        for name in _ONLY_USED.findall(text):
            if name not in variables and name not in printed:
                variables[name] = Variable(name, default=(), has_default=True, kind="implied")
    return variables


def printed_names(text: str) -> frozenset[str]:
    """Names that begin a ``{{ … }}``."""
    return frozenset(_PRINTED.findall(text))
