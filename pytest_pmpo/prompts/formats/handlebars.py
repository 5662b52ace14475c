"""Handlebars and Mustache templates, through Google's published ``dotpromptz-handlebars`` (the extra ``dotprompt``).

That package renders data only: a path walks mappings and lists, never attributes, and calls nothing but registered
helpers. What it does not bound is work, so every pass of a loop here pays for the most it can print (``budget.py``),
and partials are measured with everything they include before anything is rendered.

Printing a variable that is not set is an error; asking about one (``#if``, ``#each``) is not.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pytest_pmpo.prompts.budget import LimitError, bounded, pay, weight
from pytest_pmpo.prompts.engines import MAX_OUTPUT, Template
from pytest_pmpo.prompts.formats.bracetags import tags
from pytest_pmpo.prompts.formats.roletags import OPENS_TAGGED

MAX_DEPTH = 50
"""Levels of blocks and partials; each takes a handful of Python frames."""
_GUARD = "{{pmpo_guard}}"  # prints nothing, but stands where a role tag stood: the tag's line is not blank
_PARTIAL = re.compile(r"#?>\s*(\S+)")
_RAW = re.compile(r"\{\{\{\s*([^{}]+?)\s*\}\}\}|\{\{&\s*([^{}]+?)\s*\}\}")
_MAX_INDENT = 16


def render_handlebars(template: Template) -> str:
    """Handlebars as dotprompt has it: no HTML escaping, and the helpers ``json``, ``ifEquals``, ``unlessEquals``."""
    text = _guarded(template)
    return _render(template, text, dict(template.values))


def render_mustache(template: Template) -> str:
    """Mustache as LangChain and Prompty have it: ``& " < >`` are escaped, except in ``{{{x}}}`` and ``{{&x}}``."""
    text = _RAW.sub(lambda m: f"{{{{pmpo_raw {m[1] or m[2]}}}}}", template.text)
    return _render(template, text, _escaped(dict(template.values)))


