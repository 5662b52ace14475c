"""Questions to a writer: each draw has a seed of its own, and none is paid for twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_pmpo.optimize.asking import Asking
from pytest_pmpo.optimize.budget import Budget, Ledger
from pytest_pmpo.optimize.rewriters.base import Reply
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings

P, Q = [Turn("user", "P")], [Turn("user", "Q")]


class Seeded:
    """A writer that says which seed it was given, as a server does that honours it."""

    name = identity = "seeded"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def write(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int,
        seconds: float | None = None,
    ) -> Iterator[tuple[Reply, ...]]:
        for conversation in conversations:
            self.asked.append((conversation[0].content, settings.seed))
            yield (Reply(f"{conversation[0].content} {settings.seed}", 1, True),) * samples


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.jsonl")
    yield made
    made.close()


def _asking(journal: Journal) -> Asking:
    return Asking(Ledger(Budget()), journal, SamplingSettings(max_new_tokens=10), 7)


def test_a_question_met_twice_is_another_draw_apart_or_together(journal: Journal) -> None:
    writer, asking = Seeded(), _asking(journal)
    together = asking(writer, [P, Q, Q], 1)
    later = asking(writer, [P, Q], 1)
    texts = [reply.text for row in (*together, *later) for reply in row]
    assert len(set(texts)) == 5
    assert texts == ["P 7", "Q 7", "Q 1007", "P 1007", "Q 2007"]


def test_what_was_asked_before_is_not_asked_again(journal: Journal) -> None:
    writer = Seeded()
    first = _asking(journal)(writer, [P, Q, Q], 1)
    asked = list(writer.asked)
    assert _asking(journal)(writer, [P, Q, Q], 1) == first
    assert writer.asked == asked
