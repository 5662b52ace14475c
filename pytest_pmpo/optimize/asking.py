"""Questions to language models: looked up in the journal, else asked within the budget and journalled at once."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_pmpo.optimize.budget import Ledger
from pytest_pmpo.optimize.rewriters.base import Reply, Writer
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings


class Asking:
    """Asks writers on behalf of one run.

    A question asked again in the same run is meant to be answered anew: it has a number, and another seed.

    Args:
        on_written: called after every answer, for the live view.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        sampling: SamplingSettings,
        seed: int,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._sampling = sampling
        self._seed = seed
        self._on_written = on_written
        self._asked: Counter[str] = Counter()

    def __call__(
        self, writer: Writer, conversations: Sequence[Sequence[Turn]], samples: int
    ) -> list[tuple[Reply, ...]]:
        """``samples`` answers to each conversation, in order.

        Raises:
            BudgetError: before a question whose answers might not fit; answers that came before it are kept.
            RewriterError: the writer's; answers that came before it are kept.
        """
        numbered = [self._number(writer, conversation, samples) for conversation in conversations]
        missing: dict[int, dict[str, Sequence[Turn]]] = {}
        for (key, turn), conversation in zip(numbered, conversations, strict=True):
            if f"{key}/{turn}" not in self._journal.answers:
                missing.setdefault(turn, {})[f"{key}/{turn}"] = conversation
        for turn, asked in sorted(missing.items()):  # a question met twice is another draw, also within one call
            self._buy(writer, asked, samples, replace(self._sampling, seed=self._seed + 1_000 * (turn - 1)))
        return [tuple(Reply(*a) for a in self._journal.answers[f"{key}/{turn}"]) for key, turn in numbered]

    def _number(self, writer: Writer, conversation: Sequence[Turn], samples: int) -> tuple[str, int]:
        turns = [[turn.role, turn.content] for turn in conversation]
        shown = json.dumps([writer.identity, turns, samples, repr(self._sampling)], ensure_ascii=True)
        key = hashlib.sha256(shown.encode()).hexdigest()
        self._asked[key] += 1
        return key, self._asked[key]

    def _buy(
        self, writer: Writer, missing: dict[str, Sequence[Turn]], samples: int, settings: SamplingSettings
    ) -> None:
        self._ledger.require_generation(len(missing) * samples * settings.max_new_tokens)
        began = time.monotonic()
        rows = writer.write(list(missing.values()), settings, samples=samples, seconds=self._ledger.seconds_left)
        for key, row in zip(missing, rows, strict=True):
            now = time.monotonic()
            self._ledger.pay_generation(sum(reply.tokens for reply in row), now - began)
            began = now
            answers = tuple((reply.text, reply.tokens, reply.finished) for reply in row)
            self._journal.record_answers(key, answers, self._ledger.spent)
            self._on_written()
