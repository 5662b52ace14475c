"""From prompts and fixtures to numbers: what is computed, what is looked up, what an error says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pytest_pmpo.errors import BackendError, EncodingError, Location, TemplateError
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Message, Prompt, Segment
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.cache import LossCache
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.metrics.preference import ChoiceLoss
from pytest_pmpo.scoring.records import EncodedSequence
from pytest_pmpo.scoring.scorer import Scorer


def prompt(text: str) -> Prompt:
    messages = (Message("system", (Segment(text),)), Message("user", (Segment("{{ x }}"),)))
    return Prompt("p.md", "text", "jinja2", messages, "0" * 64)


def fixture(name: str, x: str, expected: str) -> Fixture:
    return Fixture(name, {"x": x}, Expected(expected), location=Location("p.fixtures.yaml", 3))


FIXTURES = (fixture("a", "good stuff", "positive"), fixture("b", "bad stuff", "negative"))
HELPFUL, BARE = prompt("Answer positive or negative."), prompt("Hello.")


class Opened:
    """Opens fakes and remembers them."""

    def __init__(self) -> None:
        self.backends: list[FakeBackend] = []

    def __call__(self) -> FakeBackend:
        self.backends.append(FakeBackend())
        return self.backends[-1]


def test_a_prompt_that_names_the_labels_has_the_lower_loss() -> None:
    helpful, bare = Scorer("f", FakeBackend).score([HELPFUL, BARE], FIXTURES, CrossEntropy())
    assert helpful.mean < bare.mean
    assert [f.fixture_id for f in helpful.fixtures] == ["a", "b"]


def test_prompts_scored_together_score_as_they_do_alone() -> None:
    together = Scorer("f", FakeBackend).score([HELPFUL, BARE], FIXTURES, CrossEntropy())
    alone = [Scorer("f", FakeBackend).score([p], FIXTURES, CrossEntropy())[0] for p in (HELPFUL, BARE)]
    assert together == alone


def test_what_the_cache_holds_opens_no_model(tmp_path: Path) -> None:
    first = Scorer("f", FakeBackend, cache=LossCache(tmp_path)).score([HELPFUL], FIXTURES, CrossEntropy())
    opened = Opened()
    scorer = Scorer("f", opened, cache=LossCache(tmp_path))
    assert scorer.score([HELPFUL], FIXTURES, CrossEntropy()) == first
    assert opened.backends == []
    assert not scorer.opened
    assert (scorer.tokens_spent, scorer.tokens_cached) == (0, len("positive") + len("negative"))


def test_another_fingerprint_is_another_model(tmp_path: Path) -> None:
    Scorer("f", FakeBackend, cache=LossCache(tmp_path)).score([HELPFUL], FIXTURES, CrossEntropy())
    opened = Opened()
    Scorer("g", opened, cache=LossCache(tmp_path)).score([HELPFUL], FIXTURES, CrossEntropy())
    assert opened.backends[0].sequences_scored == 2


def test_only_what_changed_is_computed(tmp_path: Path) -> None:
    opened = Opened()
    scorer = Scorer("f", opened, cache=LossCache(tmp_path))
    scorer.score([HELPFUL], FIXTURES, CrossEntropy())
    scorer.score([HELPFUL, BARE], [*FIXTURES, fixture("c", "so so", "neutral")], CrossEntropy())
    assert opened.backends[0].sequences_scored == 2 + 4


def test_metrics_share_the_losses_they_both_want(tmp_path: Path) -> None:
    opened = Opened()
    scorer = Scorer("f", opened, cache=LossCache(tmp_path))
    choice = Fixture("a", {"x": "good"}, Choice(("positive", "negative"), 0))
    scorer.score([HELPFUL], [choice], ChoiceLoss())
    scorer.score([HELPFUL], [choice], CrossEntropy())
    assert opened.backends[0].sequences_scored == 2


def test_an_undefined_variable_names_itself_and_its_place() -> None:
    with pytest.raises(TemplateError, match="x"):
        Scorer("f", FakeBackend).score([BARE], [Fixture("a", {"y": "1"}, Expected("b"))], CrossEntropy())


def test_a_sequence_beyond_the_context_names_its_fixture() -> None:
    with pytest.raises(EncodingError, match=r"p\.fixtures\.yaml:3: fixture 'a', text 1: \d+ tokens"):
        Scorer("f", lambda: FakeBackend(context_length=20)).score([BARE], FIXTURES, CrossEntropy())


class Broken(FakeBackend):
    def score(self, sequences: list[EncodedSequence], **options: object) -> list[tuple[float, ...]]:  # type: ignore[override]
        raise RuntimeError("the device is on fire")


def test_a_model_that_fails_is_an_error_of_ours() -> None:
    with pytest.raises(BackendError, match="on fire"):
        Scorer("f", Broken).score([BARE], FIXTURES, CrossEntropy())


def test_weights_weigh_the_mean() -> None:
    heavy = Fixture("h", {"x": "good stuff"}, Expected("positive"), weight=3.0)
    [score] = Scorer("f", FakeBackend).score([BARE], [heavy, FIXTURES[1]], CrossEntropy())
    a, b = (f.value for f in score.fixtures)
    assert math.isclose(score.mean, (3 * a + b) / 4)
