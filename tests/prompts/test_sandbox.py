"""Hostile templates: no way out of the sandbox, no way to hold up the run or fill the memory."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_pmpo.errors import TemplateError
from pytest_pmpo.prompts.budget import MAX_VALUE, MAX_WORK, Budget, LimitError, pay, weight
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment
from pytest_pmpo.prompts.render import render

GROW = "{%% set ns = namespace(x=%s) %%}{%% for i in range(99) %%}{%% set ns.x = %s %%}{%% endfor %%}{{ ns.x }}"


def run(text: str, /, partials: dict[str, str] | None = None, **variables: Any) -> str:
    prompt = Prompt("p", "text", "jinja2", (Message("user", (Segment(text),), 1),), "0", partials=partials or {})
    return render(prompt, Fixture("f", variables, Expected("x")))[0].content


def stopped(text: str, /, partials: dict[str, str] | None = None, **variables: Any) -> str:
    """Why it was stopped."""
    with pytest.raises(TemplateError) as caught:
        run(text, partials, **variables)
    return caught.value.message


@pytest.fixture
def memory() -> Iterator[None]:
    """Fails the test if Python allocates more than 100 MiB at a time in it."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20, f"{peak / 2**20:.0f} MiB"


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__",
        "''.__class__.__mro__",
        "''|attr('__class__')",
        "''['__class__']",
        "[].__class__.__base__.__subclasses__()",
        "'{0.__class__}'.format(1)",
        "'{x.__class__}'.format_map({'x': 1})",
        "('{0.__class__}'|attr('format'))(1)",
        "['{0.__class__}']|map(attribute='format')|first",
        "self.__init__.__globals__",
        "self._TemplateReference__context",
        "cycler.__init__.__globals__.os",
        "range.__call__",
        "(x for x in [])",
        "joiner.__init__",
        "namespace.__init__",
        "dict.__bases__",
        "loop.__class__",
        "x.append(1)",
        "d.update({'a': 1})",
        "d.__setitem__('a', 1)",
        "f()",
        "''.encode()",
        "b.hex()",
        "1 .to_bytes(9)",
        "environment",
        "config",
        "request",
        "open('/etc/passwd')",
        "__import__('os')",
        "lipsum()",
    ],
)
def test_there_is_no_way_out(expression: str) -> None:
    def forbidden() -> str:
        raise AssertionError("called")

    forbidden.unsafe_callable = True  # type: ignore[attr-defined]
    values: dict[str, Any] = {"x": [], "d": {}, "f": forbidden, "b": b"b"}
    assert stopped("{{ " + expression + " }}", **values)
    assert values["x"] == []
    assert values["d"] == {}


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(10**9) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) if i < 0 %}{% endfor %}" * 9,
        "{% for a in range(99999) %}{{ range(99999)|list|length }}{% endfor %}",
        "{% for a in range(99999) %}{{ range(99999)|sum }}{% endfor %}",
        "{% for a in range(99999) %}{{ 5 in x }}{% endfor %}",
        "{{ x in y }}" * 3000,
        "{% macro f(n) %}{{ f(n - 1) if n }}{{ f(n - 1) if n }}{% endmacro %}{{ f(40) }}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% block a %}{{ self.b() }}{{ self.b() }}{% endblock %}{% block b %}{{ self.a() }}{% endblock %}",
        "{% for i in [[1]] recursive %}{{ loop([[1], [2]]) }}{{ loop([[1], [2]]) }}{% endfor %}",
        "{% include 'loop' %}",
        "{% include 'a0' %}",
        "{{ range(99999)|map('center', 999)|list|length }}",
        "{{ x|select('in', x)|list|length }}",
        "{{ x|sort|unique|list|length }}" * 2000,
    ],
)
def test_endless_work_is_stopped(text: str) -> None:
    doubling = {f"a{i}": f"{{% include 'a{i + 1}' %}}{{% include 'a{i + 1}' %}}" for i in range(40)} | {"a40": "x"}
    stopped(text, doubling | {"loop": "{% include 'loop' %}"}, x=list(range(50_000)), y=list(range(50_000, 90_000)))


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 10**9 * 'a' }}",
        "{{ [1] * 10**9 }}",
        "{{ 'a'|center(10**9) }}",
        "{{ 'a'|center(1000000000) }}",
        "{{ 'a'.center(10**9) }}",
        "{{ 'a'.ljust(10**9) }}",
        "{{ 'a'.zfill(10**9) }}",
        "{{ '\t'.expandtabs(10**9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '%.1000000000f' % 1 }}",
        "{{ '%1000000000d'|format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{w}}'.format(1, w=10**9) }}",
        "{{ '{x:>1000000000}'.format_map({'x': 1}) }}",
        "{{ 'a\nb'|indent(10**9) }}",
        "{{ 'a\nb'|indent(big) }}" + "{{ big|indent(big, true) }}" * 9,
        "{{ [1]|batch(10**9, 'x')|list }}",
        "{{ [1]|slice(10**9)|list }}",
        "{{ [1]|tojson(indent=10**9) }}",
        "{{ 9**(9**9) }}",
        "{{ 2**(10**8) }}",
        "{{ (2**10000) * (2**60000) }}",
        "{{ 5|round(-10**9) }}",
        "{{ 5.0|round(10**9, 'floor') }}",
        "{{ big|replace('a', big) }}",
        "{{ big.replace('', big) }}",
        "{{ big|join(big) }}",
        "{{ big.join(big) }}",
        "{{ big|wordwrap(1) }}",
        "{{ big|wordwrap(9, true, big) }}",
        "{{ big.rfind('b' ~ big) }}{{ big.rsplit('b' ~ big[1:]) }}",
        "{{ big|trim(big) }}",
        "{{ big.strip(big) }}",
        "{{ ([[1]] * 90000)|sum(start=[]) }}",
        "{{ big ~ big ~ big ~ big ~ big ~ big }}",
        "{{ [big, big, big, big, big, big] }}",
        "{{ {'a': [big, big, big], 'b': [big, big, big]} }}",
        "{{ ('%s' * 9) % ((big,) * 9) }}",
        "{{ ('%(a)s' * 9) % {'a': big} }}",
        "{% set b %}{{ big }}{{ big }}{{ big }}{{ big }}{{ big }}{{ big }}{% endset %}",
        "{% macro m() %}{{ big }}{{ big }}{{ big }}{% endmacro %}{{ m() ~ m() ~ m() }}",
        "{{ huge.split('a')|length }}",
        "{{ huge.splitlines() }}",
        "{{ huge.upper()[0] }}",
        GROW % ("'aaaaaaaa'", "ns.x ~ ns.x"),
        GROW % ("'aaaaaaaa'", "ns.x + ns.x"),
        GROW % ("'aaaaaaaa'", "ns.x * 2"),
        GROW % ("'aaaaaaaa'", "ns.x.replace('a', 'aa')"),
        GROW % ("'aaaaaaaa'", "[ns.x, ns.x]|join"),
        GROW % ("'aaaaaaaa'", "'%s%s' % (ns.x, ns.x)"),
        GROW % ("'aaaaaaaa'", "'{0}{0}'.format(ns.x)"),
        GROW % ("[1]", "ns.x + ns.x"),
        GROW % ("[1]", "[ns.x, ns.x]"),
        GROW % ("[1]", "(ns.x, ns.x)"),
        GROW % ("[1]", "{'a': ns.x, 'b': ns.x}"),
        GROW % ("[1]", "dict(a=ns.x, b=ns.x)"),
        GROW % ("[1]", "namespace(a=ns.x, b=ns.x)"),
        GROW % ("[1]", "[ns, ns]"),
        GROW % ("7", "ns.x * ns.x"),
        GROW % ("7", "ns.x ** 3"),
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ [ns] }}",
    ],
)
@pytest.mark.usefixtures("memory")
def test_huge_values_are_stopped_before_they_exist(text: str) -> None:
    stopped(text, big="a" * 500_000, huge="ab\n" * 5_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
        "{{ " + "[" * 5_000 + "]" * 5_000 + " }}",
        "{{ " + "not " * 50_000 + "1 }}",
        "{% if 1 %}" * 2_000 + "{% endif %}" * 2_000,
        "{% for i in [1] %}" * 50 + "{% endfor %}" * 50,
        "{{ " + "9" * 5_000 + " }}",
        "{{ a" + ".b" * 50_000 + " }}",
        "{{ 'a'" + "|upper" * 20_000 + " }}",
        "{{ 1" + " + 1" * 50_000 + " }}",
        "{# " + "x" * 2_000_000 + " #}",
        "{{ x }}" * 50_000,
        "{% if x %}{% endif %}" * 30_000,
    ],
)
def test_templates_that_would_break_the_compiler_are_stopped(text: str) -> None:
    stopped(text, x=1)


