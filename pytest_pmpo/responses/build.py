"""Fill a bank: draw, check, grade, write; in small batches, so that a killed run loses one batch at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from pytest_pmpo.errors import BackendError, EncodingError, PmpoError
from pytest_pmpo.prompts.model import Fixture, Note, Turn
from pytest_pmpo.prompts.render import render
from pytest_pmpo.responses.bank import append, read_bank
from pytest_pmpo.responses.demands import Demand, batch_seed, batches
from pytest_pmpo.responses.graders.base import Grader, checked
from pytest_pmpo.responses.records import Bank, Proposal, Response, input_digest, label_digest
from pytest_pmpo.scoring.backends.base import Generation, Generator, SamplingSettings, Tokenizer
from pytest_pmpo.scoring.encode import encode_context, encode_target
from pytest_pmpo.scoring.records import Continuation

BATCH = 16
"""Conversations per call of the generator, and so the most that a kill can lose."""

MAX_FAILURES = 3
"""Gradings that may fail before the run stops: a function that hangs costs its whole time limit each time."""

Progress = Callable[[int, int], None]
"""Called with (responses drawn, responses in all)."""

Keep = Callable[[Sequence[Proposal | Response]], tuple[Note, ...]]
"""Puts lines where they are kept; the notes say what there was to mend."""


@runtime_checkable
class RowWise(Protocol):
    """A generator that gives each conversation's answers as soon as it has them, so that a failure loses no others."""

    def rows(
        self, conversations: Sequence[Sequence[Turn]], settings: SamplingSettings, *, samples: int = 1
    ) -> Iterator[tuple[int, tuple[Generation, ...]]]:
        """``(index of the conversation, its answers)`` in any order, some fewer than asked for before an error."""
        ...


