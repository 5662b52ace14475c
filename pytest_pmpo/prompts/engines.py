"""Template languages: one function each, from a message's template to its text.

Nothing here reads a file or the environment; ``${env:NAME}`` is text like any other and stays as it is.

Values are put in as they are by Jinja. The other engines turn them into text: ``True`` → ``true``, ``None`` → nothing,
lists and mappings → JSON.
"""

from __future__ import annotations

import difflib
import json
import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_pmpo.errors import Location, TemplateError
from pytest_pmpo.prompts.model import Fixture, Message, Prompt

if TYPE_CHECKING:
    from jinja2 import Template as JinjaTemplate

MAX_OUTPUT = 2**20
"""Characters one rendered message may have."""

_LINE_BY_LINE = frozenset({"plain", "literal"})  # styles in which a line of text is a line of the file


@dataclass(frozen=True, slots=True)
class Template:
    """One message to render: what an engine is given.

    Attributes:
        text: the message's template.
        values: every variable that is set, by name: the fixture's over the prompt's defaults.
        prompt, fixture: where they come from.
        message: the message itself.
    """

    text: str
    values: Mapping[str, Any]
    prompt: Prompt
    fixture: Fixture
    message: Message

    def location(self, line: int | None = None) -> Location:
        """The place of line ``line`` (1-based) of the template in the prompt's file."""
        first = self.message.line
        by_line = all(segment.style in _LINE_BY_LINE for segment in self.message.segments)
        if first is not None and line is not None and by_line:
            return Location(self.prompt.path, first + line - 1)
        return Location(self.prompt.path, first)

    def error(self, what: str, line: int | None = None, hint: str | None = None) -> TemplateError:
        """A ``TemplateError`` that says where."""
        return TemplateError(what, location=self.location(line), hint=hint)

    def missing(self, name: str, line: int | None = None) -> TemplateError:
        """The error for a variable that is not set: names it, what there is, and what may have been meant."""
        known = sorted(map(str, self.values))
        close = difflib.get_close_matches(name, known, n=1)
        there = (
            f"it sets {', '.join(known[:20])}{', …' if len(known) > 20 else ''}" if known else "it sets no variables"
        )
        meant = f"; did you mean {close[0]!r}?" if close else ""
        where = f" ({self.fixture.location})" if self.fixture.location else ""
        return self.error(
            f"variable {name!r} is not set",
            line,
            hint=f"fixture {self.fixture.id!r}{where} does not set it: {there}{meant}",
        )


Engine = Callable[[Template], str]
"""Renders one message. Raises ``TemplateError``; must not read files or the environment, nor run without a bound."""


def as_text(value: Any) -> str:
    """A variable's value as text, for engines that know text only."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def render_nothing(template: Template) -> str:
    """Text without a template language."""
    return template.text


class _Meter:
    """Ends a rendering whose values add up to more than a message may have, before they are put together."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._size = 0

    def passed(self, text: str) -> str:
        """``text``, counted."""
        self._size += len(text)
        if self._size > MAX_OUTPUT:
            raise self._template.error(f"the message renders to more than {MAX_OUTPUT:,} characters")
        return text


_PLACEHOLDER = re.compile(r"\{\{([^{}\n]+?)\}\}")
_NAME = re.compile(r"[^\W\d][\w.\-]*\Z")


def render_literal(template: Template) -> str:
    """GitHub's placeholders: ``{{name}}`` without inner spaces is replaced, all at once, so a value may hold braces.

    GitHub leaves ``{{name}}`` in place when nothing sets it. A prompt with an unfilled placeholder is never what anyone
    wants to measure, so with ``undefined="error"`` it is an error here; so is ``{{ name }}`` where ``name`` is set,
    which GitHub would not fill either. What cannot be a variable (``{{#if x}}``, ``{{a: 1}}``) is text.
    """

    meter = _Meter(template)

    def fill(match: re.Match[str]) -> str:
        inner, policy = match[1], template.prompt.undefined
        if inner in template.values:
            return meter.passed(as_text(template.values[inner]))
        name = inner.strip()
        line = template.text.count("\n", 0, match.start()) + 1
        if policy == "error" and name != inner and name in template.values:
            hint = f"write {{{{{name}}}}}: this format fills placeholders without spaces only"
            raise template.error(f"placeholder {match[0]!r} would stay unfilled", line, hint)
        if name != inner or not _NAME.match(name) or policy == "keep":
            return match[0]
        if policy == "error":
            raise template.missing(name, line)
        return ""

    return _PLACEHOLDER.sub(fill, template.text)


