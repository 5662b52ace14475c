"""Every strategy improves, resumes, keeps its limits and never shows a held-out fixture to a writer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_pmpo.errors import ConfigError, OptimizeError, RewriterError
from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.rewriters.base import Reply
from pytest_pmpo.optimize.rewriters.language import LanguageRewriter
from pytest_pmpo.optimize.strategies.pmpo_paper import PmpoPaper
from pytest_pmpo.optimize.strategies.select import CHOICES, choose
from pytest_pmpo.prompts.model import Fixture, Turn
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.records import Bank, Response
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.fake import FakeBackend

Make = Callable[..., OptimizeRequest]

BETTER = "Decide whether it is praise or blame. Say praise or blame."
WORSE = "Consider the matter at length and at leisure, dear friend."
TEXT = "You judge short sentences all day long.\n\nAnswer with one word only.\n\nSentence: {{ input }}\nLabel:\n"
BANKED = f"You love cheese.\n\n{TEXT.split(chr(10), 2)[2]}"
FRAME = "{}\n\nAnswer with one word only."


class Scribe:
    """Answers with texts in turn, so that two samples differ; remembers what it was asked."""

    name = identity = "scribe"

    def __init__(self, dies_after: int | None = None) -> None:
        self.asked: list[str] = []
        self.dies_after = dies_after

    def write(
        self, conversations: Sequence[Sequence[Turn]], settings: SamplingSettings, *, samples: int, seconds: Any = None
    ) -> Iterator[tuple[Reply, ...]]:
        for turns in conversations:
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                raise RewriterError("the scribe fell asleep")
            self.asked.append(turns[-1].content)
            number = len(self.asked)
            texts = [f"{BETTER} ({number}.{i})" if i % 2 else f"{WORSE} ({number}.{i})" for i in range(1, samples + 1)]
            fence = "```\n{}\n```" if "within ``` blocks" in turns[-1].content else "<prompt>\n{}\n</prompt>"
            yield tuple(Reply(fence.format(FRAME.format(text)), 20) for text in texts)


def request(make_request: Make, name: str, scribe: Scribe, **changes: Any) -> OptimizeRequest:
    choice = choose(name)
    values: dict[str, Any] = {
        "text": TEXT,
        "strategy": choice.strategy,
        "tuning": choice.tuning,
        "constraints": choice.constraints,
        "rewriters": (LanguageRewriter(scribe, scope="instructions"),),
        "budget": Budget(rounds=2),
    }
    return make_request(**(values | changes))


LEARNING = [name for name in CHOICES if choose(name).asks_model or name == "pmpo"]


@pytest.fixture(autouse=True)
def _need_gepa(request: pytest.FixtureRequest) -> None:
    if "gepa" in request.node.name:
        pytest.importorskip("gepa")


@pytest.mark.parametrize("name", LEARNING)
def test_it_finds_the_better_prompt_and_the_gate_confirms_it(make_request: Make, name: str) -> None:
    scribe = Scribe()
    result = run(request(make_request, name, scribe))
    assert result.strategy == choose(name).strategy.name
    assert result.ending in ("rounds", "exhausted"), result.ending_reason
    assert BETTER in result.winner.prompt.messages[0].text
    assert result.won, result.reason
    assert result.winner.prompt.messages[0].text.endswith("Sentence: {{ input }}\nLabel:")


@pytest.mark.parametrize("name", LEARNING)
def test_the_same_command_asks_and_scores_nothing_again(make_request: Make, backend: FakeBackend, name: str) -> None:
    first = run(request(make_request, name, Scribe()))
    scored, again = backend.sequences_scored, Scribe()
    second = run(request(make_request, name, again))
    assert again.asked == []
    assert backend.sequences_scored == scored
    assert second.winner == first.winner


@pytest.mark.parametrize("name", LEARNING)
def test_no_held_out_fixture_is_ever_shown(make_request: Make, fixtures: tuple[Fixture, ...], name: str) -> None:
    scribe = Scribe()
    result = run(request(make_request, name, scribe))
    shown = "\n".join(scribe.asked)
    for fixture in fixtures:
        if fixture.id in result.splits["heldout"]:
            assert fixture.vars["input"] not in shown


@pytest.mark.parametrize("name", LEARNING)
def test_forward_and_generated_tokens_keep_to_their_limits(make_request: Make, name: str) -> None:
    budget = Budget(rounds=9, forward_tokens=6_000, generated_tokens=9_000)
    asked = request(make_request, name, Scribe(), budget=budget)
    result = run(asked)
    assert asked.scorer.tokens_spent <= 6_000
    assert result.spent.generated_tokens <= 9_000


@pytest.mark.parametrize("name", LEARNING)
def test_a_writer_that_dies_ends_the_run_with_the_best_so_far(make_request: Make, name: str) -> None:
    result = run(request(make_request, name, Scribe(dies_after=1), budget=Budget(rounds=6)))
    assert (result.ending, result.ending_reason) == ("failed", "the scribe fell asleep")
    assert result.after.selection.mean <= result.before.selection.mean


@pytest.mark.parametrize("name", [n for n in LEARNING if n not in ("pmpo", "pmpo-paper")])
def test_a_strategy_that_needs_a_writer_says_so(make_request: Make, name: str) -> None:
    with pytest.raises(OptimizeError, match="no rewriter is one"):
        run(make_request(text=TEXT, strategy=choose(name).strategy))


@pytest.mark.parametrize("name", ["cot", "step-back", "rephrase"])
def test_fixed_prompts_take_one_round_and_no_writer(make_request: Make, name: str) -> None:
    result = run(make_request(text=TEXT, strategy=choose(name).strategy, rewriters=()))
    assert len(result.rounds) == 2
    assert result.scored == 2


def test_paper_mode_has_the_papers_numbers() -> None:
    choice = choose("pmpo-paper")
    tuning = choice.tuning
    assert (choice.rounds, tuning.hard_cases, tuning.variants, tuning.max_units) == (20, 3, 4, 5)
    assert not tuning.deletion


def test_paper_mode_asks_once_per_hard_case_with_its_mask_table(make_request: Make) -> None:
    scribe = Scribe()
    run(request(make_request, "pmpo-paper", scribe, budget=Budget(rounds=1)))
    assert len(scribe.asked) == 3
    assert all("Parts of the prompt were taken out" in question for question in scribe.asked)


def test_paper_modules_can_be_switched_off(make_request: Make, backend: FakeBackend) -> None:
    with_masks, without = Scribe(), Scribe()
    run(request(make_request, "pmpo-paper", with_masks, budget=Budget(rounds=1)))
    full = backend.sequences_scored
    run(request(make_request, "pmpo-paper", without, strategy=PmpoPaper(masks=False), budget=Budget(rounds=1)))
    assert backend.sequences_scored - full < full
    assert not any("taken out" in question for question in without.asked)
    random_cases = Scribe()
    run(
        request(make_request, "pmpo-paper", random_cases, strategy=PmpoPaper(hard_cases=False), budget=Budget(rounds=1))
    )
    assert random_cases.asked != with_masks.asked
    assert len(random_cases.asked) == 3


def test_an_unknown_strategy_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'opro'"):
        choose("oprO")


@pytest.mark.parametrize("name", LEARNING)
def test_every_strategy_can_optimize_a_response_bank(make_request: Make, name: str, bank: Bank, letter: Grader) -> None:
    """Its best prompt has answered for itself, and one limit holds for writer and bank together."""
    metric = BankObjective(bank, letter, "fake", max_new_tokens=10)
    budget = Budget(rounds=2, generated_tokens=6_000)
    result = run(request(make_request, name, Scribe(), metric=metric, budget=budget, text=BANKED))
    assert result.ending in ("rounds", "exhausted", "budget"), result.ending_reason
    assert 0 <= result.spent.top_up_tokens <= result.spent.generated_tokens <= 6_000
    if result.winner.digest != result.incumbent.digest:
        drawn_from = {row.proposal for row in result.drawn if isinstance(row, Response)}
        assert result.winner.digest in drawn_from


class Babbler(Scribe):
    """Answers everything a rewriter should not."""

    BAD = (
        "Certainly! Prompts are lovely.",
        "",
        "<prompt></prompt>",
        "<prompt>\n" + "again and again " * 400 + "\n</prompt>",
        "<prompt>\nSay praise or blame.\n</prompt>",
        "<prompt>\n{{ input }} {{ secret }}\n</prompt>",
        "<prompt>\n" + " ".join(f"word{i}" for i in range(9_000)) + "{{ input }}\n</prompt>",
        "<prompt>\nAnswer with one word only.\n\n{{ input }}\nLabel: {% if x %}\n</prompt>",
        "<prompt>\nAnswer with one word only.\n\n{{ input }}\n\x00</prompt>",
        "<prompt><prompt><prompt>",
    )

    def write(
        self, conversations: Sequence[Sequence[Turn]], settings: SamplingSettings, *, samples: int, seconds: Any = None
    ) -> Iterator[tuple[Reply, ...]]:
        for turns in conversations:
            self.asked.append(turns[-1].content)
            start = len(self.asked) * samples
            yield tuple(Reply(self.BAD[(start + i) % len(self.BAD)], 20) for i in range(samples))


@pytest.mark.parametrize("name", LEARNING)
def test_a_writer_of_nonsense_costs_a_run_nothing_but_its_tokens(make_request: Make, name: str) -> None:
    """Every answer is dropped for a reason, the prompt stays, and the run ends by itself."""
    scribe = Babbler()
    changed = {"rewriters": (LanguageRewriter(scribe, scope="whole"),), "budget": Budget(rounds=6)}
    result = run(request(make_request, name, scribe, **changed))
    assert result.ending in ("rounds", "exhausted"), result.ending_reason
    assert result.winner.digest == result.incumbent.digest
    assert result.data is None
    assert sum(result.dropped.values()) > 0


def test_the_worse_half_of_a_round_runs_a_third_of_the_train_fixtures(
    make_request: Make, fixtures: tuple[Fixture, ...]
) -> None:
    many = tuple(
        replace(fixture, id=f"{fixture.id}/{n}", vars={"input": f"{fixture.vars['input']} {n}"})
        for n in "abc"
        for fixture in fixtures
    )
    asked = request(make_request, "pmpo", Scribe(), fixtures=many, budget=Budget(rounds=1))
    result = run(replace(asked, tuning=replace(asked.tuning, variants=6)))
    scored: dict[str, set[str]] = {}
    (journal,) = asked.journals.glob("*.jsonl")
    for line in journal.read_text().splitlines():
        entry = json.loads(line)["entry"]
        if entry["kind"] == "score":
            scored.setdefault(entry["prompt"], set()).update(entry["fixtures"])
    train = set(result.splits["train"])
    counts = Counter(len(train & seen) for seen in scored.values())
    assert counts[len(train) // 3] == 9  # of three hard cases × six answers
    assert result.won