def test_values_of_a_fixture_may_be_large_and_deep_as_long_as_they_are_not_printed_whole() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    assert (
        run("{{ text[:3] }} {{ items[7] }}", text="abc" * 1_000_000, items=list(range(100_000)), deep=deep) == "abc 7"
    )
    assert "too deeply" in stopped("{{ deep }}", deep=deep)


def test_ordinary_work_is_far_from_the_limits() -> None:
    documents = [{"title": f"Title {n}", "body": "words " * 200} for n in range(200)]
    text = run(
        "{% for d in documents %}{{ loop.index }}. {{ d.title|upper }}: {{ d.body|trim|truncate(60) }}\n{% endfor %}",
        documents=documents,
    )
    assert text.count("\n") == 200


def test_a_template_runs_in_any_thread() -> None:
    results: list[str] = []

    def work() -> None:
        try:
            run("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
        except TemplateError as error:
            results.append(error.message)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert run("{{ 1 + 1 }}") == "2"
    for thread in threads:
        thread.join()
    assert len(results) == 2


def test_a_budget_ends() -> None:
    budget = Budget()
    budget.pay(MAX_WORK)
    with pytest.raises(LimitError):
        budget.pay(1)


def test_nothing_runs_without_a_budget() -> None:
    with pytest.raises(LimitError):
        pay(1)


@pytest.mark.parametrize(
    ("value", "units"),
    [
        (None, 1),
        (1.5, 1),
        (True, 1),
        ("", 1),
        ("a" * 80, 11),
        (2**640, 11),
        ([], 1),
        ([1, [2]], 4),
        ({"a": "b" * 8}, 4),
    ],
)
def test_the_weight_of_a_value_counts_all_it_holds(value: Any, units: int) -> None:
    assert weight(value) == units


def test_a_value_may_not_weigh_more_than_the_limit() -> None:
    assert weight("a" * (MAX_VALUE * 8 - 8)) == MAX_VALUE
    with pytest.raises(LimitError):
        weight("a" * (MAX_VALUE * 8))
