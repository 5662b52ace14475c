"""The prompts the optimizer itself writes: Jinja templates shipped as package data, each replaceable by the user's own.

Values that go in (prompts, fixtures) are hostile: they are only ever values of a template, never templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader, PackageLoader, StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pytest_pmpo.errors import OptimizeError
from pytest_pmpo.optimize import placeholders
from pytest_pmpo.optimize.constraints import as_text, format_lines, label_texts, shingles
from pytest_pmpo.optimize.hard_cases import HardCase
from pytest_pmpo.optimize.masking import MaskTable
from pytest_pmpo.prompts.model import Engine, Fixture, Preference, Turn

MAX_INPUT = 4_000
"""Characters of one case's input that a rewriter is shown; the cut is marked."""

INERT = 0.005
"""Share of the prompt's loss below which a unit is said to do nothing."""


ECHOED_WORDS = 7
"""Consecutive words of a request that make an answer an echo of it; templates say nothing shorter that matters."""


@cache
def _environment(overrides: Path | None) -> ImmutableSandboxedEnvironment:
    package = PackageLoader("pytest_pmpo.optimize", "meta")
    loader = package if overrides is None else ChoiceLoader([FileSystemLoader(overrides), package])
    return ImmutableSandboxedEnvironment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=False)


def question(name: str, values: Mapping[str, object], overrides: Path | None = None) -> tuple[Turn, ...]:
    """One user turn from the template ``name``.

    Raises:
        OptimizeError: if a template of the user's own does not render.
    """
    try:
        text = _environment(overrides).get_template(f"{name}.j2").render(values)
    except TemplateError as error:
        raise OptimizeError(f"the rewriter template {name}.j2 does not render: {error}") from error
    return (Turn("user", text.strip()),)


@cache
def wording() -> frozenset[tuple[str, ...]]:
    """Every run of ``ECHOED_WORDS`` words that the shipped templates say themselves, whatever is put into them.

    A template of the user's own may ask for a sentence word for word, so its words are no echo.
    """
    environment = _environment(None)
    assert environment.loader is not None
    sources = [environment.loader.get_source(environment, name)[0] for name in environment.list_templates()]
    said = [node.data for source in sources for node in environment.parse(source).find_all(nodes.TemplateData)]
    return frozenset[tuple[str, ...]]().union(*(shingles(text, ECHOED_WORDS) for text in said))


def shown_case(fixture: Fixture) -> dict[str, str]:
    """A fixture as a rewriter sees it: its input, the right answer, and a worse one where there is a pair."""
    values = {name: as_text(value) for name, value in fixture.vars.items()}
    text = next(iter(values.values())) if len(values) == 1 else "\n".join(f"{k}: {v}" for k, v in values.items())
    history = "".join(f"[{turn.role}] {turn.content}\n" for turn in fixture.history)
    answers = label_texts(fixture)
    pair = isinstance(fixture.label, Preference)
    return {
        "input": _cut(history + text),
        "answer": _cut(answers[0]),
        "rejected": _cut(fixture.label.rejected[0]) if pair and isinstance(fixture.label, Preference) else "",
    }


def _cut(text: str) -> str:
    return text if len(text) <= MAX_INPUT else text[:MAX_INPUT] + " […]"


def shown_masks(table: MaskTable | None) -> list[dict[str, str]]:
    """The mask table in words: what each unit is worth."""
    if table is None:
        return []
    rows = []
    for row in table.rows:
        small = abs(row.worth) <= INERT * abs(table.loss)
        verdict = "does nothing" if small else ("helps" if row.worth > 0 else "harms")
        rows.append({"text": row.unit.text, "verdict": verdict, "worth": f"{row.worth:+.3f}"})
    return rows


def common_values(
    text: str, engine: Engine, task: str, cases: Sequence[HardCase | Fixture], *, keep_format_lines: bool = True
) -> dict[str, object]:
    """What every template may use: task, cases, the prompt's text, and what in it must survive."""
    fixtures = [case.fixture if isinstance(case, HardCase) else case for case in cases]
    return {
        "task": task,
        "cases": [shown_case(fixture) for fixture in fixtures],
        "prompt": text,
        "placeholders": sorted(placeholders.values(text, engine)),
        "format_lines": list(format_lines(text)) if keep_format_lines else [],
    }
