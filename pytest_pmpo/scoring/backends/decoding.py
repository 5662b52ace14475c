"""Writing token by token into a cache of fixed size, plugged into transformers through its attention interface.

transformers' own loop serves every model, and spends 25 ms of Python on a step, however small the model and however
fast the GPU. Here every step does the same work (the same rows, a cache as wide as it will ever be), so that on CUDA a
step is recorded once, as a graph, and replayed without Python. On both kinds of device contexts are read as a prefix
forest (``plan.py``), so that what they share is read once, and rows that have ended are dropped when they are half of
the batch::

    row r        | context of r, out of the forest | answer so far | room              |
    a step       writes keys at positions[r], sees columns ≤ positions[r], adds 1 to positions

Models that the tree path serves can be written with, after a trial on random tokens (``TransformersBackend``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_pmpo.scoring.backends.attention import OwnAttention
from pytest_pmpo.scoring.backends.budget import is_out_of_memory
from pytest_pmpo.scoring.backends.fixed_cache import Contexts, FixedCache, Tokens
from pytest_pmpo.scoring.backends.head import TargetHead
from pytest_pmpo.scoring.backends.kernels import to_device
from pytest_pmpo.scoring.plan import Ints

DECODING = OwnAttention("pmpo_decode")
"""On a ``FixedCache``."""
CHECK_EVERY = 8
"""Steps between looks at which rows have ended; each look waits for the device."""

Choose = Callable[[Tensor], Tensor]
"""Next tokens, int64 [rows], from logits [rows, vocabulary]."""


class Decoder:
    """Writes with a model whose attention goes through transformers' interface; in torch's inference mode.

    Raises:
        UnsupportedAttentionError: from ``write``, if attention is asked for something that is not done here.
    """

    def __init__(self, model: Any, head: TargetHead) -> None:
        DECODING.register()
        self._model, self._head = model, head
        self._recorder = _Recorder(model.device) if model.device.type == "cuda" else None
        # one of four dimensions is taken as it is; without one transformers looks at the positions, and waits for them
        self._mask = torch.ones((1, 1, 1, 1), dtype=torch.bool, device=model.device)

    def write(self, contexts: Sequence[Tokens], choose: Choose, end: int | None, most: int) -> list[Tokens]:
        """An answer to each context, its end included where the model came to one, of at most ``most`` tokens."""
        distinct = {context: number for number, context in enumerate(dict.fromkeys(contexts))}
        source = np.array([distinct[context] for context in contexts], dtype=np.int64)
        known, device = Contexts(list(distinct)), self._model.device
        cache = FixedCache(known, source, most, device)
        answers: list[list[int]] = [[] for _ in contexts]
        with DECODING.of(self._model, cache):
            tokens = choose(self._read(known, source))
            rows = list(range(len(contexts)))
            step: _Stepper | None = None  # made when it is needed: answers of one token need none
            pending = [tokens]
            for written in range(1, most + 1):
                if written % CHECK_EVERY == 0 or written == most:
                    ended = _extend(answers, rows, torch.stack(pending, 1).tolist(), end)
                    pending = []
                    left = [place for place, done in enumerate(ended) if not done]
                    if not left or written == most:
                        break
                    if 2 * len(left) <= len(rows) and most - written > CHECK_EVERY:
                        kept, step = torch.tensor(left, device=device), None
                        cache.keep(kept)
                        rows, tokens = [rows[place] for place in left], tokens[kept]
                step = step or self._stepper(cache, tokens)
                tokens = choose(step(tokens))
                pending.append(tokens)
        return [tuple(answer) for answer in answers]

    def losses(self, contexts: Sequence[Tokens], targets: Sequence[Tokens]) -> Tensor:
        """Negative log-likelihoods [rows, n], nats, that steps give to targets of n tokens each."""
        wanted, found = torch.tensor(targets, device=self._model.device), list[Tensor]()

        def follow(logits: Tensor) -> Tensor:
            tokens = wanted[:, len(found)]
            found.append(-logits.float().log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0])
            return tokens

        self.write(contexts, follow, None, wanted.shape[1])
        return torch.stack(found, dim=1)

    def _read(self, contexts: Contexts, source: Ints) -> Tensor:
        """Logits [rows, vocabulary] behind each row's context."""
        chunk, device = contexts.chunk, self._model.device
        ids, positions, last, rows = (
            to_device(torch.from_numpy(numbers), device)
            for numbers in (chunk.tokens, chunk.positions, contexts.last, source)
        )
        hidden = self._hidden(ids[None], positions[None])[0]
        return self._head.logits(hidden[last])[rows]

    def _stepper(self, cache: FixedCache, tokens: Tensor) -> _Stepper:
        """What takes every row one token further: a recorded graph where that is possible."""
        if self._recorder is not None:
            try:
                return self._recorder.record(self._step, cache, tokens)
            except RuntimeError as error:  # a model that looks at its numbers on the way cannot be recorded
                if is_out_of_memory(error):
                    raise
                self._recorder = None
        return _Eager(self._step, cache)

    def _step(self, cache: FixedCache, tokens: Tensor, visible: int) -> Tensor:
        cache.begin_step(visible)
        return self._head.logits(self._hidden(tokens[:, None], cache.positions[:, None])[:, 0])

    def _hidden(self, ids: Tensor, positions: Tensor) -> Tensor:
        found: Tensor = self._model.base_model(
            input_ids=ids, position_ids=positions, attention_mask=self._mask, use_cache=False
        ).last_hidden_state
        return found


