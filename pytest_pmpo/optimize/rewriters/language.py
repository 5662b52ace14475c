"""A rewriter that asks a language model, one question per hard case (PMPO's rewriting step)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_pmpo.optimize import metaprompts
from pytest_pmpo.optimize.answers import parse
from pytest_pmpo.optimize.hard_cases import HardCase
from pytest_pmpo.optimize.pages import Page, Scope, page
from pytest_pmpo.optimize.rewriters.base import Ask, Proposal, Rejection, View, Writer

LONGEST_TIMES = 20
"""An answer longer than this many times the text it rewrites (and than ``LONGEST``) is refused unread."""

LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class LanguageRewriter:
    """Asks ``writer`` to improve a prompt.

    Attributes:
        template: name of the meta-prompt: ``rewrite``, or ``rewrite_small`` for small models.
        scope: which text it may rewrite.
        tags_required: False accepts an answer without ``<prompt>`` tags.
        keep_format_lines: tell it to leave the output-format lines alone.
    """

    writer: Writer
    template: str = "rewrite"
    scope: Scope = "whole"
    tags_required: bool = True
    keep_format_lines: bool = True
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
        questions = []
        for group in cases:
            values = metaprompts.common_values(
                sheet.text, view.parent.prompt.engine, view.task, group, keep_format_lines=self.keep_format_lines
            )
            values |= {
                "masks": metaprompts.shown_masks(view.masks),
                "unit": view.unit,
                "headings": sheet.text.startswith("=== turn 1 ("),
            }
            questions.append(metaprompts.question(self.template, values, self.overrides))
        replies = ask(self.writer, questions, count)
        found: list[Proposal | Rejection] = []
        for group, answers in zip(cases, replies, strict=True):
            origin = f"{self.name}: rewrite" + (f" for fixture {group[0].fixture.id}" if group else "")
            found += [self._read(sheet, reply.text, reply.finished, origin) for reply in answers]
        return found

    def _read(self, sheet: Page, text: str, finished: bool, origin: str) -> Proposal | Rejection:
        return read_answer(sheet, text, origin, finished=finished, tags_required=self.tags_required)


def read_answer(
    sheet: Page, text: str, origin: str, *, finished: bool = True, tags_required: bool = True
) -> Proposal | Rejection:
    """An answer's prompt put back into its page."""
    longest = max(LONGEST, LONGEST_TIMES * len(sheet.text))
    answer = parse(text, finished=finished, longest=longest, tags_required=tags_required)
    if answer.text is None:
        return Rejection(answer.problem or "no prompt in the answer")
    prompt = sheet.put(answer.text)
    return Rejection("turns lost") if prompt is None else Proposal(prompt, origin)
