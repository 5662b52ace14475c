"""The mask table measures what a unit is worth by masking it and by deleting it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_pmpo.optimize import masking
from pytest_pmpo.optimize.units import segment
from pytest_pmpo.prompts.model import Prompt

MakePrompt = Callable[..., Prompt]

TEXT = "Good rule. Bad rule. Nothing here. {{ input }}"


def loss(prompts: Sequence[Prompt]) -> list[float]:
    """Good rules lower the loss by 1, bad ones raise it by 0.5, and a mask itself costs 0.1."""
    texts = [prompt.messages[0].text for prompt in prompts]
    return [3.0 - ("Good" in t) + 0.5 * ("Bad" in t) + 0.1 * (masking.MASK in t) for t in texts]


def test_delta_is_the_loss_without_the_unit_minus_the_loss_with_it(one_message: MakePrompt) -> None:
    table = masking.measure(one_message(TEXT), segment(one_message(TEXT), 5), loss, len, with_deletion=True)
    worth = {row.unit.text: (round(row.masked or 0, 6), round(row.deleted or 0, 6)) for row in table.rows}
    assert worth == {"Good rule.": (1.1, 1.0), "Bad rule.": (-0.4, -0.5), "Nothing here.": (0.1, 0.0)}
    assert table.loss == 2.5


def test_the_deletion_shows_that_the_mask_itself_was_the_cause(one_message: MakePrompt) -> None:
    table = masking.measure(one_message(TEXT), segment(one_message(TEXT), 5), loss, len, with_deletion=True)
    row = table.rows[2]
    assert row.masked is not None
    assert row.masked > 0
    assert row.worth == 0


def test_the_least_useful_unit_comes_first(one_message: MakePrompt) -> None:
    table = masking.measure(one_message(TEXT), segment(one_message(TEXT), 5), loss, len, with_deletion=True)
    assert table.harmful_first[0].unit.text == "Bad rule."


def test_the_paper_scores_the_mask_alone(one_message: MakePrompt) -> None:
    calls: list[int] = []

    def counted(prompts: Sequence[Prompt]) -> list[float]:
        calls.append(len(prompts))
        return loss(prompts)

    table = masking.measure(one_message(TEXT), segment(one_message(TEXT), 5), counted, len, with_deletion=False)
    assert calls == [1 + 3]
    assert all(row.deleted is None for row in table.rows)


def test_the_unit_with_the_placeholder_is_never_masked(one_message: MakePrompt) -> None:
    table = masking.measure(
        one_message("Rule one.\n\nInput: {{ input }}"),
        segment(one_message("Rule one.\n\nInput: {{ input }}"), 5),
        loss,
        len,
        with_deletion=True,
    )
    assert [row.unit.text for row in table.rows] == ["Rule one."]
    assert [unit.text for unit in table.protected] == ["Input: {{ input }}"]


def test_a_variant_that_cannot_be_scored_is_left_out(one_message: MakePrompt) -> None:
    table = masking.measure(
        one_message("Only rule."),
        segment(one_message("Only rule."), 5),
        loss,
        len,
        with_deletion=True,
        keep=lambda p: bool(p.messages[0].text),
    )
    assert table.rows[0].deleted is None
    assert table.rows[0].masked is not None
