"""A bank becomes a metric: what is usable, what it weighs, and what is said about the rest."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from pytest_pmpo.errors import BankError, TemplateError
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment, Turn
from pytest_pmpo.responses.bank import read_bank
from pytest_pmpo.responses.lines import proposal_line, response_line
from pytest_pmpo.responses.records import Bank, Proposal, Response, input_digest, label_digest
from pytest_pmpo.responses.weigh import weigh
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.metrics.response_bank import coverage
from pytest_pmpo.scoring.records import Continuation
from pytest_pmpo.scoring.scorer import Scorer

MODEL = "model-a"


def prompt(text: str) -> Prompt:
    return Prompt(
        "p.prompt", "test", "fstring", (Message("system", (Segment(text),)), Message("user", (Segment("{q}"),))), ""
    )


BASE, OTHER, HEAD = prompt("say yes or no"), prompt("the answer is yes"), prompt("the answer is no")
F1, F2 = (Fixture(name, {"q": f"question {name}?"}, Expected("yes")) for name in ("f1", "f2"))


def row(
    text: str, grade: float | None = 1.0, proposal: Prompt | None = BASE, fixture: Fixture = F1, **more: object
) -> Response:
    values = {
        "proposal": None if proposal is None else proposal.template_digest,
        "input": input_digest(fixture),
        "label": label_digest(fixture),
        "model": MODEL,
        "grader": "exact",
        "logprob": -999.0,
        **more,
    }
    return Response(fixture.id, text, grade, **values)  # type: ignore[arg-type]


def bank(*rows: Response, proposals: tuple[Prompt, ...] = (BASE, OTHER)) -> Bank:
    numbered = [replace(r, draw=i) if r.origin == "sampled" else r for i, r in enumerate(rows)]
    lines = [proposal_line(Proposal(f"p{i}", p)) for i, p in enumerate(proposals)] + [
        response_line(r) for r in numbered
    ]
    return read_bank("p.responses.jsonl", "".join(line + "\n" for line in lines).encode())


def log_p(of: Prompt, text: str, fixture: Fixture = F1) -> float:
    turns = (Turn("system", of.messages[0].text), Turn("user", fixture.vars["q"]))
    return -Scorer("x", FakeBackend).losses(turns, [Continuation(text, True)], fixture)[0].total


def test_weights_come_from_the_scorer_and_the_mixture_and_never_from_the_file() -> None:
    rows = [row("yes"), row("no", 0.0), row("no", 0.0, OTHER)]
    scorer = Scorer("x", FakeBackend)
    weighed = weigh(bank(*rows), [F1], scorer, model=MODEL)
    (score,) = scorer.score([HEAD], [F1], weighed.metric)

    def weight(text: str) -> float:
        q = 2 / 3 * math.exp(log_p(BASE, text)) + 1 / 3 * math.exp(log_p(OTHER, text))
        return math.exp(log_p(HEAD, text)) / q

    expected = weight("yes") / (weight("yes") + 2 * weight("no"))
    assert score.fixtures[0].value == pytest.approx(expected)


def test_a_bank_drawn_from_the_prompt_alone_gives_its_own_grades_and_full_coverage() -> None:
    scorer = Scorer("x", FakeBackend)
    weighed = weigh(bank(row("yes"), row("no", 0.0), row("yes!", 0.0)), [F1], scorer, model=MODEL)
    (score,) = scorer.score([BASE], [F1], weighed.metric)
    assert score.fixtures[0].value == pytest.approx(1 / 3)
    reach = coverage(score)
    assert reach is not None
    assert reach.share == pytest.approx(1)
    assert weighed.notes == ()


@pytest.mark.parametrize(
    ("aside", "words"),
    [
        (row("x", fixture=replace(F1, id="gone")), "answer fixtures that are gone"),
        (row("x", input="other"), "whose input has changed"),
        (row("x", None), "have no grade"),
        (row("x", label="other"), "graded by a label that has changed"),
        (row("x", proposal=HEAD), "a prompt the bank does not hold"),
    ],
)
def test_a_response_that_does_not_fit_is_set_aside_and_counted(aside: Response, words: str) -> None:
    weighed = weigh(bank(row("yes"), row("no", 0.0), aside), [F1], Scorer("x", FakeBackend), model=MODEL)
    assert [r.text for r in weighed.usable["f1"]] == ["yes", "no"]
    assert words in weighed.notes[0].message
    assert weighed.notes[0].message.startswith("1 responses")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("yes", model="model-b"), row("no", 0.0)], "1 responses are of another model"),
        ([row("yes", origin="written", proposal=None), row("no", 0.0)], "weights are nominal"),
        ([row("yes", finished=False), row("no", 0.0)], "1 of 2 responses were cut"),
        ([row("yes"), row("yes!")], "1 of 1 fixtures have responses of one grade only"),
    ],
)
def test_what_weakens_the_bank_is_said(rows: list[Response], words: str) -> None:
    weighed = weigh(bank(*rows), [F1], Scorer("x", FakeBackend), model=MODEL)
    assert any(words in note.message for note in weighed.notes)
    assert len(weighed.usable["f1"]) == 2


def test_a_fixture_without_responses_is_not_supported_and_said() -> None:
    weighed = weigh(bank(row("yes"), row("no", 0.0)), [F1, F2], Scorer("x", FakeBackend), model=MODEL)
    assert weighed.metric.supports(F1) is None
    assert weighed.metric.supports(F2) is not None
    assert any("1 fixtures have no usable response" in note.message for note in weighed.notes)


def test_a_response_may_name_the_base_prompt_without_a_line_of_its_own() -> None:
    weighed = weigh(bank(row("yes"), proposals=()), [F1], Scorer("x", FakeBackend), model=MODEL, known=(BASE,))
    assert weighed.proposals == (BASE.template_digest,)


def test_written_responses_alone_are_weighed_by_the_first_known_prompt() -> None:
    rows = [row(t, g, None, origin="written") for t, g in (("yes", 1.0), ("no", 0.0))]
    weighed = weigh(bank(*rows, proposals=()), [F1], Scorer("x", FakeBackend), model=MODEL, known=(BASE, OTHER))
    assert weighed.proposals == (BASE.template_digest,)
    with pytest.raises(BankError, match="name no prompt"):
        weigh(bank(*rows, proposals=()), [F1], Scorer("x", FakeBackend), model=MODEL)


def test_an_empty_bank_says_what_to_do() -> None:
    with pytest.raises(BankError, match="pmpo bank build"):
        weigh(bank(), [F1], Scorer("x", FakeBackend), model=MODEL)


def test_a_response_longer_than_the_context_names_the_bank() -> None:
    scorer = Scorer("x", lambda: FakeBackend(context_length=200))
    with pytest.raises(BankError, match=r"p\.responses\.jsonl:4: a response of the bank cannot .*the model takes 200"):
        weigh(bank(row("yes"), row("no " * 100, 0.0)), [F1], scorer, model=MODEL)


def test_a_proposal_that_no_longer_renders_is_named_by_its_line() -> None:
    old = replace(BASE, messages=(Message("user", (Segment("{question}"),)),))
    with pytest.raises(TemplateError) as caught:
        weigh(bank(row("yes", proposal=old), proposals=(old,)), [F1], Scorer("x", FakeBackend), model=MODEL)
    assert str(caught.value.location) == "p.responses.jsonl:1"


def test_a_fixture_of_one_grade_is_spot_checked_and_keeps_its_value() -> None:
    rows = [row(f"yes {i}") for i in range(8)]
    scorer = Scorer("x", FakeBackend)
    few = weigh(bank(*rows), [F1], scorer, model=MODEL)
    every = weigh(bank(*rows), [F1], scorer, model=MODEL, spot_checks=None)
    assert len(few.metric.continuations(F1)) == 2
    assert len(every.metric.continuations(F1)) == 8
    measured = [scorer.score([HEAD], [F1], w.metric)[0].fixtures[0].measurement for w in (few, every)]
    assert measured[0].value == measured[1].value == 1.0
    assert measured[0].details["responses"] == measured[1].details["responses"] == 8


def test_each_proposal_is_spot_checked_so_none_that_covers_the_prompt_is_missed_by_chance() -> None:
    rows = [row(f"yes {i}", proposal=OTHER if i else BASE) for i in range(8)]
    weighed = weigh(bank(*rows), [F1], Scorer("x", FakeBackend), model=MODEL)
    assert len(weighed.metric.continuations(F1)) == 2
    assert "yes 0" in {text.text for text in weighed.metric.continuations(F1)}


@pytest.mark.parametrize("seed", range(20))
def test_a_prompt_that_was_drawn_from_is_covered_however_the_lots_fall(seed: int) -> None:
    """Eight fixtures of one grade, a response from the head and three from elsewhere to each."""
    rng = random.Random(seed)
    fixtures = [Fixture(f"s{i}", {"q": f"number {i}?"}, Expected("yes")) for i in range(8)]
    text = iter(f"yes {rng.random()}" for _ in range(100))
    drawn = [row(f"{HEAD.messages[0].text}{next(text)}", proposal=HEAD, fixture=f) for f in fixtures]
    drawn += [row(next(text) * 3, proposal=OTHER, fixture=f) for f in fixtures for _ in range(3)]
    scorer = Scorer("x", FakeBackend)
    weighed = weigh(bank(*drawn, proposals=(HEAD, OTHER)), fixtures, scorer, model=MODEL)
    reach = coverage(scorer.score([HEAD], fixtures, weighed.metric)[0])
    assert reach is not None
    assert reach.sufficient()


def test_spot_checks_leave_the_coverage_unbiased() -> None:
    rng = random.Random(5)
    fixtures = [Fixture(f"s{i}", {"q": f"number {i}?"}, Expected("yes")) for i in range(60)]
    rows = [
        row("yes" + "".join(rng.choices("abcyes ", k=rng.randint(0, 6))) + "!", proposal=proposal, fixture=fixture)
        for fixture in fixtures
        for proposal in (BASE, OTHER)
        for _ in range(4)
    ]
    scorer, reach = Scorer("x", FakeBackend), []
    for checks in (1, None):
        weighed = weigh(bank(*rows), fixtures, scorer, model=MODEL, spot_checks=checks)
        found = coverage(scorer.score([HEAD], fixtures, weighed.metric)[0])
        assert found is not None
        reach.append(found.share)
    assert reach[0] == pytest.approx(reach[1], rel=0.15)