def _render(template: Template, text: str, values: Any) -> str:
    if "{{" not in text:
        return text
    try:
        from dotpromptz_handlebars import StrictModeError
    except ImportError:
        raise template.error(
            f"{template.prompt.engine} templates need a package that is not installed",
            hint="pip install 'pytest-pmpo[dotprompt]'",
        ) from None
    partials = tuple(sorted(template.prompt.partials.items()))
    try:
        with bounded():
            size, prints = _measure(text, template.prompt.partials)
            weight(values)
            unit = 1 + size // 8 + prints * (1 + _longest(values) // 8)
            pay(unit)
            rendered = _compile(text, partials, template.prompt.undefined == "error")(_metered(values, unit))
    except StrictModeError as error:
        raise template.missing(re.sub(r"\A(?:\.\./|this\.|\./)+", "", error.path)) from error
    except LimitError as error:
        raise template.error(str(error)) from error
    except RecursionError as error:
        raise template.error("the template nests too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise template.error(f"the template does not render: {error or type(error).__name__}") from error
    if len(rendered) > MAX_OUTPUT:
        raise template.error(f"the message renders to more than {MAX_OUTPUT:,} characters")
    return str(rendered)


def _guarded(template: Template) -> str:
    """A message's text as it stood between its role tags: a comment beside such a tag is not alone on its line."""
    messages = template.prompt.messages
    first = bool(messages) and template.message is messages[0] and not template.prompt.metadata.get(OPENS_TAGGED)
    last = bool(messages) and template.message is messages[-1]
    return ("" if first else _GUARD) + template.text + ("" if last else _GUARD)


@lru_cache(maxsize=512)
def _compile(text: str, partials: tuple[tuple[str, str], ...], strict: bool) -> Callable[[Any], str]:
    from dotpromptz_handlebars import Handlebars

    engine = Handlebars(escape_html=False, strict=strict, max_depth=MAX_DEPTH)
    for name, helper in _HELPERS.items():
        engine.register_helper(name, helper)
    for name, source in partials:
        engine.register_partial(name, source)
    return engine.compile(text)


# --- limits ----------------------------------------------------------------------------------------------------------


def _measure(text: str, partials: Mapping[str, str]) -> tuple[int, int]:
    """Characters of a template and tags that may print, with every partial written out.

    Raises:
        LimitError: partials include each other, or unfold to more than a prompt can need.
    """
    known: dict[str, tuple[int, int]] = {}

    def measure(source: str, above: tuple[str, ...]) -> tuple[int, int]:
        size, prints, newline = len(source), 0, 0
        for tag in tags(source):
            if tag.kind == "comment":
                continue
            prints += 1
            if tag.inner.startswith("#*inline"):
                raise LimitError("inline partials are not supported")
            newline = max(newline, source.rfind("\n", newline, tag.start) + 1)
            found = _PARTIAL.match(tag.inner)
            if found is None:
                continue
            name = found[1].strip("\"'")
            if name in above:
                raise LimitError(f"the partial {name!r} includes itself")
            if name in partials and name not in known:
                known[name] = measure(partials[name], (*above, name))
            more, inner_prints = known.get(name, (0, 0))
            # an indented partial indents every line it prints
            indent = tag.start - newline if source[newline : tag.start].isspace() else 0
            size, prints = size + more * (1 + indent), prints + inner_prints
            if size > MAX_OUTPUT:
                raise LimitError("the partials unfold to more text than a prompt can need")
        return size, prints

    return measure(text, ())


def _longest(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return max((max(_longest(key), _longest(item)) for key, item in value.items()), default=0)
    if isinstance(value, list | tuple):
        return max(map(_longest, value), default=0)
    return 40


class _PaidList(list[Any]):
    """A list whose every walk is paid for before it begins."""

    unit = 1

    def __iter__(self) -> Iterator[Any]:
        pay(self.unit * (1 + len(self)))
        return super().__iter__()


class _PaidDict(dict[Any, Any]):
    """A mapping whose every walk is paid for before it begins."""

    unit = 1

    def items(self) -> Any:
        pay(self.unit * (1 + len(self)))
        return super().items()


def _metered(value: Any, unit: int) -> Any:
    if isinstance(value, Mapping):
        paid = _PaidDict({key: _metered(item, unit) for key, item in value.items()})
    elif isinstance(value, list | tuple):
        paid = _PaidList([_metered(item, unit) for item in value])  # type: ignore[assignment]  # either has a unit
    else:
        return value
    paid.unit = unit
    return paid


# --- dotprompt's helpers, and two of ours ----------------------------------------------------------------------------


def _json(arguments: list[Any], options: Any) -> str:
    if not arguments:
        return ""
    indent = options.hash.get("indent") or 0
    indent = int(indent) if str(indent).isdigit() else 0
    if indent > _MAX_INDENT:
        raise LimitError(f"json indent={indent} asks for a width no prompt can need")
    pay((1 + indent) * weight(arguments[0]))
    value = _bare(arguments[0])
    return json.dumps(value, indent=indent) if indent else json.dumps(value, separators=(",", ":"))


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in dict.items(value)}
    if isinstance(value, list):
        return [_bare(item) for item in list.__iter__(value)]
    return value


def _if_equals(arguments: list[Any], options: Any) -> Any:
    if len(arguments) < 2:
        return ""
    return options.fn() if arguments[0] == arguments[1] else options.inverse()


def _unless_equals(arguments: list[Any], options: Any) -> Any:
    if len(arguments) < 2:
        return ""
    return options.inverse() if arguments[0] == arguments[1] else options.fn()


def _nothing(arguments: list[Any], options: Any) -> str:
    return ""


def _turn(arguments: list[Any], options: Any) -> str:
    raise ValueError("a turn is opened inside a block or by a partial with arguments, which is not supported")


def _raw(arguments: list[Any], options: Any) -> str:
    return html.unescape(str(arguments[0])) if arguments and arguments[0] is not None else ""


_HELPERS: Mapping[str, Callable[[list[Any], Any], Any]] = {
    "json": _json,
    "ifEquals": _if_equals,
    "unlessEquals": _unless_equals,
    "section": _nothing,
    "log": _nothing,  # the package's own prints to the terminal
    "role": _turn,
    "history": _turn,
    "media": _turn,
    "pmpo_guard": _nothing,
    "pmpo_raw": _raw,
}


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value
