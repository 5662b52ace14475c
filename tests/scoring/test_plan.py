"""The prefix forest: nothing computed twice, nothing lost, every reading sees exactly its own past."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_pmpo.scoring.plan import Forest
from pytest_pmpo.scoring.records import EncodedSequence, distinct_tokens


@st.composite
def sequences(draw: st.DrawFn) -> list[EncodedSequence]:
    """A few short sequences over two tokens: with so small an alphabet they share, nest and coincide often."""
    rows = draw(st.lists(st.lists(st.integers(0, 1), min_size=2, max_size=14), min_size=1, max_size=12))
    return [EncodedSequence(tuple(row), draw(st.integers(1, len(row) - 1)), str(i)) for i, row in enumerate(rows)]


def pasts(rows: list[EncodedSequence], budget: int) -> dict[tuple[int, int], tuple[tuple[int, ...], int]]:
    """For every reading, the tokens its query may see and the id it reads; checks the chunks on the way."""
    seen: dict[tuple[int, int], tuple[tuple[int, ...], int]] = {}
    carried: list[int] = []
    for chunk in Forest(rows).chunks(budget):
        assert len(chunk.tokens) <= budget
        assert chunk.carried == len(carried)
        memory = carried + chunk.tokens.tolist()
        past: dict[int, tuple[int, ...]] = {}
        for segment in chunk.segments:
            context = [token for low, high in segment.context for token in memory[low:high]]
            for i in range(segment.start, segment.stop):
                past[i] = (*context, *chunk.tokens[segment.start : i + 1].tolist())
                assert chunk.positions[i] == len(past[i]) - 1
        assert sorted(past) == list(range(len(chunk.tokens)))
        readings = zip(chunk.rows, chunk.targets, chunk.sequences, chunk.offsets, strict=True)
        seen |= {(int(s), int(o)): (past[int(row)], int(target)) for row, target, s, o in readings}
        carried = [token for low, high in chunk.keep for token in memory[low:high]]
    return seen


@settings(max_examples=400, deadline=None)
@given(sequences(), st.integers(1, 40))
def test_every_target_token_is_read_from_exactly_the_tokens_before_it(rows: list[EncodedSequence], budget: int) -> None:
    seen = pasts(rows, budget)
    for number, row in enumerate(rows):
        for offset in range(row.target_length):
            place = row.target_start + offset
            assert seen.pop((number, offset)) == (row.tokens[:place], row.tokens[place])
    assert not seen


@settings(max_examples=200, deadline=None)
@given(sequences(), st.integers(1, 40))
def test_every_distinct_token_is_run_once(rows: list[EncodedSequence], budget: int) -> None:
    run = sum(len(chunk.tokens) for chunk in Forest(rows).chunks(budget))
    prefixes = {row.tokens[: i + 1] for row in rows for i in range(len(row.tokens) - 1)}
    assert run == len(prefixes) == distinct_tokens(rows)


def test_equal_sequences_cost_as_much_as_one() -> None:
    row = EncodedSequence((5, 6, 7, 8), 2)
    assert Forest([row, row, row]).size == 3


def test_doubling_the_fixtures_of_a_long_prefix_adds_only_their_own_tokens() -> None:
    def rows(n: int) -> list[EncodedSequence]:
        return [EncodedSequence((*range(2000), 3000 + i, 9), 2001) for i in range(n)]

    assert Forest(rows(32)).size - Forest(rows(16)).size == 16


@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_the_carry_is_the_path_to_the_next_token_and_nothing_more(budget: int) -> None:
    rows = [EncodedSequence((1, 2, 3, 4, i), 4) for i in range(5, 9)]
    carries = [chunk.carried for chunk in Forest(rows).chunks(budget)]
    assert carries == list(range(0, 4, budget))
