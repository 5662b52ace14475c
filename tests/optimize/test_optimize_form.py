"""How much of a held-out gain is form: the gate's own split, in one call with the losses, within the budget, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_pmpo.gate.form import with_form
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy
from pytest_pmpo.optimize.budget import Budget, Ledger
from pytest_pmpo.optimize.evaluation import Evaluation
from pytest_pmpo.optimize.form import HeldoutForm
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.message import commit_message
from pytest_pmpo.optimize.records import OptimizeResult
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Prompt
from pytest_pmpo.prompts.render import render
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.encode import encode_context, encode_target
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.form_control import WithControl
from pytest_pmpo.scoring.metrics.preference import ChoiceLoss
from pytest_pmpo.scoring.scorer import Scorer

Make = Callable[..., OptimizeRequest]


def heldout(result: OptimizeResult, fixtures: Sequence[Fixture]) -> tuple[Fixture, ...]:
    return tuple(fixture for fixture in fixtures if fixture.id in result.splits["heldout"])


def form_of(folder: Path, fixtures: Sequence[Fixture], limit: int | None = None) -> tuple[HeldoutForm, Ledger]:
    ledger = Ledger(Budget(forward_tokens=limit))
    journal = Journal(folder / "j.jsonl")
    return HeldoutForm(Evaluation(Scorer("fake", FakeBackend), CrossEntropy(), ledger, journal), fixtures), ledger


def test_a_win_carries_what_the_gate_would_say_of_its_held_out_fixtures(
    make_request: Make, fixtures: tuple[Fixture, ...]
) -> None:
    request = make_request()
    result = run(request)
    kept = heldout(result, fixtures)
    metric = WithControl(CrossEntropy(), kept)
    prompts = [result.incumbent.prompt, result.winner.prompt]
    base, head = (metric.split(s, kept) for s in Scorer("fake", FakeBackend).score(prompts, kept, metric))
    expected = with_form(decide(head[0], base[0], request.policy, model="fake"), base, head, request.policy)
    assert expected.form is not None
    assert result.verdict == expected


def test_commit_message_and_the_next_run_say_the_same(make_request: Make, backend: FakeBackend) -> None:
    first = run(make_request())
    scored = backend.sequences_scored
    second = run(make_request())
    assert backend.sequences_scored == scored
    assert first.verdict is not None
    assert first.verdict.form is not None
    assert second.verdict == first.verdict
    assert f"Of the difference {first.verdict.form.form:+.4f} is form" in commit_message(first)
    assert f"{first.verdict.form.rest:+.4f} is left for the right labels" in commit_message(second)


def test_prompt_and_input_are_paid_for_once(tmp_path: Path, prompt: Prompt, fixtures: tuple[Fixture, ...]) -> None:
    form, ledger = form_of(tmp_path, fixtures)
    plain = Evaluation(Scorer("fake", FakeBackend), CrossEntropy(), Ledger(Budget()), Journal(tmp_path / "plain.jsonl"))
    right = plain.cost([prompt], fixtures)
    labels = len("praise") + len("blame")
    assert form.extra_cost(prompt) <= labels * len(fixtures) // 2
    announced = right + form.extra_cost(prompt)
    assert form.score(prompt) == plain.score([prompt], fixtures)[0]
    assert ledger.spent.forward_tokens == announced


def test_where_the_budget_holds_the_winners_right_labels_alone_these_are_scored_and_the_lack_is_told(
    tmp_path: Path, prompt: Prompt, read: Callable[..., Prompt], fixtures: tuple[Fixture, ...]
) -> None:
    better = read("Say praise or blame: {{ input }}\n")
    free = Evaluation(Scorer("fake", FakeBackend), CrossEntropy(), Ledger(Budget()), Journal(tmp_path / "free.jsonl"))
    limit = sum(free.cost([one], fixtures) for one in (prompt, better))
    limit += HeldoutForm(free, fixtures).extra_cost(prompt)
    form, ledger = form_of(tmp_path, fixtures, limit)
    base, head = form.score(prompt), form.score(better)
    policy = Policy(hard_break=None)
    verdict = decide(head, base, policy, model="fake")
    told, notes = form.beside(verdict, (prompt, base), (better, head), policy)
    assert ledger.spent.forward_tokens <= limit
    assert told == verdict
    assert len(notes) == 1
    assert "could not be measured: the next step needs" in notes[0]


def test_one_label_for_all_leaves_nothing_to_shuffle(make_request: Make, fixtures: tuple[Fixture, ...]) -> None:
    alike = tuple(replace(fixture, label=Expected("praise")) for fixture in fixtures)
    result = run(make_request(fixtures=alike))
    assert result.won
    assert result.verdict is not None
    assert result.verdict.form is None
    assert [note for note in result.notes if "form" in note] == [
        "how much of the held-out change is form could not be measured: all held-out fixtures have the same label"
    ]


def test_a_metric_that_compares_answers_needs_no_control(make_request: Make, fixtures: tuple[Fixture, ...]) -> None:
    choices = ("praise", "blame")
    asked = tuple(replace(f, label=Choice(choices, choices.index(f.id.split("-")[0]))) for f in fixtures)
    result = run(make_request(fixtures=asked, metric=ChoiceLoss()))
    assert result.verdict is None or result.verdict.form is None
    assert not any("is form" in note for note in result.notes)


def test_a_label_that_cannot_follow_another_input_costs_the_control_alone(
    tmp_path: Path, prompt: Prompt, read: Callable[..., Prompt], fixtures: tuple[Fixture, ...]
) -> None:
    longest = Fixture("long", {"input": "a very long day at the sea"}, Expected("blame"))
    fixtures = (longest, *(replace(f, label=Expected("praised")) for f in fixtures))
    free = Evaluation(Scorer("fake", FakeBackend), CrossEntropy(), Ledger(Budget()), Journal(tmp_path / "free.jsonl"))
    (own,) = CrossEntropy().continuations(longest)
    tokenizer = FakeBackend().tokenizer
    context = encode_context(tokenizer, render(prompt, longest))
    room = len(encode_target(tokenizer, context, own, label="long").tokens)
    evaluation = Evaluation(
        Scorer("tight", lambda: FakeBackend(context_length=room)),
        CrossEntropy(),
        Ledger(Budget()),
        Journal(tmp_path / "tight.jsonl"),
    )
    form, better = HeldoutForm(evaluation, fixtures), read("Say praised or blame: {{ input }}\n")
    base, head = form.score(prompt), form.score(better)
    assert base == free.score([prompt], fixtures)[0]
    assert form.extra_cost(prompt) == 0
    verdict = decide(head, base, Policy(hard_break=None), model="fake")
    told, notes = form.beside(verdict, (prompt, base), (better, head), Policy(hard_break=None))
    assert told.form is None
    assert f"but the model takes {room}" in notes[0]
