"""A real model, real fixtures: a confirmed improvement becomes a patch that git takes, anything less becomes none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import cast

import pytest

from pytest_pmpo.errors import ModelError
from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.handover import HandOver, hand_over
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.rewriters.structural import StructuralEdits
from pytest_pmpo.optimize.selection import Acceptance
from pytest_pmpo.optimize.strategies.pmpo import Pmpo
from pytest_pmpo.optimize.study import Tuning
from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, PromptSuite
from pytest_pmpo.report import optimize_report
from pytest_pmpo.responses.build import Writer, fill, load
from pytest_pmpo.responses.demands import demands
from pytest_pmpo.responses.graders.choice import ChoiceLetter
from pytest_pmpo.responses.records import Bank, Proposal, Response
from pytest_pmpo.responses.variants import proposals
from pytest_pmpo.scoring.backends.base import Generator, SamplingSettings
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.models import DEFAULT, resolve
from pytest_pmpo.scoring.scorer import Scorer

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bbh" / "bbh" / "sports_understanding.json"

PROMPT = b"""You are a careful assistant. Decide whether the sentence about sports is plausible.

Think about the player and the sport.

Answer with yes or no only.

Question: {{ input }}
Answer:
"""


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def scorer() -> Scorer:
    pytest.importorskip("transformers")
    try:
        model = resolve(DEFAULT, root=Path.cwd())
    except ModelError as error:
        pytest.skip(f"the default model is not here: {error.message}")
    return Scorer(model.fingerprint, lambda: model.open("cpu", "float32"))


@pytest.mark.skipif(not DATA.is_file(), reason="the public data is not beside the project")
def test_a_round_on_a_real_model_ends_in_a_confirmed_patch_or_in_none_with_the_reason(
    scorer: Scorer, tmp_path: Path
) -> None:
    """Which of the two depends on the model's numbers; the gate on held-out fixtures decides, and nothing else."""
    rows = json.loads(DATA.read_text())["examples"][:30]
    fixtures = tuple(Fixture(f"f{i}", {"input": r["input"]}, Expected(r["target"])) for i, r in enumerate(rows))
    work = tmp_path / "work"
    work.mkdir()
    (work / "sports.md").write_bytes(PROMPT)
    git(work, "init", "-q", "-b", "main")
    git(work, "config", "user.name", "A Person")
    git(work, "config", "user.email", "person@example.org")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "Start")
    prompt = TextFormat().parse("sports.md", PROMPT, ParseContext(READS_NOTHING.__getitem__))[0].prompt
    request = OptimizeRequest(
        PromptSuite(prompt, fixtures),
        PROMPT,
        TextFormat(),
        scorer,
        CrossEntropy(),
        DEFAULT,
        Pmpo(),
        (StructuralEdits(),),
        tmp_path / "journals",
        Budget(rounds=1),
        tuning=Tuning(edits=5, max_units=3),
    )
    result = run(request)
    assert result.spent.forward_tokens == scorer.tokens_spent
    if not result.won:
        assert "held-out" in result.reason
        assert git(work, "branch", "--list", "pmpo/*") == ""
        return
    assert result.after.heldout.mean < result.before.heldout.mean

    body = optimize_report.markdown(result)
    delivered = hand_over(result, work, tmp_path / "pmpo-out", HandOver(branch=True), body=body, environ={})
    assert delivered.patch is not None
    git(work, "apply", "--check", str(delivered.patch))
    assert git(work, "diff", "--name-only", "main", "pmpo/sports") == "sports.md"
    assert git(work, "status", "--porcelain") == ""


REVIEWS = {
    "Positive": (
        "The sound is rich.",
        "My daughter loves it.",
        "Great quality.",
        "We are very happy.",
        "Fits perfectly.",
    ),
    "Negative": ("Do not buy this.", "The zip broke.", "It leaks.", "A waste of money.", "Two screws were missing."),
}


def test_a_real_model_answers_for_the_prompt_it_is_given_through_a_response_bank(
    scorer: Scorer, tmp_path: Path
) -> None:
    """Sampled with its own tokens, graded, weighed by its own likelihoods; the books say what all of it took."""
    text = b"Read the review. Is it positive or negative? Answer with one word.\n\nReview: {{ input }}\nAnswer:\n"
    prompt = TextFormat().parse("review.md", text, ParseContext(READS_NOTHING.__getitem__))[0].prompt
    choices = tuple(REVIEWS)
    fixtures = tuple(
        Fixture(f"{name}-{i}", {"input": review}, Choice(choices, choices.index(name)))
        for name, reviews in REVIEWS.items()
        for i, review in enumerate(reviews)
    )
    file = tmp_path / "review.responses.jsonl"
    backend = scorer.backend
    settings = SamplingSettings(max_new_tokens=6)
    writer = Writer(
        cast(Generator, backend), backend.tokenizer, backend.context_length, "smollm2", ChoiceLetter(), settings
    )
    fill(file, Bank("review"), demands(Bank("review"), fixtures, proposals(prompt, ("base",)), 2, "smollm2"), writer)
    request = OptimizeRequest(
        PromptSuite(prompt, fixtures),
        text,
        TextFormat(),
        scorer,
        BankObjective(load(file, file.name), ChoiceLetter(), "smollm2"),
        DEFAULT,
        Pmpo(),
        (StructuralEdits(),),
        tmp_path / "journals",
        Budget(rounds=1),
        tuning=Tuning(edits=2, max_units=2),
        acceptance=Acceptance(standard_errors=0.0, noise_floor=1e-9),
    )
    spent = scorer.tokens_spent
    result = run(request)
    assert result.spent.forward_tokens == scorer.tokens_spent - spent
    assert all(0 <= row.train <= 1 and 0 <= row.selection <= 1 for row in result.rounds)
    answers = [row for row in result.drawn if isinstance(row, Response)]
    assert all(row.logprob is not None and row.grade in (0.0, 1.0) for row in answers)
    # a prompt that was accepted, or only tried, has answered for itself
    assert {row.proposal for row in answers} <= {p.digest for p in result.drawn if isinstance(p, Proposal)} | {
        prompt.template_digest
    }
    again = run(request)
    assert (again.winner.digest, again.after) == (result.winner.digest, result.after)
