"""Building a bank: resumable, budgeted, and nothing drawn is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_pmpo.errors import BackendError, BankError, EncodingError, GraderError, Location
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment, Turn
from pytest_pmpo.responses.bank import read_bank
from pytest_pmpo.responses.build import BATCH, BuildReport, Writer, fill, load
from pytest_pmpo.responses.demands import Demand, demands
from pytest_pmpo.responses.graders.base import Grade
from pytest_pmpo.responses.graders.contains import Contains
from pytest_pmpo.responses.graders.judge import Judge
from pytest_pmpo.responses.inventory import describe, take
from pytest_pmpo.responses.records import Proposal
from pytest_pmpo.responses.topup import TopUp, demands_from, plan
from pytest_pmpo.responses.validity import measure
from pytest_pmpo.responses.variants import proposals, with_instruction, without_system
from pytest_pmpo.responses.weigh import weigh
from pytest_pmpo.scoring.backends.base import Generation, SamplingSettings
from pytest_pmpo.scoring.backends.fake import FakeBackend, FakeTokenizer
from pytest_pmpo.scoring.metrics.response_bank import coverage
from pytest_pmpo.scoring.scorer import Scorer

PROMPT = Prompt(
    "p.prompt",
    "test",
    "fstring",
    (Message("system", (Segment("Answer yes or no."),)), Message("user", (Segment("{q}"),))),
    "",
)
FIXTURES = [Fixture(f"f{i}", {"q": f"is {i} even?"}, Expected("yes" if i % 2 == 0 else "no")) for i in range(5)]


class Scripted:
    """A generator that says what it is told to, round and round, and remembers what it was asked."""

    def __init__(self, *texts: str, finished: bool = True) -> None:
        self.texts, self.finished = texts, finished
        self.calls: list[tuple[int, int, int]] = []
        self.said = 0

    def generate(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int = 1,
        progress: object = None,
    ) -> list[tuple[Generation, ...]]:
        self.calls.append((len(conversations), samples, settings.seed))
        return [tuple(self._next() for _ in range(samples)) for _ in conversations]

    def _next(self) -> Generation:
        text = self.texts[self.said % len(self.texts)]
        self.said += 1
        return Generation(text, tuple(range(len(text) + 1)), -1.5, self.finished)


def writer(generator: object, **more: object) -> Writer:
    values = {"grader": Contains(), "today": "2026-11-24", **more}
    return Writer(generator, FakeTokenizer(), 4096, "model-a", **values)  # type: ignore[arg-type]


def build(file: Path, generator: object, per_fixture: int = 4, **more: object) -> BuildReport:
    bank = load(file, file.name)
    wanted = demands(bank, FIXTURES, proposals(PROMPT), per_fixture, "model-a")
    return fill(file, bank, wanted, writer(generator, **more))


def test_every_fixture_gets_its_share_from_every_proposal(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    report = build(file, Scripted("yes", "no"), per_fixture=4)
    bank = read_bank(file.name, file.read_bytes())
    assert report.drawn == report.kept == len(bank.responses) == 20
    assert report.right == pytest.approx(sum(r.grade or 0 for r in bank.responses) / 20)
    assert [p.name for p in bank.proposals.values()] == ["base", "steps", "none"]
    per_proposal = {p.name: sum(r.proposal == p.digest for r in bank.responses) for p in bank.proposals.values()}
    assert per_proposal == {"base": 10, "steps": 5, "none": 5}
    first = bank.responses[0]
    assert (first.grader, first.model, first.date, first.origin) == ("contains", "model-a", "2026-11-24", "sampled")


def test_a_second_run_draws_nothing_and_a_larger_one_only_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    build(file, Scripted("yes"), per_fixture=3)
    again = Scripted("no")
    assert build(file, again, per_fixture=3).drawn == 0
    assert again.calls == []
    assert build(file, Scripted("no"), per_fixture=6).drawn == 15
    draws = [(r.fixture, r.proposal, r.draw) for r in read_bank("b", file.read_bytes()).responses]
    assert len(set(draws)) == 30


def test_a_killed_run_loses_one_batch_at_most_and_goes_on_with_other_seeds(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    many = [Fixture(f"f{i}", {"q": f"{i}?"}, Expected("yes")) for i in range(BATCH * 2)]
    wanted = demands(load(file, "b"), many, proposals(PROMPT, ("base",)), 1, "model-a")

    class Killed(Scripted):
        def generate(self, *args: object, **kwargs: object) -> list[tuple[Generation, ...]]:
            if self.calls:
                raise KeyboardInterrupt
            return super().generate(*args, **kwargs)  # type: ignore[arg-type]

    killed, resumed = Killed("yes"), Scripted("yes")
    with pytest.raises(KeyboardInterrupt):
        fill(file, load(file, "b"), wanted, writer(killed))
    with file.open("ab") as stream:
        stream.write(b'{"fixture": "f3')
    bank = load(file, "b")
    assert len(bank.responses) == BATCH
    rest = demands(bank, many, proposals(PROMPT, ("base",)), 1, "model-a")
    assert [demand.fixture.id for demand in rest] == [f"f{i}" for i in range(BATCH, 2 * BATCH)]
    fill(file, bank, rest, writer(resumed))
    assert len(load(file, "b").responses) == 2 * BATCH
    assert killed.calls[0][2] != resumed.calls[0][2]


def test_a_model_that_fails_while_writing_says_so_and_what_was_drawn_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    many = [Fixture(f"f{i}", {"q": f"{i}?"}, Expected("yes")) for i in range(BATCH * 2)]
    wanted = demands(load(file, "b"), many, proposals(PROMPT, ("base",)), 1, "model-a")

    class Failing(Scripted):
        def generate(self, *args: object, **kwargs: object) -> list[tuple[Generation, ...]]:
            if self.calls:
                raise RuntimeError("CUDA error: the launch timed out")
            return super().generate(*args, **kwargs)  # type: ignore[arg-type]

    with pytest.raises(BackendError, match="the model failed while writing: CUDA error: the launch timed out"):
        fill(file, load(file, "b"), wanted, writer(Failing("yes")))
    assert len(load(file, "b").responses) == BATCH


def test_a_prompt_without_room_for_an_answer_names_its_fixture_and_what_was_drawn_is_kept(tmp_path: Path) -> None:
    """The generator knows conversations by number alone, and would fail with all that it was asked beside."""
    file = tmp_path / "p.responses.jsonl"
    many = [Fixture(f"f{i}", {"q": f"{i}?"}, Expected("yes")) for i in range(BATCH)]
    long = Fixture("long", {"q": "why " * 1_100}, Expected("yes"), location=Location("mail.fixtures.yml", 31))
    wanted = demands(load(file, "b"), [*many, long], proposals(PROMPT, ("base",)), 1, "model-a")
    told = r"mail\.fixtures\.yml:31: fixture 'long': its prompt has 44\d\d tokens and leaves no room .* takes 4096"
    with pytest.raises(EncodingError, match=told):
        fill(file, load(file, "b"), wanted, writer(Scripted("yes")))
    assert len(load(file, "b").responses) == BATCH


def test_a_changed_input_or_another_model_asks_for_new_responses(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    build(file, Scripted("yes"), per_fixture=3)
    bank = load(file, "b")
    edited = [replace(FIXTURES[0], vars={"q": "is 0 odd?"}), *FIXTURES[1:]]
    assert {d.fixture.id for d in demands(bank, edited, proposals(PROMPT), 3, "model-a")} == {"f0"}
    assert len(demands(bank, FIXTURES, proposals(PROMPT), 3, "model-b")) == 15


def test_the_budget_stops_the_run_and_says_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    report = build(file, Scripted("yes"), per_fixture=3, max_tokens=10)
    assert report.drawn == 5
    assert report.missing == 10
    assert len(load(file, "b").responses) == 5


def test_empty_and_unreadable_responses_are_counted_and_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    report = build(file, Scripted("", "  \n", " yes", "x" * 5000, "no"), per_fixture=1)
    assert (report.drawn, report.kept) == (5, 2)
    assert [r.text for r in load(file, "b").responses] == ["yes", "no"]
    assert {note.message for note in report.notes} == {
        "2 responses were empty and not kept",
        "1 responses were not readable as tokens after the prompt and not kept",
    }


def test_cut_responses_are_marked(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    assert build(file, Scripted("yes and", finished=False), per_fixture=1).cut == 5
    assert not load(file, "b").responses[0].finished


class Moody:
    """A grader that fails on some texts."""

    identity = "moody"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        if response == "bad":
            raise GraderError("moody raised")
        return Grade(1.0)


def test_a_grader_that_fails_leaves_the_response_without_a_grade(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    report = build(file, Scripted("good", "bad", "good", "good", "good"), per_fixture=1, grader=Moody())
    assert [r.grade for r in load(file, "b").responses] == [1.0, None, 1.0, 1.0, 1.0]
    assert [note.message for note in report.notes] == ["moody raised"]


def test_a_grader_that_keeps_failing_stops_the_run_and_the_responses_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    with pytest.raises(GraderError, match="moody raised"):
        build(file, Scripted("bad"), per_fixture=3, grader=Moody())
    assert [r.grade for r in load(file, "b").responses] == [None] * 5


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_whatever_stops_the_grading_the_drawn_responses_are_kept(tmp_path: Path, stop: BaseException) -> None:
    class Stopped(Moody):
        def grade(self, fixture: Fixture, response: str) -> Grade:
            raise stop

    file = tmp_path / "p.responses.jsonl"
    with pytest.raises(type(stop)):
        build(file, Scripted("good"), per_fixture=1, grader=Stopped())
    assert [r.grade for r in load(file, "b").responses] == [None] * 5


def test_a_judges_server_that_is_down_for_a_moment_costs_a_grade_and_no_response(tmp_path: Path) -> None:
    answers = iter(["GRADE: 1", None, "GRADE: 0", "GRADE: 1", "GRADE: 1"])

    def ask(turns: Sequence[Turn]) -> str:
        answer = next(answers)
        if answer is None:
            raise BackendError("the server is away")
        return answer

    file = tmp_path / "p.responses.jsonl"
    report = build(file, Scripted("x"), per_fixture=1, grader=Judge(ask, "m"))
    assert [r.grade for r in load(file, "b").responses] == [1.0, None, 0.0, 1.0, 1.0]
    assert [note.message for note in report.notes] == ["the server is away"]


@pytest.mark.parametrize("settings", [SamplingSettings(temperature=0.7), SamplingSettings(top_p=0.9)])
def test_a_bank_is_drawn_from_the_distribution_that_is_scored(settings: SamplingSettings) -> None:
    with pytest.raises(ValueError, match="temperature 1"):
        writer(Scripted("x"), settings=settings)


def test_variants_add_a_sentence_or_take_the_system_turn_away() -> None:
    bare = replace(PROMPT, messages=PROMPT.messages[1:])
    assert without_system(PROMPT) == bare
    assert without_system(bare) is None
    assert without_system(replace(PROMPT, messages=PROMPT.messages[:1])) is None
    assert with_instruction(PROMPT, "Be brief.").messages[0].text == "Answer yes or no.\nBe brief."
    assert [m.role for m in with_instruction(bare, "Be brief.").messages] == ["system", "user"]
    assert [p.name for p in proposals(bare, ("base", "none", "steps"))] == ["base", "steps"]


def test_previous_versions_are_proposals_by_name_and_equal_texts_count_once() -> None:
    older = with_instruction(PROMPT, "Please.")
    found = proposals(PROMPT, ("base", "v1", "v0"), {"v1": older, "v0": PROMPT})
    assert [p.name for p in found] == ["base", "v1"]
    with pytest.raises(BankError, match="no variant is called 'v9'"):
        proposals(PROMPT, ("v9",))


def test_show_counts_by_proposal(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    build(file, Scripted("yes", "no"), per_fixture=3)
    text = describe(take(load(file, "p.responses.jsonl"), FIXTURES))
    assert text.splitlines()[0].startswith("p.responses.jsonl: 15 responses; 5 of 5 fixtures have graded ones")
    right = sum(r.grade or 0 for r in load(file, "b").responses[:5])
    assert f"  base: 5 to 5 fixtures, {100 * right / 5:.0f} % right" in text.splitlines()
    assert "graders: contains" in text


@pytest.fixture
def scored(tmp_path: Path) -> tuple[Path, Scorer, Prompt]:
    """A real bank of the fake model, and a head it does not cover."""
    file, scorer = tmp_path / "p.responses.jsonl", Scorer("x", FakeBackend)
    settings = SamplingSettings(max_new_tokens=12)
    build(file, FakeBackend(), per_fixture=6, settings=settings)
    head = replace(
        PROMPT, messages=(Message("system", (Segment("zzzz qqqq wwww zzzz qqqq wwww"),)), PROMPT.messages[1])
    )
    return file, scorer, head


def test_a_top_up_lifts_the_coverage_of_the_head_above_the_bound(scored: tuple[Path, Scorer, Prompt]) -> None:
    file, scorer, head = scored
    before = scorer.score([head], FIXTURES, weigh(load(file, "b"), FIXTURES, scorer, model="model-a").metric)[0]
    low = coverage(before)
    assert low is not None
    assert not low.sufficient()
    top_up = plan(before)
    assert top_up.counts == {f.id: 1 for f in FIXTURES}
    assert top_up.tokens > 0
    assert "pmpo bank top-up p.prompt --budget 5" in top_up.sentence("p.prompt")
    bank = load(file, "b")
    fill(
        file,
        bank,
        demands_from(top_up, bank, FIXTURES, head, "model-a"),
        writer(FakeBackend(), settings=SamplingSettings(max_new_tokens=12)),
    )
    after = scorer.score([head], FIXTURES, weigh(load(file, "b"), FIXTURES, scorer, model="model-a").metric)[0]
    high = coverage(after)
    assert high is not None
    assert high.sufficient()


def test_a_larger_budget_goes_where_the_variance_is(scored: tuple[Path, Scorer, Prompt]) -> None:
    file, scorer, head = scored
    before = scorer.score([head], FIXTURES, weigh(load(file, "b"), FIXTURES, scorer, model="model-a").metric)[0]
    top_up = plan(before, budget=23)
    assert top_up.responses == 23
    assert all(top_up.counts[f.id] >= 1 for f in FIXTURES)
    assert len(set(top_up.counts.values())) > 1
    assert plan(before, budget=2).responses == 2


def test_a_covered_prompt_needs_no_top_up(scored: tuple[Path, Scorer, Prompt]) -> None:
    file, scorer, _ = scored
    score = scorer.score([PROMPT], FIXTURES, weigh(load(file, "b"), FIXTURES, scorer, model="model-a").metric)[0]
    assert plan(score) == TopUp({}, 0)


def test_a_top_up_goes_on_counting_its_draws(scored: tuple[Path, Scorer, Prompt]) -> None:
    file, _, _ = scored
    bank = load(file, "b")
    (demand,) = demands_from(TopUp({"f2": 3}, 0), bank, FIXTURES, PROMPT, "model-a")
    assert demand == Demand(FIXTURES[2], Proposal("base", demand.proposal.prompt, demand.proposal.location), 3, 2)


def test_validity_of_a_real_bank_compares_every_pair_of_proposals(scored: tuple[Path, Scorer, Prompt]) -> None:
    file, scorer, _ = scored
    found = measure(load(file, "b"), FIXTURES, scorer, model="model-a")
    assert found is not None
    assert len(found.pairs) == 6
    assert found.sentence().startswith("left-out prompts: ")