_Step = Callable[[FixedCache, Tensor, int], Tensor]
_Stepper = Callable[[Tensor], Tensor]


class _Eager:
    """A step as it is written, over the columns that are in use."""

    def __init__(self, step: _Step, cache: FixedCache) -> None:
        self._step, self._cache = step, cache
        self._longest = int(cache.positions.max())

    def __call__(self, tokens: Tensor) -> Tensor:
        self._longest += 1
        logits = self._step(self._cache, tokens, self._longest)
        self._cache.positions += 1
        return logits


class _Recorder:
    """Records steps as CUDA graphs, all on one stream, as libraries keep a workspace for every stream they meet."""

    def __init__(self, device: torch.device) -> None:
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def record(self, step: _Step, cache: FixedCache, tokens: Tensor) -> _Recorded:
        """A step of the cache's whole width, so that it is always the same work.

        Raises:
            RuntimeError: a step that waits for the device, which no graph can hold. That is found in a trial: a
                recording that breaks off leaves torch's random numbers believing that it goes on.
        """
        tokens, now = tokens.clone(), torch.cuda.current_stream()
        self._stream.wait_stream(now)
        with torch.cuda.stream(self._stream), _waiting_is_an_error():
            step(cache, tokens, cache.width)
        now.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        try:
            # other threads may go on allocating meanwhile
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                logits = step(cache, tokens, cache.width)
        except RuntimeError:
            torch.cuda.set_stream(now)  # the recording's own, where its end has failed too
            _fresh_generator(tokens.device)
            raise
        return _Recorded(graph, cache, tokens, logits)


class _Recorded:
    """A recorded step and the tensors it reads and writes."""

    def __init__(self, graph: torch.cuda.CUDAGraph, cache: FixedCache, tokens: Tensor, logits: Tensor) -> None:
        self._graph, self._cache, self._tokens, self._logits = graph, cache, tokens, logits

    def __call__(self, tokens: Tensor) -> Tensor:
        self._tokens.copy_(tokens)
        self._graph.replay()
        self._cache.positions += 1
        return self._logits


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)


def _fresh_generator(device: torch.device) -> None:
    """The device's random numbers with a state of their own again, at the same place."""
    generator = torch.cuda.default_generators[device.index or 0]
    generator.graphsafe_set_state(generator.clone_state())


def _extend(
    answers: list[list[int]], rows: Sequence[int], block: Sequence[Sequence[int]], end: int | None
) -> list[bool]:
    """Add each row's new tokens, up to its end; whether each row has ended."""
    ended = []
    for row, tokens in zip(rows, block, strict=True):
        answer = answers[row]
        if not (answer and answer[-1] == end):
            stop = tokens.index(end) + 1 if end in tokens else len(tokens)
            answer += tokens[:stop]
        ended.append(bool(answer) and answer[-1] == end)
    return ended
