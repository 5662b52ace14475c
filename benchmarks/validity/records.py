"""What a run of ``generate`` keeps, as arrays; also reads the older form of ``research/validity``."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.validity.variants import family

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Extra:
    """Own responses of the prompts of one family that are no proposals: the top-up of a bank.

    Attributes:
        item, grade: of each response [R].
        drawn_from: the prompt each was drawn from.
        log_p: [R] under each prompt of the family and each proposal, by name, nats.
    """

    item: Ints
    grade: Floats
    drawn_from: tuple[str, ...]
    log_p: dict[str, Floats]


@dataclass(frozen=True)
class TaskRun:
    """One task: P prompts, n items, R bank responses.

    Attributes:
        families: family of each prompt.
        base: whether a prompt is its family's base.
        greedy: grades [P, n].
        sampled: grades of single samples [P, n, S], or None.
        item, proposal, grade, tokens: of each response [R]; ``proposal`` indexes ``prompts``, −1 for one not scored on.
        log_p: log-probability of each response under each prompt [P, R], nats.
        log_proposal: the same under each proposal, by name; a proposal need not be a prompt that is compared.
        labels: per-prompt numbers of bare labels: ``gold`` [P, n, 3], and where there are any ``control`` [P, n, 2],
            ``options`` (list of [P, n_options] per item) and ``expected``.
        extra: top-up responses by family.
    """

    name: str
    prompts: tuple[str, ...]
    families: tuple[str, ...]
    base: tuple[bool, ...]
    greedy: Floats
    sampled: Floats | None
    item: Ints
    proposal: tuple[str, ...]
    grade: Floats
    tokens: Ints
    log_p: Floats
    log_proposal: dict[str, Floats]
    labels: dict[str, Any]
    meta: dict[str, Any]
    extra: dict[str, Extra] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of items."""
        return int(self.greedy.shape[1])


@dataclass(frozen=True)
class Subset:
    """Some of a task's responses, as a bank of its own.

    Attributes:
        log_w: log p / q under each prompt [P, R'], q the mixture of the subset's proposals.
        log_p: log p [P, R'].
    """

    run: TaskRun
    item: Ints
    grade: Floats
    tokens: Ints
    log_w: Floats
    log_p: Floats

    @property
    def per_item(self) -> float:
        """Mean number of responses to an item."""
        return len(self.item) / self.run.n


def subset(run: TaskRun, proposals: Sequence[str], per_proposal: int, skip: int = 0) -> Subset:
    """``per_proposal`` responses of each proposal to each item, after passing over the first ``skip``."""
    source = np.array(run.proposal)
    keep = np.zeros(len(run.item), bool)
    for name in proposals:
        mine = np.flatnonzero(source == name)
        rank = _rank(run.item[mine])
        keep[mine[(rank >= skip) & (rank < skip + per_proposal)]] = True
    kept = np.flatnonzero(keep)
    item = run.item[kept]
    counts = np.stack([np.bincount(item[source[kept] == p], minlength=run.n) for p in proposals], 1)
    with np.errstate(divide="ignore"):
        shares = np.log(counts / np.maximum(counts.sum(1, keepdims=True), 1))
    log_q = np.logaddexp.reduce([run.log_proposal[p][kept] + shares[item, k] for k, p in enumerate(proposals)], 0)
    log_p = run.log_p[:, kept]
    return Subset(run, item, run.grade[kept], run.tokens[kept], log_p - log_q, log_p)


def read_run(path: Path) -> TaskRun:
    """One ``TASK.json.gz`` of ``generate``.

    Answers lie in the order in which they ended, short ones first. They are shuffled here, or the first few of an item
    would be no random sample of its answers.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        raw = json.load(file)
    prompts = tuple(raw["prompts"])
    bank = [raw["bank"][i] for i in _order().permutation(len(raw["bank"]))]
    text = np.array([row[5] for row in bank])
    log_p = np.array([raw["logprob"][p] for p in prompts])[:, text]
    return TaskRun(
        raw["task"],
        prompts,
        tuple(map(family, prompts)),
        tuple(p.endswith("0") for p in prompts),
        np.array([raw["greedy"][p] for p in prompts], float),
        _sampled(raw, prompts),
        np.array([row[0] for row in bank]),
        tuple(row[1] for row in bank),
        np.array([row[2] for row in bank], float),
        np.array([row[3] for row in bank]),
        log_p,
        {p: log_p[i] for i, p in enumerate(prompts)},
        _labels(raw, prompts),
        {key: raw.get(key) for key in ("model", "device", "seconds", "tokens", "samples", "length", "limit")},
        {name: _extra(rows) for name, rows in raw.get("top_up", {}).items()},
    )


def read_old(path: Path) -> list[TaskRun]:
    """All tasks of a ``bank.json`` of ``research/validity``; its responses are of one form, so no end was marked."""
    return [_old(name, raw) for name, raw in json.loads(path.read_text()).items()]


def _old(name: str, raw: dict[str, Any]) -> TaskRun:
    prompts = tuple(raw["greedy"])
    values = {p: np.array(rows) for p, rows in raw["B"].items()}
    bank = raw["bank"]
    return TaskRun(
        name,
        prompts,
        tuple(p[0] for p in prompts),
        tuple(p.endswith("0") for p in prompts),
        np.array([raw["greedy"][p] for p in prompts], float),
        None,
        np.array([row[0] for row in bank]),
        tuple(row[1] for row in bank),
        np.array([row[2] for row in bank], float),
        values[prompts[0]][:, 1].astype(int),
        np.array([values[p][:, 0] for p in prompts]),
        {p: rows[:, 0] for p, rows in values.items()},
        {"gold": np.array([raw["G"][p] for p in prompts])[:, :, [1, 0, 2]] - np.array([0, 0, 1])},
        {},
    )


def _extra(raw: dict[str, Any]) -> Extra:
    bank = raw["bank"]
    text = np.array([row[5] for row in bank])
    return Extra(
        np.array([row[0] for row in bank]),
        np.array([row[2] for row in bank], float),
        tuple(row[1] for row in bank),
        {p: np.array(values)[text] for p, values in raw["logprob"].items()},
    )


def _sampled(raw: dict[str, Any], prompts: Sequence[str]) -> Floats | None:
    rows = [raw["sampled"][p] for p in prompts]
    if not isinstance(rows[0][0], str):
        return None
    grades = np.array([[[int(digit) for digit in item] for item in row] for row in rows], float)
    return _order().permuted(grades, axis=2)


def _labels(raw: dict[str, Any], prompts: Sequence[str]) -> dict[str, Any]:
    labels: dict[str, Any] = {"gold": np.array([raw["gold"][p] for p in prompts])}
    if "control" in raw:
        labels["control"] = np.array([raw["control"][p] for p in prompts])
    if "options" in raw:
        values = np.array([raw["options"][p] for p in prompts])
        labels["options"] = np.split(values, np.cumsum(raw["option_counts"])[:-1], axis=1)
        labels["expected"] = raw["expected"]
    return labels


def _rank(items: Ints) -> Ints:
    """Position of each element among those equal to it."""
    seen: dict[int, int] = {}
    ranks = []
    for item in items.tolist():
        ranks.append(seen.get(item, 0))
        seen[item] = ranks[-1] + 1
    return np.array(ranks, dtype=np.int64)


def _order() -> np.random.Generator:
    return np.random.default_rng(0)
