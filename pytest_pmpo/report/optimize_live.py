"""The live table of a running optimization: round, best loss, held-out, tokens, time left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_pmpo.optimize.budget import Budget, Spent
from pytest_pmpo.optimize.listener import Plan
from pytest_pmpo.optimize.records import OptimizeResult, Round
from pytest_pmpo.report.text import form_words, number, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

_NOTE = 48


class LiveTable:
    """A listener that draws a table which grows by a row per round, with a line of what is being spent below it.

    On a console that is no terminal (a log) each round is printed once instead, so nothing is redrawn.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: list[Round] = []
        self._spent = Spent()
        self._budget = Budget()
        self._live: Live | None = None
        self._began = time.monotonic()

    def started(self, plan: Plan) -> None:
        """Print the plan, then begin the table."""
        for line in plan.lines():
            self._console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
        self._budget = plan.budget
        self._began = time.monotonic()
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(self._table(), console=self._console, refresh_per_second=4, transient=False)
            self._live.start()

    def working(self, spent: Spent) -> None:
        """Show what was spent."""
        self._spent = spent
        if self._live is not None:
            self._live.update(self._table())

    def round_done(self, row: Round) -> None:
        """Add a row."""
        self._rows.append(row)
        self._spent = row.spent
        if self._live is not None:
            self._live.update(self._table())
            return
        word = "accepted" if row.accepted else "kept"
        losses = f"train {number(row.train)}, selection {number(row.selection)}"
        heldout = "" if row.heldout is None else f", held-out {number(row.heldout)}"
        line = f"round {row.number}: {losses}{heldout}; {word}: {plain(row.note, 100)}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def noted(self, text: str) -> None:
        """Print a note above the table."""
        self._console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    def finished(self, result: OptimizeResult) -> None:
        """Stop the table and say how it ended, how much of a change is form, and what the patch leaves to do."""
        if self._live is not None:
            self._live.update(self._table())
            self._live.stop()
            self._live = None
        lines = [f"stopped ({result.ending}): {result.ending_reason}", result.reason]
        if result.verdict is not None:
            lines.append(form_words(result.verdict))
        lines += [result.shown.sentence, f"spent {result.spent}"]
        for line in filter(None, lines):
            self._console.print(plain(line), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Give the terminal back where a run ended with an error."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(caption=self.status(), caption_justify="left")
        for name in ("round", "train", "selection", "held-out"):
            table.add_column(name, justify="right")
        table.add_column("")
        for row in self._rows:
            table.add_row(
                str(row.number),
                number(row.train),
                number(row.selection),
                "" if row.heldout is None else number(row.heldout),
                # a Text is never read as markup: notes quote prompts
                Text(plain(row.note, _NOTE), style="green" if row.accepted else "dim"),
            )
        return table

    def status(self) -> str:
        """``round 3 of 5, 44,908 forward tokens, 0 generated, about 2.1 min left``."""
        spent, budget = self._spent, self._budget
        done = len(self._rows) - 1
        limit = f" of {budget.forward_tokens:,}" if budget.forward_tokens else ""
        parts = [f"round {max(0, done)} of {budget.rounds}", f"{spent.forward_tokens:,}{limit} forward tokens"]
        if spent.generated_tokens or budget.generated_tokens:
            parts.append(f"{spent.generated_tokens:,} generated")
        left = self._seconds_left(done)
        if left is not None:
            parts.append(f"about {left / 60:.1f} min left")
        return ", ".join(parts)

    def _seconds_left(self, done: int) -> float | None:
        """By the rounds so far, and never more than the time limit leaves."""
        limits = []
        if done > 0:
            limits.append((time.monotonic() - self._began) / done * (self._budget.rounds - done))
        if self._budget.minutes is not None:
            limits.append(max(0.0, self._budget.minutes * 60 - self._spent.seconds))
        return min(limits) if limits else None
