"""A rewriter that asks a language model, one question per hard case (PMPO's rewriting step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from pytest_pmpo.optimize import metaprompts
from pytest_pmpo.optimize.answers import parse
from pytest_pmpo.optimize.constraints import shingles
from pytest_pmpo.optimize.hard_cases import HardCase
from pytest_pmpo.optimize.pages import Page, Scope, page
from pytest_pmpo.optimize.rewriters.base import Ask, Proposal, Rejection, Reply, View, Writer
from pytest_pmpo.prompts.model import Turn

LONGEST_TIMES = 20
"""An answer longer than this many times the text it rewrites (and than ``LONGEST``) is refused unread."""

LONGEST = 20_000

MOVES = (
    "Add one sentence that says how to find the right answer.",
    "Say it in entirely different words, as an expert would.",
    "Make it shorter and plainer.",
    "Say exactly what form the answer takes.",
    "Add a warning against the mistake that the case shows.",
    "Take out whatever is not needed, and say the rest more firmly.",
    "Turn it into a short numbered list of rules.",
    "Say first what matters most.",
)
"""One change each. Asked to improve a prompt, models of 1 to 2 billion parameters copy it; asked for one named change,
they make one."""


WRITER_WANTED = 'add the rewriter "local" or "openai:MODEL", or use the strategy "pmpo"'
"""Hint where a strategy asks a language model for prompts and no rewriter is one."""


@dataclass(frozen=True, slots=True)
class LanguageRewriter:
    """Asks ``writer`` to improve a prompt.

    Attributes:
        template: name of the meta-prompt: ``rewrite``, or ``rewrite_small`` for small models.
        scope: which text it may rewrite.
        tags_required: False accepts an answer without ``<prompt>`` tags.
        keep_format_lines: tell it to leave the output-format lines alone.
        moves: what to change, a different one for every answer; none leaves it to the writer.
    """

    writer: Writer
    template: str = "rewrite"
    scope: Scope = "whole"
    tags_required: bool = True
    keep_format_lines: bool = True
    moves: tuple[str, ...] = ()
    overrides: Path | None = None

    @property
    def name(self) -> str:
        """The writer's name."""
        return self.writer.name

    def propose(self, view: View, ask: Ask, count: int) -> list[Proposal | Rejection]:
        """``count`` answers to each hard case; all questions go to the writer together."""
        sheet = page(view.parent.prompt, self.scope)
        if sheet is None:
            return []
        # without a hard case (that module is off) the question is asked once, about the task alone
        cases: list[tuple[HardCase, ...]] = [(case,) for case in view.hard] or [()]
        asked = [(group, move) for group in cases for move in self._moves(view, count)]
        questions = [self._question(view, sheet, group, move) for group, move in asked]
        replies = ask(self.writer, questions, 1 if self.moves else count)
        found: list[Proposal | Rejection] = []
        for (group, _), answers in zip(asked, replies, strict=True):
            origin = f"{self.name}: rewrite" + (f" for fixture {group[0].fixture.id}" if group else "")
            found += [self.read(sheet, reply, origin) for reply in answers]
        return found

    def _moves(self, view: View, count: int) -> Sequence[str]:
        """A move per answer, drawn anew each round; a single empty one where the writer chooses itself."""
        if not self.moves:
            return ("",)
        order = view.rng.sample(self.moves, len(self.moves))
        return tuple(islice(cycle(order), count))

    def _question(self, view: View, sheet: Page, group: tuple[HardCase, ...], move: str) -> tuple[Turn, ...]:
        values = metaprompts.common_values(
            sheet.text, view.parent.prompt.engine, view.task, group, keep_format_lines=self.keep_format_lines
        )
        values |= {
            "masks": metaprompts.shown_masks(view.masks),
            "unit": view.unit,
            "headings": sheet.text.startswith("=== turn 1 ("),
            "move": move,
        }
        return metaprompts.question(self.template, values, self.overrides)

    def read(self, sheet: Page, reply: Reply, origin: str) -> Proposal | Rejection:
        """An answer's prompt put back into its page."""
        longest = max(LONGEST, LONGEST_TIMES * len(sheet.text))
        answer = parse(
            reply.text, finished=reply.finished, longest=longest, tags_required=self.tags_required, old=sheet.text
        )
        if answer.text is None:
            return Rejection(answer.problem or "no prompt in the answer")
        if self._echoes(answer.text, sheet.text):
            return Rejection("answer repeats our request")
        prompt = sheet.put(answer.text)
        return Rejection("turns lost") if prompt is None else Proposal(prompt, origin)

    def _echoes(self, text: str, old: str) -> bool:
        """Small models copy what they were asked into the prompt; words that stood there before are no echo."""
        length = metaprompts.ECHOED_WORDS
        asked = metaprompts.wording().union(*(shingles(move, length) for move in self.moves))
        return not asked.isdisjoint(shingles(text, length) - shingles(old, length))
