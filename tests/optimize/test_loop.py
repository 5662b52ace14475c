"""A whole run on the framework-free model: it improves, keeps its limits, resumes, and says why it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from pytest_pmpo.errors import BackendError, BudgetError, FixtureError, OptimizeError, RewriterError
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.listener import Plan, Silent
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.records import OptimizeResult, Round, Step
from pytest_pmpo.optimize.rewriters.base import Ask, Proposal, Rejection, View
from pytest_pmpo.optimize.rewriters.structural import StructuralEdits
from pytest_pmpo.optimize.study import Study
from pytest_pmpo.prompts.model import Expected, Fixture
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.metrics.preference import PreferenceLoss
from pytest_pmpo.scoring.scorer import Scorer

Make = Callable[..., OptimizeRequest]


class Told(Silent):
    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.rows: list[Round] = []
        self.notes: list[str] = []
        self.results: list[OptimizeResult] = []

    def started(self, plan: Plan) -> None:
        self.plans.append(plan)

    def round_done(self, row: Round) -> None:
        self.rows.append(row)

    def noted(self, text: str) -> None:
        self.notes.append(text)

    def finished(self, result: OptimizeResult) -> None:
        self.results.append(result)


def test_structural_edits_improve_the_prompt_and_the_gate_confirms_it(make_request: Make) -> None:
    result = run(make_request())
    assert result.won
    assert result.verdict is not None
    assert result.verdict.status == "improved"
    assert result.after.heldout.mean < result.before.heldout.mean
    assert result.data is not None
    assert result.data.decode().endswith("Sentence: {{ input }}\nLabel:\n")
    assert "Answer with one word only." in result.data.decode()


def test_the_verdict_is_about_held_out_fixtures_alone(make_request: Make) -> None:
    result = run(make_request())
    assert result.verdict is not None
    assert {d.fixture_id for d in result.verdict.fixtures} == set(result.splits["heldout"])
    assert not set(result.winner.demos) & {*result.splits["heldout"], *result.splits["selection"]}


def test_the_best_selection_loss_never_rises_and_rounds_are_counted(make_request: Make) -> None:
    told = Told()
    result = run(make_request(budget=Budget(rounds=4)), told)
    assert [row.number for row in told.rows] == [0, 1, 2, 3, 4]
    assert result.rounds == tuple(told.rows)
    losses = [row.selection for row in told.rows]
    assert losses == sorted(losses, reverse=True)
    assert result.ending == "rounds"


def test_the_plan_is_told_before_the_first_forward_pass(make_request: Make, backend: FakeBackend) -> None:
    class Before(Told):
        def started(self, plan: Plan) -> None:
            super().started(plan)
            assert backend.sequences_scored == 0

    told = Before()
    run(make_request(budget=Budget(rounds=1, forward_tokens=50_000, minutes=5)), told)
    text = "\n".join(told.plans[0].lines())
    assert "6 train, 4 selection, 6 held-out" in text
    assert "limits: 1 round, 50,000 forward tokens, 5 minutes" in text
    assert f"{told.plans[0].first_tokens:,} forward tokens" in text


@pytest.mark.parametrize("limit", [2_500, 6_000, 12_000, 25_000])
def test_forward_tokens_are_never_exceeded_and_the_winner_is_still_confirmed(make_request: Make, limit: int) -> None:
    request = make_request(budget=Budget(rounds=9, forward_tokens=limit))
    result = run(request)
    assert request.scorer.tokens_spent == result.spent.forward_tokens <= limit
    assert result.ending in ("budget", "rounds")
    if result.winner.digest != result.incumbent.digest:
        assert result.verdict is not None


def test_a_budget_too_small_for_the_incumbent_is_an_error(make_request: Make) -> None:
    with pytest.raises(BudgetError, match="forward tokens"):
        run(make_request(budget=Budget(forward_tokens=10)))


def test_the_same_command_walks_the_same_path_without_a_forward_pass(make_request: Make, backend: FakeBackend) -> None:
    first = run(make_request())
    scored = backend.sequences_scored
    told = Told()
    second = run(make_request(), told)
    assert backend.sequences_scored == scored
    assert second.winner == first.winner
    assert [row.heldout for row in second.rounds] == [row.heldout for row in first.rounds]
    assert "resuming" in "\n".join(told.plans[0].lines())


def test_more_rounds_go_on_from_where_the_run_stopped(make_request: Make, backend: FakeBackend) -> None:
    run(make_request(budget=Budget(rounds=2)))
    two = backend.sequences_scored
    longer = run(make_request(budget=Budget(rounds=4)))
    assert len(longer.rounds) == 5
    four = backend.sequences_scored
    run(make_request(budget=Budget(rounds=4)))
    assert two < four == backend.sequences_scored


def test_no_prompt_is_scored_twice_in_a_run(make_request: Make) -> None:
    seen: list[tuple[int, ...]] = []

    class Recording(FakeBackend):
        def score(self, sequences: Any, *, progress: Any = None) -> list[tuple[float, ...]]:
            seen.extend(sequence.tokens for sequence in sequences)
            return super().score(sequences, progress=progress)

    run(make_request(scorer=Scorer("fake", Recording)))
    assert len(seen) == len(set(seen))


def test_ctrl_c_ends_with_the_best_so_far(make_request: Make) -> None:
    class Impatient(Told):
        def round_done(self, row: Round) -> None:
            super().round_done(row)
            if row.number == 2:
                raise KeyboardInterrupt

    told = Impatient()
    result = run(make_request(budget=Budget(rounds=9)), told)
    assert result.ending == "interrupted"
    assert result.winner == told.rows[2].best
    assert result.won
    assert told.results == [result]


def test_a_model_that_dies_ends_the_run_with_the_best_so_far(make_request: Make) -> None:
    class Dying(FakeBackend):
        def score(self, sequences: Any, *, progress: Any = None) -> list[tuple[float, ...]]:
            if self.sequences_scored > 250:
                raise BackendError("the server is gone")
            return super().score(sequences, progress=progress)

    result = run(make_request(scorer=Scorer("fake", Dying), budget=Budget(rounds=9)))
    assert (result.ending, result.ending_reason) == ("failed", "the server is gone")
    assert result.won


class Broken:
    name = "broken"

    def propose(self, view: View, ask: Ask, count: int) -> list[Proposal | Rejection]:
        raise RewriterError("no answer within 60 s")


def test_a_rewriter_that_fails_is_left_out_and_named_while_another_goes_on(make_request: Make) -> None:
    told = Told()
    result = run(make_request(rewriters=(Broken(), StructuralEdits())), told)
    assert result.won
    assert told.notes == ["rewriter broken failed and is left out: no answer within 60 s"]
    assert result.notes == tuple(told.notes)


def test_when_every_rewriter_fails_the_run_ends_and_says_so(make_request: Make) -> None:
    result = run(make_request(rewriters=(Broken(),)))
    assert (result.ending, result.ending_reason, result.won) == ("failed", "no answer within 60 s", False)


class Harmful:
    """Proposes nothing but prompts that lose something."""

    name = "harmful"

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts

    def propose(self, view: View, ask: Ask, count: int) -> list[Proposal | Rejection]:
        return [Proposal(view.parent.prompt.with_text(0, 0, text), "harm") for text in self.texts]


def test_without_a_better_candidate_there_is_no_patch_and_a_reason(make_request: Make) -> None:
    texts = ("Zzz qqq. Answer with one word only. {{ input }}", "No input. Answer with one word only.")
    result = run(make_request(rewriters=(Harmful(texts),)))
    assert (result.won, result.data, result.verdict) == (False, None, None)
    assert result.reason == "no candidate was better than the prompt as it is, beyond the noise"
    assert result.dropped["placeholder lost"] == 1
    assert result.rounds[-1].duplicates > 0


class PicksWorse:
    """A strategy that is wrong, to show that the gate has the last word."""

    name, settings = "picks-worse", ""

    def rounds(self, study: Study) -> Iterator[Step]:
        worse = study.admit(study.incumbent.prompt.with_text(0, 0, "Answer with one word only. {{ input }}"), "worse")
        assert worse is not None
        yield Step(worse, True)


def test_a_winner_the_held_out_fixtures_do_not_confirm_gives_no_patch(make_request: Make) -> None:
    result = run(make_request(strategy=PicksWorse()))
    assert not result.won
    assert result.data is None
    assert "not confirmed on held-out fixtures" in result.reason


def test_too_few_fixtures_stop_the_run(make_request: Make, fixtures: tuple[Fixture, ...]) -> None:
    with pytest.raises(OptimizeError, match="7 fixtures are too few"):
        run(make_request(fixtures=fixtures[:7]))


def test_few_held_out_groups_are_warned_about_before_the_start(
    make_request: Make, fixtures: tuple[Fixture, ...]
) -> None:
    told = Told()
    grouped = tuple(replace(f, group=f"g{i % 5}") for i, f in enumerate(fixtures))
    run(make_request(fixtures=grouped), told)
    assert "can never prove an improvement" in told.plans[0].lines()[-1]


def test_a_fixture_the_metric_cannot_measure_is_named(make_request: Make) -> None:
    with pytest.raises(FixtureError, match="fixture 'praise-0' cannot be measured by preference"):
        run(make_request(metric=PreferenceLoss()))


def test_another_seed_model_or_label_is_another_journal(make_request: Make, fixtures: tuple[Fixture, ...]) -> None:
    base = make_request()
    relabelled = (replace(fixtures[0], label=Expected("blame")), *fixtures[1:])
    digests = {
        base.digest,
        make_request(seed=1).digest,
        make_request(fixtures=relabelled).digest,
        make_request(scorer=Scorer("other", FakeBackend)).digest,
    }
    assert len(digests) == 4
    assert make_request(budget=Budget(rounds=99)).digest == base.digest


def test_the_mask_table_names_the_line_that_carries_the_prompt(make_request: Make) -> None:
    result = run(make_request())
    table = result.masks[0]
    assert table is not None
    best = max(table.rows, key=lambda row: row.worth)
    assert best.unit.text == "- Decide whether it is praise or blame."
    assert best.tokens == len(best.unit.text)
