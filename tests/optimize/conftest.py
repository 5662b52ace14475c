"""A small prompt with fixtures, and everything a run needs, on the framework-free model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest
from pytest_pmpo.optimize.rewriters.structural import StructuralEdits
from pytest_pmpo.optimize.strategies.pmpo import Pmpo
from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, PromptSuite, Segment, Span
from pytest_pmpo.responses.bank import read_bank
from pytest_pmpo.responses.build import Writer, fill
from pytest_pmpo.responses.demands import demands
from pytest_pmpo.responses.graders.base import Grade
from pytest_pmpo.responses.records import Bank
from pytest_pmpo.responses.variants import proposals
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.scorer import Scorer

TEXT = """You are a helpful assistant. You love cheese and long walks. Read the sentence carefully.

- Decide whether it is praise or blame.
- Never mention the weather.

Answer with one word only.

Sentence: {{ input }}
Label:
"""

GOOD = ("lovely day", "great meal", "superb film", "fine work", "nice song", "happy crowd", "warm hosts", "smart plot")
BAD = ("awful day", "cold meal", "dull film", "poor work", "flat song", "angry crowd", "rude hosts", "weak plot")


def _read(text: str, path: str = "prompts/praise.md") -> Prompt:
    context = ParseContext(read=READS_NOTHING.__getitem__)
    return TextFormat().parse(path, text.encode(), context)[0].prompt


def _one_message(text: str, engine: Any = "jinja2", role: Any = "user") -> Prompt:
    segment = Segment(text, Span(0, len(text.encode())))
    return Prompt("p.md", "text", engine, (Message(role, (segment,)),), "digest")


@pytest.fixture(scope="session")
def read() -> Callable[..., Prompt]:
    """A text file's prompt."""
    return _read


@pytest.fixture(scope="session")
def one_message() -> Callable[..., Prompt]:
    """A prompt of one turn with exactly this template."""
    return _one_message


@pytest.fixture
def prompt() -> Prompt:
    return _read(TEXT)


@pytest.fixture
def fixtures() -> tuple[Fixture, ...]:
    return _fixtures()


class Letter:
    """Right is what holds a certain letter; an edit of the prompt changes how often the toy model echoes it."""

    identity = "letter"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        return Grade(float("l" in response))


@pytest.fixture(scope="session")
def letter() -> Letter:
    """The grader of ``bank``."""
    return Letter()


@pytest.fixture(scope="session")
def bank(letter: Letter, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Four responses of ten bytes to each fixture, drawn from the small prompt and one that wants the answer alone."""
    file = tmp_path_factory.mktemp("bank") / "praise.responses.jsonl"
    model = FakeBackend()
    writer = Writer(model, model.tokenizer, None, "fake", letter, SamplingSettings(max_new_tokens=10, seed=3))
    fill(
        file, Bank("b"), demands(Bank("b"), _fixtures(), proposals(_read(TEXT), ("base", "direct")), 4, "fake"), writer
    )
    return read_bank("prompts/praise.responses.jsonl", file.read_bytes())


def _fixtures() -> tuple[Fixture, ...]:
    rows = [("praise", text) for text in GOOD] + [("blame", text) for text in BAD]
    return tuple(Fixture(f"{label}-{i}", {"input": text}, Expected(label)) for i, (label, text) in enumerate(rows))


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def make_request(
    prompt: Prompt, fixtures: tuple[Fixture, ...], backend: FakeBackend, tmp_path: Path
) -> Callable[..., OptimizeRequest]:
    """A request for the small prompt; keyword arguments replace any of its parts."""

    def make(**changes: Any) -> OptimizeRequest:
        text = changes.pop("text", TEXT)
        values: dict[str, Any] = {
            "suite": PromptSuite(_read(text), changes.pop("fixtures", fixtures)),
            "data": text.encode(),
            "format": TextFormat(),
            "scorer": Scorer("fake", lambda: backend),
            "metric": CrossEntropy(),
            "model": "fake",
            "strategy": Pmpo(),
            "rewriters": (StructuralEdits(),),
            "journals": tmp_path / "journals",
            "budget": Budget(rounds=3),
        }
        return OptimizeRequest(**(values | changes))

    return make
