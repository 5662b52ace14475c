"""The scoring part of ``generate``: bank, top-ups and bare labels under every prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.validity import tasks, variants
from benchmarks.validity.decoder import Decoder
from benchmarks.validity.sampling import Clock, log_probabilities

Contexts = Mapping[str, list[list[int]]]
Text = tuple[int, list[int]]  # item, tokens
Row = dict[str, Any]


@dataclass(frozen=True)
class Labels:
    """Bare labels of a task as texts: gold, gold with its end, another item's gold, then all options of each item."""

    texts: list[Text]
    items: int
    options: list[int]
    expected: list[int]

    @classmethod
    def of(cls, task: tasks.Task, ids: Callable[[str], list[int]], end: int) -> Labels:
        """The labels of a task."""
        golds, n = [item.gold for item in task.items], len(task.items)
        dealt = [next((g for g in golds[(i + n // 2) % n :] + golds if g != golds[i]), golds[i]) for i in range(n)]
        texts = [(i, ids(gold)) for i, gold in enumerate(golds)]
        texts += [(i, [*ids(gold), end]) for i, gold in enumerate(golds)]
        texts += [(i, ids(gold)) for i, gold in enumerate(dealt)]
        texts += [(i, ids(option)) for i, item in enumerate(task.items) for option in item.options]
        expected = [item.options.index(item.gold) for item in task.items if item.options]
        return cls(texts, n, [len(item.options) for item in task.items], expected)

    def record(self, values: Mapping[str, Sequence[float]]) -> Row:
        """What is kept: per prompt and item ``gold`` [without end, with end, tokens], ``control``, ``options``."""
        n = self.items
        lengths = [len(tokens) for _, tokens in self.texts]
        kept: Row = {
            "gold": {p: [[v[i], v[n + i], lengths[i]] for i in range(n)] for p, v in values.items()},
            "control": {p: [[v[2 * n + i], lengths[2 * n + i]] for i in range(n)] for p, v in values.items()},
        }
        if self.expected:
            options = {p: list(v[3 * n :]) for p, v in values.items()}
            kept |= {"options": options, "option_counts": self.options, "expected": self.expected}
        return kept


def score(decoder: Decoder, clock: Clock, batch: int, contexts: Contexts, bank: Sequence[Row]) -> Row:
    """The bank, and the log-probability of each distinct text (by text id) under every prompt."""
    texts, result = distinct(bank), {}
    for prompt, rows in contexts.items():
        since = time.monotonic()
        result[prompt] = _rounded(log_probabilities(decoder, rows, texts, batch))
        clock.add("score", since)
    return {"bank": kept_rows(bank), "logprob": result}


def score_rest(
    decoder: Decoder,
    clock: Clock,
    batch: int,
    contexts: Contexts,
    labels: Labels,
    top_ups: Mapping[str, Sequence[Row]],
    proposals: Sequence[str],
) -> Row:
    """Labels under every prompt, and the top-up of each family under its prompts and the proposals, in one pass."""
    values: dict[str, list[float]] = {}
    top_up: Row = {family: {"bank": kept_rows(rows), "logprob": {}} for family, rows in top_ups.items() if rows}
    for prompt, rows in contexts.items():
        since = time.monotonic()
        wanted = [f for f in top_up if prompt in proposals or variants.family(prompt) == f]
        texts = {family: distinct(top_ups[family]) for family in wanted}
        scored = _rounded(log_probabilities(decoder, rows, labels.texts + [t for f in wanted for t in texts[f]], batch))
        values[prompt], rest = scored[: len(labels.texts)], scored[len(labels.texts) :]
        for family in wanted:
            top_up[family]["logprob"][prompt] = rest[: len(texts[family])]
            del rest[: len(texts[family])]
        clock.add("labels and top-up", since)
    return {**labels.record(values), "top_up": top_up}


def kept_rows(bank: Sequence[Row]) -> list[list[Any]]:
    """Item, proposal, grade, tokens, finished, text id."""
    return [[b["item"], b["proposal"], b["grade"], b["tokens"], b["finished"], b["text_id"]] for b in bank]


def distinct(bank: Sequence[Row]) -> list[Text]:
    """(item, tokens) by text id."""
    found = {row["text_id"]: (row["item"], row["ids"]) for row in bank}
    return [found[i] for i in range(len(found))]


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]
