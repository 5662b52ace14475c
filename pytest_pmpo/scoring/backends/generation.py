"""Sampling from a transformers model: seeded batches, and log-probabilities from the scoring engine itself.

A sampler's own log-probabilities come from other batch shapes and, in 16 bit, other arithmetic than a score. Here the
sampled ids are scored like any other target, so the two agree, and shared prompts are paid for once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, TopPLogitsWarper

from pytest_pmpo.errors import ModelError
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import Generation, Progress, SamplingSettings
from pytest_pmpo.scoring.backends.budget import bytes_per_token, free_bytes, is_out_of_memory, key_value_bytes
from pytest_pmpo.scoring.backends.decoding import Choose, Decoder
from pytest_pmpo.scoring.backends.fixed_cache import Tokens
from pytest_pmpo.scoring.backends.hf_tokenizer import HFTokenizer
from pytest_pmpo.scoring.encode import encode_context
from pytest_pmpo.scoring.records import EncodedSequence

CPU_BATCH = 16_384
"""Prompt and answer tokens of a batch on a CPU; keys and values of all of them are held while it grows."""

CUDA_BATCH = 49_152
"""The same on a GPU, where a step takes as long for hundreds of answers as for one."""

_SHARE = (
    0.25  # of free memory for keys and values; activations, logits and transformers' loop, which copies, need theirs
)


@dataclass(frozen=True, slots=True)
class Room:
    """What a model leaves for an answer.

    Attributes:
        positions: that it was built for, tokens; None where it has no limit.
        alone_beyond: rows longer than this are written one at a time, by transformers' own loop; None for never.
    """

    positions: int | None = None
    alone_beyond: int | None = None

    def answer(self, context: int, most: int) -> int:
        """Longest answer to a context of so many tokens, at most ``most``.

        Raises:
            ModelError: if there is no room for a single token.
        """
        room = most if self.positions is None else min(most, self.positions - context)
        if room < 1:
            raise ModelError(
                f"a prompt of {context} tokens leaves no room for an answer: the model takes {self.positions}"
            )
        return room


class Sampler:
    """Draws answers from a model.

    Args:
        model: a transformers causal language model.
        tokenizer: its tokenizer.
        decoder: writes faster than transformers' own loop; None for a model it does not serve.
        room: an answer that would not fit is cut where the model's positions end.
    """

    def __init__(self, model: Any, tokenizer: HFTokenizer, decoder: Decoder | None = None, room: Room = Room()) -> None:
        self._model, self._tokenizer, self._decoder, self._room = model, tokenizer, decoder, room

    def draw(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        samples: int,
        progress: Progress | None,
    ) -> tuple[list[Generation], list[EncodedSequence]]:
        """``samples`` answers per conversation, flat and in order, without log-probabilities, and what to score."""
        contexts = [encode_context(self._tokenizer, turns).tokens for turns in conversations for _ in range(samples)]
        answers: list[Tokens] = [()] * len(contexts)
        waiting = sorted(range(len(contexts)), key=lambda i: -len(contexts[i]))  # rows of like length together
        limit = self._batch_tokens()
        with self._seeded(settings.seed), torch.inference_mode():
            while waiting:
                first = len(contexts[waiting[0]])
                most = self._room.answer(first, settings.max_new_tokens)
                width, apart = first + most, self._apart(first + most)
                whole = most == settings.max_new_tokens and not apart
                batch = waiting[: max(1, limit // width)] if whole else waiting[:1]
                own = replace(settings, max_new_tokens=most)
                try:
                    written = self._batch([contexts[i] for i in batch], own, None if apart else self._decoder)
                except (RuntimeError, MemoryError) as error:
                    if len(batch) == 1 or not is_out_of_memory(error):
                        raise
                    limit = len(batch) * width // 2
                    torch.cuda.empty_cache()
                    continue
                for i, row in zip(batch, written, strict=True):
                    answers[i] = row
                waiting = waiting[len(batch) :]
                if progress is not None:
                    progress(len(contexts) - len(waiting), len(contexts))
        scored = [EncodedSequence(c + a, len(c), "a sample") for c, a in zip(contexts, answers, strict=True)]
        return [self._generation(answer) for answer in answers], scored

    def _apart(self, width: int) -> bool:
        return self._room.alone_beyond is not None and width > self._room.alone_beyond

    def _batch(self, contexts: Sequence[Tokens], settings: SamplingSettings, decoder: Decoder | None) -> list[Tokens]:
        end = self._tokenizer.end_of_turn
        if decoder is not None:
            return decoder.write(contexts, _choice(settings), end, settings.max_new_tokens)
        longest, pad = max(map(len, contexts)), 0 if end is None else end
        # [rows, longest], padded on the left, so that every answer begins in the same column
        ids = torch.tensor([[pad] * (longest - len(c)) + list(c) for c in contexts], device=self._model.device)
        mask = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in contexts], device=self._model.device)
        greedy = settings.temperature == 0
        chosen = {} if greedy else {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
        with self._bare_settings():
            out = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=not greedy,
                max_new_tokens=settings.max_new_tokens,
                pad_token_id=pad,
                eos_token_id=end,
                **chosen,
            )
        return [_until(tuple(row[longest:].tolist()), end) for row in out]

    @contextmanager
    def _bare_settings(self) -> Iterator[None]:
        """None of the model's own: a penalty for repetition would draw from another distribution than is scored."""
        before, self._model.generation_config = self._model.generation_config, GenerationConfig()
        try:
            yield
        finally:
            self._model.generation_config = before

    def _batch_tokens(self) -> int:
        device = torch.device(self._model.device)
        if device.type == "cpu":
            return CPU_BATCH
        affordable = int(_SHARE * free_bytes(device) / (key_value_bytes(self._model) + bytes_per_token(self._model)))
        return min(CUDA_BATCH, affordable)

    def _generation(self, tokens: Tokens) -> Generation:
        end = self._tokenizer.end_of_turn
        finished = end is not None and tokens[-1:] == (end,)
        text = self._tokenizer.decode(tokens[:-1] if finished else tokens)
        return Generation(text, tokens, math.nan, finished)

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """The same draws for the same seed, and nobody else's random numbers disturbed."""
        device = self._model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield


def _choice(settings: SamplingSettings) -> Choose:
    """How the next tokens follow from logits [rows, vocabulary]."""
    if settings.temperature == 0:
        return lambda logits: logits.argmax(dim=-1)
    nucleus = TopPLogitsWarper(settings.top_p) if settings.top_p < 1 else None

    def draw(logits: Tensor) -> Tensor:
        scores = logits.float() / settings.temperature
        if nucleus is not None:
            scores = nucleus(None, scores)
        return torch.multinomial(scores.softmax(dim=-1), 1)[:, 0]

    return draw


def with_logprobs(drawn: Sequence[Generation], losses: Sequence[Sequence[float]]) -> list[Generation]:
    """Answers with the log-probability of their tokens, nats."""
    return [replace(answer, logprob=-math.fsum(row)) for answer, row in zip(drawn, losses, strict=True)]


def _until(tokens: Tokens, end: int | None) -> Tokens:
    """What was sampled up to and with the end of the turn; what follows it in the batch is padding."""
    return tokens[: tokens.index(end) + 1] if end is not None and end in tokens else tokens
