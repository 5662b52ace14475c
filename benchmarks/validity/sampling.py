"""Drawing and scoring responses by the thousand with a ``Decoder``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.validity.decoder import Decoder, KeyValues, Slots
from pytest_pmpo.scoring.backends.budget import is_out_of_memory

CHECK_EVERY = 8  # steps between looks at which answers have ended: each look waits for the GPU


@dataclass(frozen=True)
class Request:
    """Tokens to answer; ``samples`` at temperature 1, and one greedy answer if asked. ``key`` comes back with them."""

    key: tuple[str, int]
    tokens: Sequence[int]
    samples: int
    greedy: bool = False


@dataclass
class Answer:
    """Tokens without the end; ``finished`` False where the limit cut it."""

    key: tuple[str, int]
    greedy: bool
    tokens: list[int] = field(default_factory=list)
    finished: bool = False


@dataclass
class _Row:
    answer: Answer
    position: int


class Sampler:
    """Continuous batching over a fixed number of slots."""

    def __init__(self, decoder: Decoder, end: int, *, slots: int, length: int, limit: int, seed: int) -> None:
        self.decoder, self.end, self.limit = decoder, end, limit
        self.slots = Slots(decoder, slots, length)
        self.rows: list[_Row | None] = [None] * slots
        self.generator = torch.Generator(decoder.device).manual_seed(seed)
        self.tokens = torch.zeros(slots, dtype=torch.long, device=decoder.device)
        self.positions = torch.zeros(slots, dtype=torch.long, device=decoder.device)
        self.greedy = torch.zeros(slots, dtype=torch.bool, device=decoder.device)
        self.decoded = self.prefilled = 0

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Every answer, in the order they end."""
        waiting = list(reversed(requests))
        while waiting or any(self.rows):
            free = [i for i, row in enumerate(self.rows) if row is None]
            if waiting and len(free) >= max(len(self.rows) // 8, _size(waiting[-1])):
                self._admit(waiting, free)
            yield from self._advance()

    def _admit(self, waiting: list[Request], free: list[int]) -> None:
        batch: list[Request] = []
        room = len(free)
        while waiting and _size(waiting[-1]) <= room:
            room -= _size(waiting[-1])
            batch.append(waiting.pop())
        for start in range(0, len(batch), 64):
            part = batch[start : start + 64]
            hidden, cache = prefill(self.decoder, [request.tokens for request in part])
            self.prefilled += sum(len(request.tokens) for request in part)
            slots, rows, greedy = [], [], []
            for number, request in enumerate(part):
                for i in range(_size(request)):
                    slot = free.pop()
                    is_greedy = request.greedy and i == 0
                    self.rows[slot] = _Row(Answer(request.key, is_greedy), len(request.tokens))
                    slots.append(slot)
                    rows.append(number)
                    greedy.append(is_greedy)
            device = self.decoder.device
            at, of = torch.tensor(slots, device=device), torch.tensor(rows, device=device)
            self.slots.fill(at, cache, of)
            self.greedy[at] = torch.tensor(greedy, device=device)
            self.positions[at] = torch.tensor([len(part[n].tokens) for n in rows], device=device)
            self.tokens[at] = self._draw(self.decoder.logits(hidden)[of], self.greedy[at])

    def _advance(self) -> list[Answer]:
        """A few steps of every slot; what has ended then is handed out."""
        active = [(i, row) for i, row in enumerate(self.rows) if row is not None]
        longest = max(row.position for _, row in active) + CHECK_EVERY + 1
        drawn = [self.tokens.clone()]
        for step in range(CHECK_EVERY):
            hidden = self.slots.step(self.tokens, self.positions, longest)
            # a slot that ended runs on until the next look; it must not run off its rows
            self.positions = (self.positions + 1).clamp(max=self.slots.length - 1)
            self.tokens = self._draw(self.decoder.logits(hidden), self.greedy)
            if step < CHECK_EVERY - 1:
                drawn.append(self.tokens.clone())
        ended = []
        for (slot, row), tokens in zip(active, torch.stack(drawn, 1)[[i for i, _ in active]].tolist(), strict=True):
            row.position += CHECK_EVERY
            if self._extend(row.answer, tokens):
                ended.append(row.answer)
                self.rows[slot] = None
        return ended

    def _extend(self, answer: Answer, tokens: list[int]) -> bool:
        for token in tokens:
            self.decoded += 1
            if token == self.end:
                answer.finished = True
                return True
            answer.tokens.append(token)
            if len(answer.tokens) >= self.limit:
                return True
        return False

    def _draw(self, logits: torch.Tensor, greedy: torch.Tensor) -> torch.Tensor:
        """Gumbel maximum: exact samples at temperature 1 over the whole vocabulary."""
        noise = torch.empty_like(logits).exponential_(generator=self.generator).log_()
        return logits.sub_(noise.masked_fill_(greedy[:, None], 0.0)).argmax(-1)


@torch.inference_mode()
def log_probabilities(
    decoder: Decoder, contexts: Sequence[Sequence[int]], texts: Sequence[tuple[int, Sequence[int]]], budget: int
) -> list[float]:
    """Log-probability of each (context number, tokens), nats. ``budget``: padded tokens per forward pass."""
    result = [0.0] * len(texts)
    for first in range(0, len(contexts), 128):
        part = contexts[first : first + 128]
        hidden, prefix = prefill(decoder, part)
        mine = [i for i, (context, _) in enumerate(texts) if first <= context < first + len(part)]
        mine.sort(key=lambda i: len(texts[i][1]))
        while mine:
            longest = max(2, len(texts[mine[-1]][1]))
            batch = mine[-max(1, budget // longest) :]
            del mine[-len(batch) :]
            rows = [texts[i][0] - first for i in batch]
            try:
                values = _score(decoder, [texts[i][1] for i in batch], rows, part, hidden, prefix, budget)
            except RuntimeError as error:  # another process has taken the memory
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                mine += batch
                budget //= 2
                torch.cuda.empty_cache()
                continue
            for i, value in zip(batch, values, strict=True):
                result[i] = value
    return result


def _score(
    decoder: Decoder,
    texts: Sequence[Sequence[int]],
    rows: Sequence[int],
    contexts: Sequence[Sequence[int]],
    hidden: torch.Tensor,
    prefix: KeyValues,
    budget: int,
) -> list[float]:
    device = decoder.device
    at = torch.tensor(rows, device=device)
    tokens, lengths = padded(texts, device)
    starts = torch.tensor([len(contexts[row]) for row in rows], device=device)
    states = decoder.score(tokens[:, :-1], prefix, at, starts)
    # the state before token 0 is the context's last, the one before token j is that of token j − 1
    states = torch.cat((hidden[at][:, None], states), 1).flatten(0, 1)
    wanted = (torch.arange(tokens.shape[1], device=device)[None] < lengths[:, None]).flatten().nonzero()[:, 0]
    total = torch.zeros(len(texts), dtype=torch.float64, device=device)
    for some in torch.split(wanted, max(256, budget // 8)):
        logits = decoder.logits(states[some])
        target = tokens.flatten()[some]
        loss = torch.logsumexp(logits, -1) - logits.gather(1, target[:, None])[:, 0]
        total.index_add_(0, some // tokens.shape[1], -loss.double())
    return total.tolist()


def prefill(decoder: Decoder, contexts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, KeyValues]:
    """Last hidden states and keys and values of contexts."""
    tokens, lengths = padded(contexts, decoder.device)
    return decoder.prefill(tokens, lengths)


def padded(rows: Sequence[Sequence[int]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded token ids [b, t] and lengths [b]."""
    longest = max(2, *(len(row) for row in rows)) if rows else 2
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(list(row), dtype=torch.long)
    return tokens.to(device), torch.tensor([len(row) for row in rows], device=device)


def _size(request: Request) -> int:
    return request.samples + int(request.greedy)


class Clock:
    """Seconds of named parts, the GPU's queue included."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")
        self.seconds: dict[str, float] = {}
        self.started = time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def add(self, name: str, since: float) -> None:
        if self.cuda:
            torch.cuda.synchronize()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - since
