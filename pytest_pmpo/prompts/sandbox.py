"""A Jinja environment whose templates can neither leave it nor hold up the run.

Jinja's own sandbox keeps templates from Python's internals; it bounds neither time nor memory. Here every loop pass,
call, filter, test, operator and new value pays into a budget (``budget.py``), and what could grow without end is sized
before it runs (``growth.py``). So no single step is long, and the budget ends what has too many of them. No signal,
thread or process is involved: it works in any thread on any platform, and a template ends the same way wherever it
runs.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

from jinja2 import DictLoader, StrictUndefined, Undefined, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace, missing
from jinja2.visitor import NodeTransformer

from pytest_pmpo.prompts import growth
from pytest_pmpo.prompts.budget import MAX_WORK, LimitError, pay, sized, weight

# random and lipsum: a loss must not depend on chance. The others take quadratic time on hostile text.
_WITHOUT_FILTERS = frozenset({"random", "urlize", "striptags", "pprint"})
# units of work one pass through a body costs besides what is done in it
_BODIES = {nodes.For: 4, nodes.Block: 16, nodes.Macro: 16, nodes.CallBlock: 16, nodes.Template: 64}
_TOKEN = MAX_WORK // 20_000
_WITHOUT_GLOBALS = frozenset({"lipsum"})


class MissingVariableError(UndefinedError):
    """A variable that no fixture sets. ``name`` is its name."""

    def __init__(self, message: str | None, name: str) -> None:
        super().__init__(message)
        self.name = name


class NamedUndefined(Undefined):
    """Jinja's default undefined (prints nothing), whose errors know the variable's name."""

    __slots__ = ()

    def __init__(
        self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = UndefinedError
    ) -> None:
        if obj is missing and hint is None and name is not None and exc is UndefinedError:
            variable = name

            def exc(message: str | None) -> UndefinedError:
                return MissingVariableError(message, variable)

        super().__init__(hint, obj, name, exc)


class StrictNamed(NamedUndefined, StrictUndefined):
    """An undefined that may be asked about (``is defined``, ``|default``) but not used."""

    __slots__ = ()


class KeptUndefined(NamedUndefined):
    """An undefined that prints as the placeholder it stands for: ``{{ name }}``, ``{{ user.name }}``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return KeptUndefined(name=f"{self._undefined_name}.{name}")

    def __getitem__(self, key: Any) -> KeptUndefined:  # type: ignore[override]  # jinja: never returns
        return KeptUndefined(name=f"{self._undefined_name}[{key!r}]")

    def __str__(self) -> str:
        if self._undefined_obj is not missing:  # an attribute of something that is there
            self._fail_with_undefined_error()
        return f"{{{{ {self._undefined_name} }}}}"


UNDEFINED: Mapping[str, type[Undefined]] = {"error": StrictNamed, "keep": KeptUndefined, "empty": NamedUndefined}
"""What an undefined variable is, by ``Prompt.undefined``."""


def joined(*values: Any) -> str:
    """What ``a ~ b`` means: the values as one text."""
    return concat([str(sized(value)) for value in values])


