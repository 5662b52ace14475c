"""What each unit of a prompt is worth (PMPO's masking step).

Equation 1 of arXiv 2505.16307: P^(-j) is the prompt with unit s_j replaced by one ``<MASK>``. Equation 2:
ΔL_j = L(P^(-j)) − L(P). Positive: the unit helps; negative: it harms or is redundant; near zero: it does nothing.
Beside it stands the same difference for the prompt with the unit *deleted*, so that the placeholder itself is not
mistaken for the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_pmpo.optimize.units import Unit, delete_unit, replace_unit
from pytest_pmpo.prompts.model import Prompt

MASK = "<MASK>"

Loss = Callable[[Sequence[Prompt]], Sequence[float]]
"""Mean losses of prompts over the train fixtures, lower is better, in the objective's unit."""


@dataclass(frozen=True, slots=True)
class MaskRow:
    """One unit and what its absence costs.

    Attributes:
        masked: ΔL with ``<MASK>`` in its place, objective's unit.
        deleted: ΔL with the unit gone; None where only the mask was scored.
        tokens: tokens of the unit's text.
    """

    unit: Unit
    masked: float | None
    deleted: float | None
    tokens: int

    @property
    def worth(self) -> float:
        """What the unit is worth: the deletion's ΔL where there is one, since that is what an edit would do."""
        if self.deleted is not None:
            return self.deleted
        return 0.0 if self.masked is None else self.masked


@dataclass(frozen=True, slots=True)
class MaskTable:
    """Every measured unit of one prompt, in reading order, and the loss they are measured against."""

    digest: str
    loss: float
    rows: tuple[MaskRow, ...]
    protected: tuple[Unit, ...] = ()

    @property
    def harmful_first(self) -> tuple[MaskRow, ...]:
        """Rows by worth, the least useful first."""
        return tuple(sorted(self.rows, key=lambda row: row.worth))


def masked(prompt: Prompt, unit: Unit) -> Prompt:
    """P^(-j) with the placeholder."""
    return replace_unit(prompt, unit, MASK)


def deleted(prompt: Prompt, unit: Unit) -> Prompt:
    """P^(-j) without the unit."""
    return delete_unit(prompt, unit)


def measure(
    prompt: Prompt,
    units: Sequence[Unit],
    loss: Loss,
    count_tokens: Callable[[str], int],
    *,
    with_deletion: bool,
    keep: Callable[[Prompt], bool] = lambda _: True,
) -> MaskTable:
    """Score the prompt and its variants in one call, so that they share every common prefix.

    Args:
        units: the prompt's; protected ones are not touched.
        loss: mean train loss of each prompt given.
        with_deletion: score the deletion beside the mask.
        keep: False for a variant that cannot be scored (a prompt that would become empty).
    """
    open_units = [unit for unit in units if not unit.protected]
    variants: list[tuple[int, str, Prompt]] = []
    for number, unit in enumerate(open_units):
        variants.append((number, "masked", masked(prompt, unit)))
        if with_deletion:
            variants.append((number, "deleted", deleted(prompt, unit)))
    variants = [variant for variant in variants if keep(variant[2])]
    base, *losses = loss([prompt, *(variant[2] for variant in variants)])
    deltas = {(n, way): value - base for (n, way, _), value in zip(variants, losses, strict=True)}
    rows = tuple(
        MaskRow(unit, deltas.get((n, "masked")), deltas.get((n, "deleted")), count_tokens(unit.text))
        for n, unit in enumerate(open_units)
    )
    return MaskTable(prompt.template_digest, base, rows, tuple(unit for unit in units if unit.protected))