@dataclass(frozen=True, slots=True)
class Writer:
    """Everything drawing needs besides what to draw.

    Attributes:
        generator: the model that writes.
        tokenizer: the scoring model's; a response it cannot read after the prompt is not kept.
        context_length: of the scoring model, tokens; None for no limit.
        model: fingerprint of the model.
        grader: grades each response once.
        settings: how to sample. A temperature other than 1, or a top-p below it, draws from another distribution than
            the one that is scored, so it is refused.
        max_tokens: budget of generated tokens; None for no limit.
        batch: conversations per call of the generator; a GPU takes many more.
        today: ISO date to write down.
    """

    generator: Generator
    tokenizer: Tokenizer
    context_length: int | None
    model: str
    grader: Grader
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    max_tokens: int | None = None
    batch: int = BATCH
    today: str = field(default_factory=lambda: date.today().isoformat())

    def __post_init__(self) -> None:
        if self.settings.temperature != 1.0 or self.settings.top_p != 1.0:
            raise ValueError("a bank is drawn at temperature 1 and top-p 1")


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a run did.

    Attributes:
        drawn, kept: responses; the rest were empty or unreadable.
        right: mean of the grades given, 0 where there are none.
        cut: responses that met the token limit.
        tokens: generated.
        missing: responses still to draw, where the budget ran out.
    """

    drawn: int
    kept: int
    right: float
    cut: int
    tokens: int
    missing: int
    notes: tuple[Note, ...]


def fill(
    file: Path,
    bank: Bank,
    wanted: Sequence[Demand],
    writer: Writer,
    *,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> BuildReport:
    """Draw what is wanted and add it to the bank file.

    Args:
        keep: keeps the lines in place of the file.

    Raises:
        GraderError, BackendError: the last of ``MAX_FAILURES`` failed gradings; the responses are in the file, without
            grades.
        BankError: if the file cannot be written.
        PmpoError: whatever rendering or generating raises; what was drawn before is kept.
    """
    run = _Run(keep or partial(append, file), bank, writer)
    total = sum(demand.count for demand in wanted)
    for batch in batches(wanted, writer.batch):
        if writer.max_tokens is not None and run.tokens >= writer.max_tokens:
            break
        run.batch(batch)
        if progress is not None:
            progress(run.drawn, total)
    return run.report(total)


def load(file: Path, name: str) -> Bank:
    """The bank in a file, or an empty one where there is none yet.

    Raises:
        BankError: if it is malformed.
    """
    return read_bank(name, file.read_bytes()) if file.exists() else Bank(name)


class _Run:
    def __init__(self, keep: Keep, bank: Bank, writer: Writer) -> None:
        self.keep, self.writer = keep, writer
        self.known = set(bank.proposals)
        self.drawn = self.kept = self.cut = self.tokens = self.failures = self.graded = 0
        self.right = 0.0
        self.dropped: Counter[str] = Counter()
        self.notes: list[Note] = []

    def batch(self, batch: Sequence[Demand]) -> None:
        turns = [self._conversation(demand) for demand in batch]
        settings = replace(self.writer.settings, seed=batch_seed(self.writer.settings.seed, batch[0]))
        answers, failure = self._answers(turns, settings, batch[0].count)
        rows: list[Proposal | Response] = []
        todo: list[tuple[int, Fixture]] = []
        for demand, conversation, generations in zip(batch, turns, answers, strict=True):
            if generations and demand.proposal.digest not in self.known:
                self.known.add(demand.proposal.digest)
                rows.append(demand.proposal)
            for number, generation in enumerate(generations):
                row = self._row(demand, conversation, generation, demand.first + number)
                if row is not None:
                    todo.append((len(rows), demand.fixture))
                    rows.append(row)
        try:
            self._grade(rows, todo)
        finally:
            # whatever stops the grading, what was drawn is kept
            self.notes += self.keep(rows)
        if failure is not None:
            raise failure

    def _conversation(self, demand: Demand) -> tuple[Turn, ...]:
        """What is asked; an error here names the fixture, which a generator does not know."""
        fixture, limit = demand.fixture, self.writer.context_length
        turns = render(demand.proposal.prompt, fixture)
        tokens = len(encode_context(self.writer.tokenizer, turns, location=fixture.location).tokens)
        if limit is not None and tokens >= limit and not isinstance(self.writer.generator, RowWise):
            raise EncodingError(
                f"fixture {fixture.id!r}: its prompt has {tokens} tokens and leaves no room for an answer: the model"
                f" takes {limit}",
                location=fixture.location,
                hint="shorten the prompt or the fixture, or use a model with a longer context",
            )
        return turns

    def _answers(
        self, turns: Sequence[Sequence[Turn]], settings: SamplingSettings, count: int
    ) -> tuple[Sequence[tuple[Generation, ...]], PmpoError | None]:
        """Answers to each conversation, and what kept the rest from coming."""
        generator = self.writer.generator
        if not isinstance(generator, RowWise):
            try:
                return generator.generate(turns, settings, samples=count), None
            except RuntimeError as error:
                raise BackendError(f"the model failed while writing: {error}") from error
        found: list[tuple[Generation, ...]] = [()] * len(turns)
        try:
            for index, answers in generator.rows(turns, settings, samples=count):
                found[index] = answers
        except PmpoError as error:
            return found, error
        return found, None

    def _grade(self, rows: list[Proposal | Response], todo: Sequence[tuple[int, Fixture]]) -> None:
        for at, fixture in todo:
            row = rows[at]
            assert isinstance(row, Response)
            try:
                rows[at] = self._graded(row, fixture)
            except PmpoError as error:  # the grader's own, or that of the server a judge asks
                self.failures += 1
                self.notes.append(Note(error.message, error.location))
                if self.failures >= MAX_FAILURES:
                    raise

    def _row(self, demand: Demand, turns: Sequence[Turn], generation: Generation, draw: int) -> Response | None:
        self.drawn += 1
        self.tokens += len(generation.tokens)
        # white space in front would merge with the prompt's last token; no grader looks at it
        text = generation.text.lstrip()
        if not text:
            self.dropped["empty"] += 1
            return None
        if not self._readable(turns, text, generation.finished):
            self.dropped["not readable as tokens after the prompt"] += 1
            return None
        self.kept += 1
        self.cut += not generation.finished
        return Response(
            fixture=demand.fixture.id,
            text=text,
            proposal=demand.proposal.digest,
            input=input_digest(demand.fixture),
            logprob=min(generation.logprob, 0.0),
            model=self.writer.model,
            date=self.writer.today,
            finished=generation.finished,
            draw=draw,
        )

    def _readable(self, turns: Sequence[Turn], text: str, finished: bool) -> bool:
        tokenizer, length = self.writer.tokenizer, self.writer.context_length
        try:
            context = encode_context(tokenizer, turns)
            encode_target(tokenizer, context, Continuation(text, finished), label="", context_length=length)
        except EncodingError:
            return False
        return True

    def _graded(self, row: Response, fixture: Fixture) -> Response:
        grader = self.writer.grader
        grade = checked(grader.grade(fixture, row.text), grader.identity, fixture)
        self.right += grade.score
        self.graded += 1
        return replace(row, grade=float(grade.score), grader=grader.identity, label=label_digest(fixture))

    def report(self, total: int) -> BuildReport:
        notes = [*self.notes, *(Note(f"{n} responses were {why} and not kept") for why, n in self.dropped.items())]
        right = self.right / self.graded if self.graded else 0.0
        missing = max(0, total - self.drawn)
        return BuildReport(self.drawn, self.kept, right, self.cut, self.tokens, missing, tuple(notes))