def concat(parts: Sequence[str]) -> str:
    """``"".join(parts)``, sized first."""
    growth.check(sum(map(len, parts)))
    text = "".join(parts)
    pay(1 + len(text) // 8)
    return text


def printable(value: Any) -> Any:
    """``value``, if it can be meant to be printed: a function, an iterator or a namespace in ``{{ }}`` is a mistake."""
    if isinstance(value, Undefined):
        return value
    kind: Any = type(value)
    anonymous = kind.__repr__ is object.__repr__ and kind.__str__ is object.__str__
    if anonymous or callable(value) or isinstance(value, Iterator | Namespace | Macro):
        raise LimitError(
            f"{{{{ }}}} would print a {kind.__name__}, not text: a filter such as |list or |join, or (), is missing"
        )
    return sized(value)


class _PayAsYouGo(NodeTransformer):
    """Rewrites a parsed template so that loops, macros and new values pay."""

    def _call(self, name: str, *args: nodes.Expr, lineno: int) -> nodes.Call:
        return nodes.Call(nodes.EnvironmentAttribute(name, lineno=lineno), list(args), [], None, None, lineno=lineno)

    def _body(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        lineno = node.lineno or 1
        cost = nodes.Const(_BODIES[type(node)], lineno=lineno)
        node.body.insert(0, nodes.ExprStmt(self._call("pay", cost, lineno=lineno), lineno=lineno))
        return node  # type: ignore[no-any-return]  # jinja's node classes share no type that has a body

    visit_Template = visit_Block = visit_For = visit_Macro = visit_CallBlock = _body  # noqa: N815  # jinja's names

    def _new(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return self._call("sized", node, lineno=node.lineno) if getattr(node, "ctx", "load") == "load" else node

    visit_List = visit_Tuple = visit_Dict = _new  # noqa: N815

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        return self._new(node) if isinstance(node.arg, nodes.Slice) else self.generic_visit(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._call("joined", *node.nodes, lineno=node.lineno)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = self._call("sized", node.expr, lineno=node.lineno)
        for operand in node.ops:
            operand.expr = self._call("sized", operand.expr, lineno=node.lineno)
        return node


class _Formatter(SandboxedFormatter):
    """``str.format`` whose fields cannot be padded without end."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        growth.check_spec(format_spec)
        text = super().format_field(sized(value), format_spec)
        pay(1 + len(text) // 8)
        return text


def _guard(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test that pays for what it is given and what it makes."""
    check = growth.FILTERS.get(name)
    skip = 1 if getattr(function, "jinja_pass_arg", None) is not None else 0

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        pay(8 + sum(map(weight, args[skip:])) + sum(map(weight, kwargs.values())))
        if check is not None:
            check(*args[skip:], **kwargs)
        return sized(function(*args, **kwargs))

    return guarded


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Jinja for prompts: reference behaviour (no escaping, no trimming), inside the sandbox, on a budget.

    Args:
        undefined: what a missing variable is; a value of ``UNDEFINED``.
        partials: templates that ``include``, ``import`` and ``extends`` may name. There is no other loader.
    """

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    concat = staticmethod(concat)  # type: ignore[assignment]  # jinja annotates it as its own "".join
    pay = staticmethod(pay)
    sized = staticmethod(sized)
    joined = staticmethod(joined)

    def __init__(self, undefined: type[Undefined], partials: Mapping[str, str]) -> None:
        super().__init__(
            undefined=undefined,
            loader=DictLoader(dict(partials)),
            keep_trailing_newline=True,
            trim_blocks=False,
            lstrip_blocks=False,
            autoescape=False,
            auto_reload=False,
            finalize=printable,
        )
        filters: Mapping[str, Any] = self.filters  # jinja leaves their types open
        tests: Mapping[str, Any] = self.tests
        self.filters = {name: _guard(name, f) for name, f in filters.items() if name not in _WITHOUT_FILTERS}
        self.tests = {name: _guard(name, test) for name, test in tests.items()}
        for name in _WITHOUT_GLOBALS:
            del self.globals[name]

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        # compiling takes some 50 µs a token; paid for like the rest, so a template of nothing but tags ends too
        for _ in self.lexer.tokeniter(source, name, filename):
            pay(_TOKEN)
        tree = super()._parse(source, name, filename)
        _PayAsYouGo().visit(tree)
        tree.set_environment(self)
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As in Jinja, less everything of bytes and the methods that cannot be sized."""
        if isinstance(obj, bytes | bytearray | memoryview) or attr in growth.REFUSED_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """An escape ends the rendering, whatever an undefined variable would do."""
        raise SecurityError(f"access to attribute {attribute!r} of a {type(obj).__name__} is refused")

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``text.format`` and ``text.format_map`` with bounded padding."""
        if not isinstance(value, types.MethodType | types.BuiltinMethodType) or not isinstance(value.__self__, str):
            return None
        template, formatter = value.__self__, _Formatter(self)
        if value.__name__ == "format":
            return lambda *args, **kwargs: formatter.vformat(template, args, kwargs)
        if value.__name__ == "format_map":
            return lambda mapping: formatter.vformat(template, (), mapping)
        return None

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` from a template, paying for what goes in and what comes out."""
        if function is pay or function is sized or function is joined:
            return function(*args)  # inside a loop or block, compiled calls carry its variables as a keyword
        owner = getattr(function, "__self__", None) if isinstance(function, types.BuiltinMethodType) else None
        pay(16 + weight(owner) + sum(map(weight, args)) + sum(map(weight, kwargs.values())))
        growth.check_method(function, args, kwargs)
        return sized(super().call(context, function, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """``left operator right``, sized before it is computed."""
        pay(2)
        growth.check_operator(operator, left, right)
        return sized(super().call_binop(context, operator, left, right))
