"""The scoring model writes in batches, repeats itself under one seed, and says when it cannot write."""

from __future__ import annotations

import pytest

from pytest_pmpo.errors import RewriterError
from pytest_pmpo.optimize.rewriters.local import LocalWriter
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.fake import FakeBackend

SETTINGS = SamplingSettings(1.0, 1.0, 10, seed=3)
QUESTIONS = [(Turn("user", "say one or two"),), (Turn("user", "say three or four"),)]


def test_every_question_gets_its_samples_within_the_limit() -> None:
    rows = list(LocalWriter(FakeBackend, "f").write(QUESTIONS, SETTINGS, samples=3))
    assert [len(row) for row in rows] == [3, 3]
    assert all(1 <= reply.tokens <= 10 for row in rows for reply in row)


def test_one_seed_gives_the_same_answers_again() -> None:
    first = list(LocalWriter(FakeBackend, "f").write(QUESTIONS, SETTINGS, samples=2))
    assert first == list(LocalWriter(FakeBackend, "f").write(QUESTIONS, SETTINGS, samples=2))


def test_a_model_that_only_scores_says_so() -> None:
    class ScoresOnly:
        description = "scores only"

    with pytest.raises(RewriterError, match="this model cannot write: scores only"):
        list(LocalWriter(ScoresOnly, "f").write(QUESTIONS, SETTINGS, samples=1))  # type: ignore[arg-type]  # on purpose


def test_a_model_that_fails_while_writing_is_a_rewriter_error() -> None:
    class Failing(FakeBackend):
        def generate(self, *args: object, **more: object) -> list[object]:  # type: ignore[override]  # fails anyhow
            raise RuntimeError("out of memory")

    with pytest.raises(RewriterError, match="failed while writing: out of memory"):
        list(LocalWriter(Failing, "f").write(QUESTIONS, SETTINGS, samples=1))
