"""What a bank holds, for ``pmpo bank show``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.responses.records import Bank, Response


@dataclass(frozen=True, slots=True)
class Group:
    """The responses drawn from one proposal, or written."""

    name: str
    responses: int
    fixtures: int
    graded: int
    right: float
    cut: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """Counts over a bank.

    Attributes:
        groups: one per proposal that has responses, in file order; written ones without a prompt last.
        fixtures: today's; ``covered``: those with graded responses; ``informative``: those with grades that differ.
        graders, models, dates: what occurs, sorted; dates are first and last.
    """

    path: str
    groups: tuple[Group, ...]
    fixtures: int
    covered: int
    informative: int
    graders: tuple[str, ...]
    models: tuple[str, ...]
    dates: tuple[str, ...]


def take(bank: Bank, fixtures: Sequence[Fixture]) -> Inventory:
    """Count."""
    by_proposal: dict[str | None, list[Response]] = {digest: [] for digest in bank.proposals}
    grades: dict[str, set[float]] = {}
    for row in bank.responses:
        by_proposal.setdefault(row.proposal, []).append(row)
        if row.grade is not None:
            grades.setdefault(row.fixture, set()).add(row.grade)
    names = _names(bank)
    groups = [_group(names.get(digest) or _unknown(digest), rows) for digest, rows in by_proposal.items() if rows]
    dates = sorted(row.date for row in bank.responses if row.date is not None)
    return Inventory(
        bank.path,
        tuple(groups),
        len(fixtures),
        sum(fixture.id in grades for fixture in fixtures),
        sum(len(grades.get(fixture.id, ())) > 1 for fixture in fixtures),
        tuple(sorted({row.grader for row in bank.responses if row.grader is not None})),
        tuple(sorted({row.model for row in bank.responses if row.model is not None})),
        tuple(dict.fromkeys((dates[0], dates[-1]))) if dates else (),
    )


def describe(inventory: Inventory) -> str:
    """The inventory as lines of text."""
    lines = [
        f"{inventory.path}: {sum(group.responses for group in inventory.groups)} responses; "
        f"{inventory.covered} of {inventory.fixtures} fixtures have graded ones, "
        f"{inventory.informative} of them right and wrong ones"
    ]
    for group in inventory.groups:
        share = f"{100 * group.right / group.graded:.0f} % right" if group.graded else "not graded"
        ungraded = f", {group.responses - group.graded} without a grade" if group.graded < group.responses else ""
        cut = f", {group.cut} cut" if group.cut else ""
        lines.append(f"  {group.name}: {group.responses} to {group.fixtures} fixtures, {share}{ungraded}{cut}")
    for name, values in (("graders", inventory.graders), ("models", inventory.models)):
        if values:
            lines.append(f"  {name}: {', '.join(value[:40] for value in values)}")
    if inventory.dates:
        lines.append(f"  drawn: {' to '.join(inventory.dates)}")
    return "\n".join(lines)


def _names(bank: Bank) -> dict[str | None, str]:
    """What proposals are called; those of one name (heads of several top-ups) are told apart by their digest."""
    names = [proposal.name for proposal in bank.proposals.values()]
    return {
        digest: proposal.name if names.count(proposal.name) == 1 else f"{proposal.name} {digest[:8]}"
        for digest, proposal in bank.proposals.items()
    }


def _unknown(digest: str | None) -> str:
    return "written, under no prompt" if digest is None else f"unknown prompt {digest[:8]}"


def _group(name: str, rows: Sequence[Response]) -> Group:
    return Group(
        name,
        len(rows),
        len({row.fixture for row in rows}),
        sum(row.grade is not None for row in rows),
        sum(row.grade or 0.0 for row in rows),
        sum(not row.finished for row in rows),
    )