class _PlainFormatter(string.Formatter):
    """``str.format`` over named variables only."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._meter = _Meter(template)

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        template = self._template
        if not field_name or field_name.isdigit():
            raise template.error(f"field {{{field_name}}} has no name", hint="write {{ and }} for braces that are text")
        if any(sign in field_name for sign in ".[]"):
            raise template.error(
                f"field {{{field_name}}} reaches into a value, which is refused", hint="name a variable"
            )
        if field_name in template.values:
            return template.values[field_name], field_name
        if template.prompt.undefined == "error":
            raise template.missing(field_name)
        return ("{" + field_name + "}" if template.prompt.undefined == "keep" else ""), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if re.search(r"\d{4,}", format_spec):
            raise self._template.error(f"the format {format_spec[:40]!r} asks for a width no prompt can need")
        return self._meter.passed(format(value, format_spec) if format_spec else as_text(value))

    def convert_field(self, value: Any, conversion: Any) -> Any:
        converted = super().convert_field(value, conversion)
        return converted if conversion is None else self._meter.passed(converted)


def render_fstring(template: Template) -> str:
    """LangChain's default: ``{name}``, ``{name:>10}``, ``{{`` for a brace; no attributes, no indexes, no positions."""
    try:
        return _PlainFormatter(template).vformat(template.text, (), {})
    except (ValueError, TypeError, RecursionError) as error:
        raise template.error(
            f"the template does not format: {error}", hint="write {{ and }} for text braces"
        ) from error


_FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, SyntaxError, TypeError, ValueError)


def render_jinja2(template: Template) -> str:
    """Jinja 2 as the reference implementation has it, in the sandbox of ``sandbox.py``."""
    if "{" not in template.text:  # most system messages; saves a compilation
        return template.text
    from jinja2.exceptions import TemplateError as JinjaError
    from jinja2.exceptions import TemplateNotFound, TemplateSyntaxError

    from pytest_pmpo.prompts.budget import LimitError, bounded
    from pytest_pmpo.prompts.sandbox import MissingVariableError

    try:
        compiled = _compile(template.text, template.prompt.undefined, tuple(sorted(template.prompt.partials.items())))
        with bounded() as budget:
            return _collect(compiled.root_render_func(compiled.new_context(dict(template.values))), budget.pay)
    except MissingVariableError as error:
        raise template.missing(error.name, _failing_line(error)) from error
    except TemplateNotFound as error:
        known = ", ".join(sorted(template.prompt.partials)) or "none"
        raise template.error(
            f"template {error.name!r} cannot be included",
            _failing_line(error),
            f"partials this prompt may use: {known}",
        ) from error
    except TemplateSyntaxError as error:
        where = "" if error.name is None else f" in partial {error.name!r}, line {error.lineno}"
        line = error.lineno if error.name is None else None
        raise template.error(f"the template does not parse{where}: {error.message}", line) from error
    except LimitError as error:
        raise template.error(str(error), _failing_line(error)) from error
    except RecursionError as error:
        raise template.error("the template nests too deeply", _failing_line(error)) from error
    except (JinjaError, *_FAULTS) as error:
        detail = str(error) or type(error).__name__
        raise template.error(f"the template does not render: {detail}", _failing_line(error)) from error


def _collect(chunks: Iterable[str], pay: Callable[[int], None]) -> str:
    from pytest_pmpo.prompts.budget import LimitError

    parts, size = [], 0
    for chunk in chunks:
        pay(1 + len(chunk) // 8)
        size += len(chunk)
        if size > MAX_OUTPUT:
            raise LimitError(f"the message renders to more than {MAX_OUTPUT:,} characters")
        parts.append(chunk)
    return "".join(parts)


@lru_cache(maxsize=256)
def _compile(text: str, undefined: str, partials: tuple[tuple[str, str], ...]) -> JinjaTemplate:
    from pytest_pmpo.prompts.budget import bounded

    with bounded():  # constants are folded while compiling
        compiled: JinjaTemplate = _environment(undefined, partials).from_string(text)
    return compiled


@lru_cache(maxsize=64)
def _environment(undefined: str, partials: tuple[tuple[str, str], ...]) -> Any:
    from pytest_pmpo.prompts.sandbox import UNDEFINED, PromptEnvironment

    return PromptEnvironment(UNDEFINED[undefined], dict(partials))


def _failing_line(error: BaseException) -> int | None:
    """The line of the message's own template that was running when ``error`` arose."""
    line, trace = None, error.__traceback__
    while trace is not None:
        compiled = trace.tb_frame.f_globals.get("__jinja_template__")
        if compiled is not None and compiled.name is None:  # partials have names
            line = compiled.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


ENGINES: dict[str, Engine] = {
    "jinja2": render_jinja2,
    "literal": render_literal,
    "fstring": render_fstring,
    "none": render_nothing,
}
"""Template languages by ``Prompt.engine``. A format that brings another one adds it here."""
