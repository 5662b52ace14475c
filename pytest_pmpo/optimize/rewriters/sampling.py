"""Sampling from a transformers model that was opened for scoring, in batches, seeded.

Prompts are padded on the left, so that every row ends where its answer begins. The generator's state is set from the
seed before and put back after, so that nothing else in the process draws other numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from pytest_pmpo.optimize.rewriters.base import Reply
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings, Tokenizer

MAX_ROWS = 16
"""Answers sampled at once."""


class Opened(Protocol):
    """A scoring backend that holds a transformers model."""

    model: Any

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        ...


def sample(
    backend: Opened, conversations: Sequence[Sequence[Turn]], settings: SamplingSettings, samples: int
) -> Iterator[tuple[Reply, ...]]:
    """``samples`` replies to each conversation, in order; each row of replies as soon as its batch is done."""
    import torch

    contexts = [_context(backend.tokenizer, turns) for turns in conversations for _ in range(samples)]
    device = backend.model.device
    replies: list[Reply] = []
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.inference_mode():
        torch.manual_seed(settings.seed)
        for start in range(0, len(contexts), MAX_ROWS):
            replies += _batch(backend, contexts[start : start + MAX_ROWS], settings)
    for i in range(len(conversations)):
        yield tuple(replies[i * samples : (i + 1) * samples])


def _context(tokenizer: Tokenizer, turns: Sequence[Turn]) -> tuple[int, ...]:
    if not tokenizer.has_chat_template:
        text = "".join(f"{turn.content}\n\n" for turn in turns)
        return tokenizer.encode(text, special_tokens=True)
    return tokenizer.encode(tokenizer.render(turns, generation_prompt=True), special_tokens=False)


def _batch(backend: Opened, contexts: Sequence[tuple[int, ...]], settings: SamplingSettings) -> list[Reply]:
    import torch

    model, end = backend.model, backend.tokenizer.end_of_turn
    longest = max(map(len, contexts))
    pad = 0 if end is None else end
    # (rows, longest): padding on the left, masked out
    ids = torch.tensor([[pad] * (longest - len(c)) + list(c) for c in contexts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in contexts], device=model.device)
    greedy = settings.temperature == 0
    chosen = {} if greedy else {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=not greedy,
        max_new_tokens=settings.max_new_tokens,
        pad_token_id=pad,
        eos_token_id=end,
        **chosen,
    )
    return [_reply(backend, row[longest:].tolist(), end) for row in out]


def _reply(backend: Opened, tokens: list[int], end: int | None) -> Reply:
    finished = end in tokens
    kept = tokens[: tokens.index(end)] if end is not None and finished else tokens
    return Reply(_decode(backend.tokenizer, kept), len(kept) + finished, finished)


def _decode(tokenizer: Any, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens))
