"""A response bank as the objective: accepted prompts answer for themselves, in budget, and a kill loses nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_pmpo.errors import BackendError, BankError, ConfigError, GraderError
from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.records import Step
from pytest_pmpo.optimize.study import Study
from pytest_pmpo.optimize.units import delete_unit, segment
from pytest_pmpo.prompts.model import Fixture, Prompt, Turn
from pytest_pmpo.responses.bank import append, read_bank
from pytest_pmpo.responses.build import Writer, fill
from pytest_pmpo.responses.demands import demands
from pytest_pmpo.responses.graders.base import Grade, Grader
from pytest_pmpo.responses.records import Bank, Proposal, Response
from pytest_pmpo.responses.variants import proposals
from pytest_pmpo.scoring.backends.base import Generation, Progress, SamplingSettings
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.scorer import Scorer

Make = Callable[..., OptimizeRequest]


class Writing(FakeBackend):
    """Counts what it samples."""

    written = 0

    def generate(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int = 1,
        progress: Progress | None = None,
    ) -> list[tuple[Generation, ...]]:
        rows = super().generate(conversations, settings, samples=samples, progress=progress)
        self.written += sum(len(generation.tokens) for row in rows for generation in row)
        return rows


@pytest.fixture
def backend() -> Writing:
    return Writing()


@pytest.fixture
def make(make_request: Make, bank: Bank, letter: Grader) -> Make:
    def made(**changes: Any) -> OptimizeRequest:
        numbers = changes.pop("numbers", {})
        metric = BankObjective(changes.pop("bank", bank), letter, "fake", max_new_tokens=10, **numbers)
        return make_request(**{"metric": metric, "budget": Budget(rounds=2), **changes})

    return made


class Picks:
    """Accepts the prompt without its second unit, and asks nobody."""

    name, settings = "picks", ""

    def rounds(self, study: Study) -> Iterator[Step]:
        prompt = study.incumbent.prompt
        found = study.admit(delete_unit(prompt, segment(prompt, 8)[1]), "picked")
        assert found is not None
        while True:
            yield Step(found, True, "picked")


def drawn_by_prompt(drawn: Sequence[Proposal | Response]) -> dict[str, list[Response]]:
    found: dict[str, list[Response]] = {}
    for row in drawn:
        if isinstance(row, Response):
            assert row.proposal is not None
            found.setdefault(row.proposal, []).append(row)
    return found


def test_the_estimated_accuracy_rises_and_the_accepted_prompt_has_answered_for_itself(make: Make) -> None:
    result = run(make())
    assert result.metric.name == "response-bank"
    assert result.winner.digest != result.incumbent.digest
    assert result.after.selection.mean > result.before.selection.mean
    own = drawn_by_prompt(result.drawn)[result.winner.digest]
    assert {row.fixture for row in own} == {name for ids in result.splits.values() for name in ids}
    assert all(row.grade == float("l" in row.text) for row in own)
    assert any(isinstance(row, Proposal) and row.digest == result.winner.digest for row in result.drawn)


def test_a_prompt_the_bank_does_not_cover_is_not_accepted(make: Make) -> None:
    result = run(make(numbers={"minimum": 2.0}))
    assert result.winner.digest == result.incumbent.digest
    assert result.dropped["not covered by the response bank"] >= 1


def test_a_held_out_comparison_the_bank_does_not_cover_is_inconclusive(make: Make) -> None:
    result = run(make(strategy=Picks(), numbers={"minimum": 2.0}, budget=Budget(rounds=1)))
    assert result.verdict is not None
    assert (result.won, result.verdict.status) == (False, "inconclusive")
    assert "the response bank covers only" in result.reason


def test_a_strategy_that_asks_nobody_has_its_prompt_sampled_between_rounds(make: Make) -> None:
    result = run(make(strategy=Picks(), budget=Budget(rounds=1)))
    own = drawn_by_prompt(result.drawn)[result.winner.digest]
    assert {row.fixture for row in own} >= {*result.splits["train"], *result.splits["selection"]}


class Vouches(Picks):
    """Asks for fresh responses itself, as ``pmpo`` does, before the loop does."""

    def rounds(self, study: Study) -> Iterator[Step]:
        for step in super().rounds(study):
            study.vouch(step.best)
            yield step


def test_a_prompt_that_has_answered_for_itself_is_not_asked_again(
    make: Make, fixtures: tuple[Fixture, ...], prompt: Prompt, letter: Grader, tmp_path: Path
) -> None:
    """Eighteen responses from others to each fixture take two of its own, before it has given them and after."""
    model, file = FakeBackend(), tmp_path / "large.responses.jsonl"
    writer = Writer(model, model.tokenizer, None, "fake", letter, SamplingSettings(max_new_tokens=10))
    wanted = demands(Bank("b"), fixtures, proposals(prompt, ("base", "direct")), 18, "fake")
    fill(file, Bank("b"), wanted, writer)
    result = run(make(bank=read_bank("b", file.read_bytes()), strategy=Vouches(), budget=Budget(rounds=1)))
    own = drawn_by_prompt(result.drawn)[result.winner.digest]
    assert set(Counter(row.fixture for row in own).values()) == {2}


def test_responses_are_drawn_with_the_limit_most_cut_ones_show(bank: Bank, letter: Grader) -> None:
    """Read again, some have more tokens than they were drawn with."""
    rows = [replace(bank.responses[0], text="x" * n, draw=i, finished=False) for i, n in enumerate((8, 8, 9))]
    assert BankObjective(replace(bank, responses=tuple(rows)), letter, "fake").token_limit(len) == 8
    assert BankObjective(replace(bank, responses=()), letter, "fake").token_limit(len) == 256


def test_sampled_tokens_stay_within_the_limit_and_the_report_says_what_was_not_bought(
    make: Make, backend: Writing
) -> None:
    limit = 10 * 2 * 10
    result = run(make(budget=Budget(rounds=2, top_up_tokens=limit)))
    assert 0 < backend.written <= limit
    assert result.spent.top_up_tokens == result.spent.generated_tokens == backend.written
    assert any("was not topped up further" in note for note in result.notes)


def test_forward_tokens_stay_within_the_limit_wherever_it_falls(make: Make) -> None:
    whole = run(make()).spent.forward_tokens
    for number, share in enumerate((0.35, 0.6, 0.85)):
        request = make(seed=0, budget=Budget(rounds=2, forward_tokens=int(share * whole)))
        result = run(replace(request, journals=request.journals / str(number)))
        assert result.spent.forward_tokens <= share * whole
        assert result.ending in ("budget", "rounds")


def test_the_same_command_again_samples_and_scores_nothing(make: Make, backend: Writing) -> None:
    first = run(make())
    scored, written = backend.sequences_scored, backend.written
    again = run(make())
    assert (backend.sequences_scored, backend.written) == (scored, written)
    assert (again.winner.digest, again.after, again.drawn) == (first.winner.digest, first.after, first.drawn)


def test_a_run_goes_on_after_its_own_responses_have_joined_the_bank(
    make: Make, bank: Bank, backend: Writing, tmp_path: Path
) -> None:
    first = run(make())
    file = tmp_path / "grown.responses.jsonl"
    append(file, [*bank.proposals.values(), *bank.responses])
    append(file, first.drawn)
    grown = read_bank(bank.path, file.read_bytes())
    assert len(grown.responses) > len(bank.responses)
    written = backend.written
    again = run(make(bank=grown))
    assert backend.written == written
    assert again.winner.digest == first.winner.digest


def test_a_bank_somebody_else_added_to_is_another_run(make: Make, bank: Bank) -> None:
    more = replace(bank.responses[0], text="a fresh answer", draw=99)
    assert make().digest != make(bank=replace(bank, responses=(*bank.responses, more))).digest


def test_a_fixture_without_responses_is_named(make: Make, bank: Bank) -> None:
    rest = tuple(row for row in bank.responses if row.fixture != "blame-9")
    with pytest.raises(BankError, match="fixture 'blame-9' has no usable response"):
        run(make(bank=replace(bank, responses=rest)))


class ScoresOnly:
    """A model that cannot write."""

    def __init__(self) -> None:
        fake = FakeBackend()
        self.score, self.tokenizer = fake.score, fake.tokenizer
        self.context_length, self.description = fake.context_length, "scores only"


def test_a_model_that_cannot_write_accepts_only_what_the_bank_covers_and_says_so(make: Make) -> None:
    result = run(make(scorer=Scorer("scores-only", ScoresOnly)))
    assert result.drawn == ()
    assert any("this model cannot write (scores only)" in note for note in result.notes)
    assert result.spent.generated_tokens == 0


def test_a_grader_that_keeps_failing_ends_the_run_with_the_best_so_far_and_its_responses_are_graded_later(
    make: Make, bank: Bank, backend: Writing, tmp_path: Path
) -> None:
    class Fails:
        identity = "letter"

        def grade(self, fixture: Fixture, response: str) -> Grade:
            raise GraderError("the judge is ill")

    metric = BankObjective(bank, Fails(), "fake", max_new_tokens=10)
    result = run(make(metric=metric))
    assert (result.ending, result.winner.digest) == ("failed", result.incumbent.digest)
    assert "the judge is ill" in result.ending_reason
    healed = run(make())
    with_the_break = backend.written
    calm = run(make(journals=tmp_path / "calm"))
    assert (healed.winner.digest, healed.after) == (calm.winner.digest, calm.after)
    assert healed.winner.digest != healed.incumbent.digest
    # what was sampled while the judge was ill was graded now, and not sampled again
    assert with_the_break == backend.written - with_the_break > 0


def test_a_top_up_of_nothing_is_refused(bank: Bank, letter: Grader) -> None:
    with pytest.raises(ConfigError, match="at least one response"):
        BankObjective(bank, letter, "fake", per_fixture=0)


class PicksThree:
    """Accepts the prompt without its second unit, then without its third, then without its fourth."""

    name, settings = "picks-three", ""

    def rounds(self, study: Study) -> Iterator[Step]:
        prompt = study.incumbent.prompt
        for unit in segment(prompt, 8)[1:4]:
            found = study.admit(delete_unit(prompt, unit), "picked")
            assert found is not None
            yield Step(found, True, "picked")


class Dies(Writing):
    """A model that is gone after so many calls."""

    calls, last = 0, 10**9

    def _call(self) -> None:
        self.calls += 1
        if self.calls > self.last:
            raise BackendError("the model is gone")

    def score(self, *arguments: Any, **named: Any) -> Any:
        self._call()
        return super().score(*arguments, **named)

    def generate(self, *arguments: Any, **named: Any) -> Any:
        self._call()
        return super().generate(*arguments, **named)


def test_a_model_that_dies_at_any_later_point_leaves_the_best_so_far(make: Make, tmp_path: Path) -> None:
    def dying(last: int) -> tuple[Dies, OptimizeRequest]:
        model = Dies()
        model.last = last
        scorer = Scorer("dies", lambda: model)
        return model, make(
            scorer=scorer, strategy=PicksThree(), budget=Budget(rounds=3), journals=tmp_path / f"after-{last}"
        )

    model, request = dying(10**9)
    whole = run(request)
    assert len({row.best.digest for row in whole.rounds}) == 4
    ends = set()
    for last in (model.calls * 3 // 4, model.calls - 4, model.calls - 1):
        ends.add(run(dying(last)[1]).ending)
    assert ends == {"failed", "rounds"}
