"""Losses are bought once, journalled at once, and their cost is known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_pmpo.errors import BudgetError, EncodingError
from pytest_pmpo.optimize.budget import Budget, Ledger
from pytest_pmpo.optimize.evaluation import Evaluation
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.prompts.render import render
from pytest_pmpo.scoring.backends.fake import FakeBackend, FakeTokenizer
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.response_bank import BankedResponse, ResponseBank
from pytest_pmpo.scoring.scorer import Scorer

Open = Callable[..., Evaluation]


@pytest.fixture
def open_evaluation(tmp_path: Path, backend: FakeBackend) -> Open:
    def make(budget: Budget | None = None) -> Evaluation:
        journal = Journal(tmp_path / "j.jsonl")
        ledger = Ledger(budget or Budget())
        made = Evaluation(Scorer("fake", lambda: backend), CrossEntropy(), ledger, journal)
        made.journal = journal  # type: ignore[attr-defined]  # for the tests to close
        return made

    return make


def variants(prompt: Prompt, count: int) -> list[Prompt]:
    return [prompt.with_text(0, 0, f"{prompt.messages[0].text} ({i})") for i in range(count)]


def test_the_cost_said_beforehand_is_the_cost_that_is_paid(
    open_evaluation: Open, prompt: Prompt, fixtures: tuple[Fixture, ...]
) -> None:
    evaluation = open_evaluation()
    some = variants(prompt, 3)
    cost = evaluation.cost(some, fixtures)
    evaluation.score(some, fixtures)
    assert evaluation.scorer.tokens_spent == cost


def test_only_what_is_missing_is_scored(
    open_evaluation: Open, backend: FakeBackend, prompt: Prompt, fixtures: tuple[Fixture, ...]
) -> None:
    evaluation = open_evaluation()
    evaluation.score([prompt], fixtures[:5])
    assert backend.sequences_scored == 5
    evaluation.score([prompt, *variants(prompt, 1)], fixtures[:6])
    assert backend.sequences_scored == 5 + 1 + 6


def test_losses_come_back_from_the_journal_to_the_last_bit_without_opening_the_model(
    open_evaluation: Open, backend: FakeBackend, prompt: Prompt, fixtures: tuple[Fixture, ...]
) -> None:
    first = open_evaluation()
    scores = first.score([prompt], fixtures)
    first.journal.close()  # type: ignore[attr-defined]  # see the fixture
    second = open_evaluation()
    assert second.score([prompt], fixtures) == scores
    assert not second.scorer.opened


def test_what_was_bought_before_the_budget_ran_out_is_kept(
    open_evaluation: Open, backend: FakeBackend, prompt: Prompt, fixtures: tuple[Fixture, ...]
) -> None:
    free = open_evaluation()
    many = variants(prompt, 12)
    half = free.cost(many[:6], fixtures)
    free.journal.close()  # type: ignore[attr-defined]  # see the fixture
    bounded = open_evaluation(Budget(forward_tokens=half))
    with pytest.raises(BudgetError):
        bounded.score(many, fixtures)
    assert 0 < bounded.scorer.tokens_spent <= half
    assert bounded.prompts_scored >= 4


def test_a_prompt_that_does_not_render_or_fit_is_named_and_not_raised(
    open_evaluation: Open, backend: FakeBackend, prompt: Prompt, fixtures: tuple[Fixture, ...]
) -> None:
    evaluation = open_evaluation()
    assert evaluation.unusable(prompt, fixtures) is None
    assert evaluation.unusable(prompt.with_text(0, 0, "{{ nothing }}"), fixtures) == "does not render"
    backend.context_length = 200
    assert "too long" in (evaluation.unusable(prompt.with_text(0, 0, "long " * 50), fixtures) or "")


@pytest.mark.parametrize(("finished", "room", "fits"), [(True, 91, True), (True, 90, False), (False, 90, True)])
def test_of_a_later_fixtures_texts_the_one_of_most_tokens_has_to_fit_and_not_that_of_most_characters(
    open_evaluation: Open, backend: FakeBackend, prompt: Prompt, fixtures: tuple[Fixture, ...],
    finished: bool, room: int, fits: bool,
) -> None:  # fmt: skip
    evaluation = open_evaluation()
    held = [BankedResponse("a" * 60, 1.0, True, -1.0), BankedResponse("\u6f22" * 30, 0.0, finished, -1.0)]
    evaluation.use(ResponseBank({fixture.id: held if fixture is fixtures[-1] else held[:1] for fixture in fixtures}))
    turns = render(prompt, fixtures[-1])
    context = backend.tokenizer.encode(backend.tokenizer.render(turns, generation_prompt=True), special_tokens=False)
    backend.context_length = len(context) + room
    reason = evaluation.unusable(prompt, fixtures[:1], fixtures[-1:])
    assert (reason is None) == fits
    if fits:
        evaluation.score([prompt], fixtures[-1:])
    else:
        with pytest.raises(EncodingError):
            evaluation.score([prompt], fixtures[-1:])


def test_where_there_is_room_one_text_of_a_later_fixture_is_tried(
    open_evaluation: Open,
    backend: FakeBackend,
    prompt: Prompt,
    fixtures: tuple[Fixture, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluation = open_evaluation()
    held = [BankedResponse(f"{i:03}", 1.0, True, -1.0) for i in range(100)]
    evaluation.use(ResponseBank({fixture.id: held for fixture in fixtures}))
    encoded: list[str] = []
    encode = FakeTokenizer.encode

    def counted(self: FakeTokenizer, text: str, *, special_tokens: bool) -> tuple[int, ...]:
        encoded.append(text)
        return encode(self, text, special_tokens=special_tokens)

    monkeypatch.setattr(FakeTokenizer, "encode", counted)
    assert evaluation.unusable(prompt, fixtures[:1], fixtures[-1:]) is None
    assert len(encoded) == (1 + 100) + (1 + 1)
