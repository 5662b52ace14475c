"""Edits that need no language model: delete, move and join units, add, reorder and drop worked examples.

Examples are turns of their own where the prompt's file holds turns, else text in front of the input.

What to try is read off the mask table and the train losses; whether it helps is for the loss to say. With these alone a
135M model improves prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest

from pytest_pmpo.optimize import demos, shots
from pytest_pmpo.optimize.constraints import label_texts
from pytest_pmpo.optimize.masking import MaskRow
from pytest_pmpo.optimize.rewriters.base import Ask, Proposal, Rejection, View
from pytest_pmpo.optimize.units import Unit, delete_unit, replace_unit, segment
from pytest_pmpo.prompts.model import Fixture, Prompt

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class StructuralEdits:
    """The rewriter that always works.

    Attributes:
        max_demos: worked examples a prompt may hold.
        units: most units that are told apart.
    """

    max_demos: int = demos.MAX_DEMOS
    units: int = 8

    @property
    def name(self) -> str:
        """``structural``."""
        return "structural"

    def propose(self, view: View, ask: Ask, count: int) -> list[Proposal | Rejection]:
        """Up to ``count`` edits, the most promising of each kind first; after a rejected round the next ones."""
        kinds = (
            self._examples(view),
            self._deletions(view),
            self._moves(view),
            self._joins(view),
            self._fewer_shots(view),
        )
        rows = zip_longest(*kinds)
        ordered = [proposal for proposal in chain.from_iterable(rows) if proposal is not None]
        distinct = list({p.prompt.template_digest: p for p in ordered}.values())
        if not distinct:
            return []
        start = view.rejected * count % len(distinct)
        return [*distinct[start:], *distinct[:start]][:count]

    def _examples(self, view: View) -> Iterator[Proposal]:
        prompt = view.parent.prompt
        present = (*demos.quoted(prompt, view.train), *shots.quoted(prompt, view.train))
        room = self.max_demos - len(present)
        if room < 1:
            return
        for chosen, why in _choices_of_examples(view, present, room):
            ids = (*present, *(fixture.id for fixture in chosen))
            shown = ", ".join(fixture.id for fixture in chosen)
            place: demos.Place
            for place in ("last", "first") if present else ("last",):
                changed = shots.with_shots(prompt, chosen, place) if view.takes_turns else None
                form = "few-shot turns" if changed is not None else f"example{'s' * (len(chosen) > 1)}"
                changed = changed or demos.with_examples(prompt, chosen, place)
                if changed is not None:
                    yield Proposal(changed, f"structural: add {why} as {form} ({shown})", ids)

    def _fewer_shots(self, view: View) -> Iterator[Proposal]:
        for number, changed in shots.with_fewer(view.parent.prompt):
            yield Proposal(changed, f"structural: drop few-shot example {number}")

    def _deletions(self, view: View) -> Iterator[Proposal]:
        rows = view.masks.harmful_first if view.masks else ()
        useless = [row for row in rows if row.deleted is not None and row.worth <= 0]
        if len(useless) > 1:
            prompt = _delete_all(view.parent.prompt, [row.unit for row in useless])
            yield Proposal(prompt, f"structural: delete the {len(useless)} units that do not help")
        for row in rows:
            yield Proposal(delete_unit(view.parent.prompt, row.unit), f"structural: delete {_shown(row.unit)}")

    def _moves(self, view: View) -> Iterator[Proposal]:
        """The most useful units to the end of their field's prose (nearest the answer) and to its front."""
        rows: Sequence[MaskRow] = tuple(reversed(view.masks.harmful_first)) if view.masks else ()
        measured = sorted((row.unit for row in rows), key=lambda u: (u.message, u.segment, u.start))
        for row in rows:
            for front in (False, True):
                moved = _move(view.parent.prompt, row.unit, front, measured)
                if moved is not None:
                    where = "front" if front else "end"
                    yield Proposal(moved, f"structural: move {_shown(row.unit)} to the {where}")

    def _joins(self, view: View) -> Iterator[Proposal]:
        prompt = view.parent.prompt
        units = segment(prompt, self.units)
        for a, b in pairwise(units):
            same = (a.message, a.segment) == (b.message, b.segment) and a.block != b.block
            if same and not a.protected and not b.protected and "example" not in (a.kind, b.kind):
                text = prompt.messages[a.message].segments[a.segment].text
                joined = text[: a.end] + " " + text[b.start :]
                yield Proposal(
                    prompt.with_text(a.message, a.segment, joined), f"structural: join {_shown(a)} and {_shown(b)}"
                )


def _choices_of_examples(view: View, present: Sequence[str], room: int) -> Iterator[tuple[tuple[Fixture, ...], str]]:
    """Which train fixtures to show, chosen and ordered by loss: the last example stands nearest the question."""
    pairs = sorted(zip(view.losses, view.train, strict=True), key=lambda pair: (-pair[0], pair[1].id))
    free = [fixture for _, fixture in pairs if fixture.id not in present]
    if not free:
        return
    yield (free[0],), "the hardest fixture"
    several = _one_per_answer(free)[: min(room, 3)]
    if len(several) > 1:
        yield tuple(reversed(several)), "hard fixtures with different answers, hardest last,"
        yield tuple(several), "hard fixtures with different answers, hardest first,"
    yield (free[-1],), "the easiest fixture"
    yield (free[len(free) // 2],), "a fixture of middling difficulty"
    if room > 3:
        most = _one_per_answer(free)[:room]
        yield tuple(reversed(most)), f"{len(most)} hard fixture{'s' * (len(most) > 1)}"
    for fixture in free[1:]:
        yield (fixture,), "a fixture"


def _one_per_answer(fixtures: Sequence[Fixture]) -> list[Fixture]:
    """The first fixture of every distinct answer, then the second of every one, and so on: no label is favoured."""
    seen: dict[str, int] = {}
    ranked = []
    for number, fixture in enumerate(fixtures):
        answer = label_texts(fixture)[0]
        seen[answer] = seen.get(answer, 0) + 1
        ranked.append((seen[answer], number, fixture))
    return [fixture for _, _, fixture in sorted(ranked, key=lambda row: row[:2])]


def _delete_all(prompt: Prompt, units: Sequence[Unit]) -> Prompt:
    """Later units first, so that the places of earlier ones stay right."""
    for unit in sorted(units, key=lambda u: (u.message, u.segment, u.start), reverse=True):
        prompt = delete_unit(prompt, unit)
    return prompt


def _move(prompt: Prompt, unit: Unit, front: bool, units: Sequence[Unit]) -> Prompt | None:
    """The unit before the first, or after the last, measured unit of its field; None if it stands there."""
    peers = [u for u in units if (u.message, u.segment) == (unit.message, unit.segment)]
    target = peers[0] if front else peers[-1]
    if target.start == unit.start or len(peers) < 2:
        return None
    gap = "\n\n" if unit.block != target.block else ("\n" if unit.kind == "bullet" else " ")
    text = unit.text + gap + target.text if front else target.text + gap + unit.text
    if front:  # the unit stands behind its target: take it out first
        return replace_unit(delete_unit(prompt, unit), target, text)
    return delete_unit(replace_unit(prompt, target, text), unit)


def _shown(unit: Unit) -> str:
    text = " ".join(unit.text.split())
    return f"“{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}”"
