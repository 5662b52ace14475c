"""A causal language model run by transformers and torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pytest_pmpo.errors import ModelError, NumericsError
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends import kernels, trial
from pytest_pmpo.scoring.backends.attention import UnsupportedAttentionError
from pytest_pmpo.scoring.backends.base import Generation, Progress, SamplingSettings
from pytest_pmpo.scoring.backends.budget import TokenBudget, is_out_of_memory
from pytest_pmpo.scoring.backends.decoding import Decoder
from pytest_pmpo.scoring.backends.generation import Room, Sampler, with_logprobs
from pytest_pmpo.scoring.backends.head import TargetHead
from pytest_pmpo.scoring.backends.hf_tokenizer import HFTokenizer
from pytest_pmpo.scoring.backends.long_rope import long_rope_limit
from pytest_pmpo.scoring.backends.paths import ExecutionPath, PlainPath, PrefixPath, Sink, TreePath
from pytest_pmpo.scoring.plan import Ints
from pytest_pmpo.scoring.records import EncodedSequence, distinct_tokens

Losses = npt.NDArray[np.float64]
_MakePath = Callable[[Any, TargetHead], ExecutionPath]
_PATHS: tuple[_MakePath, ...] = (TreePath, PrefixPath)

# whatever one way trips over in a model nobody has seen, the next one need not
_TRIPPED = (
    UnsupportedAttentionError, RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError,
)  # fmt: skip

# Two paths agree if their losses do to rounding. fp32 rounds at 1e-7. 16-bit weights round at 1e-2 of a logit, and a
# mixture of experts may then send a token elsewhere, so there it is the mean that must be small.
_AGREE = 1e-4
_AGREE_HALF = 0.25


class TransformersBackend:
    """Scores with a loaded model; see ``loading.py`` for how it gets here.

    The fastest execution path that agrees with the plain one on a few short sequences is taken, so a model whose
    attention does something unforeseen costs time, never a wrong loss.

    Args:
        model: a transformers causal language model in eval mode, on its device.
        tokenizer: its tokenizer.
        max_batch_tokens: upper bound of tokens per forward pass; default by device and free memory.
        path: take this path unchecked (``tree``, ``prefix``, ``plain``); for benchmarks.

    Raises:
        ModelError: a model without a language-model head, or one that changes its logits in an unknown way.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, max_batch_tokens: int | None = None, path: str | None = None
    ) -> None:
        self.model = model
        _mind_soft_caps(model)
        self.tokenizer = HFTokenizer(tokenizer)
        self._head = TargetHead(model)
        self._budget = TokenBudget(model, max_batch_tokens)
        self._room = Room(self.context_length, long_rope_limit(model.config))
        self._tried: Decoder | Literal[False] | None = None
        with kernels.current(self.model.device), torch.inference_mode():
            self._path = self._choose_path() if path is None else self._named_path(path)

    @property
    def context_length(self) -> int | None:
        """Positions the model was built for, in tokens; None where it has no limit (ALiBi, recurrent models)."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(limit) if limit else None

    @property
    def description(self) -> str:
        """``LlamaForCausalLM, cpu, float32, tree path``."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"{type(self.model).__name__}, {self.model.device}, {dtype}, {self._path.name} path"

    def score(
        self, sequences: Sequence[EncodedSequence], *, progress: Progress | None = None
    ) -> list[tuple[float, ...]]:
        """Negative log-likelihood of every target token, nats; see ``Backend.score``.

        Raises:
            ModelError: naming the sequence with an id the model has no row for.
        """
        if not sequences:
            return []
        self._check_vocabulary(sequences)
        run = _Run(sequences, progress)
        with kernels.current(self.model.device), torch.inference_mode():
            while run.unfinished:
                rest = run.unfinished
                try:
                    for path, some, budget in self._passes(sequences, rest):
                        path.run([sequences[i] for i in some], budget, run.sink(some))
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error) or not self._budget.halve():
                        raise
                run.flush()
        return run.results()

    def _passes(
        self, sequences: Sequence[EncodedSequence], rest: Sequence[int]
    ) -> Iterator[tuple[ExecutionPath, Sequence[int], int]]:
        """Which path takes which sequences, and how many tokens at once."""
        limit = self._room.alone_beyond
        far = [] if limit is None else [i for i in rest if len(sequences[i].tokens) - 1 > limit]
        near = [i for i in rest if i not in set(far)] if far else rest
        if near:
            yield self._path, near, self._budget.tokens
        if far:  # one at a time: its neighbours would decide its frequencies
            yield PlainPath(self.model, self._head), far, 1

    def generate(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int = 1,
        progress: Progress | None = None,
    ) -> list[tuple[Generation, ...]]:
        """``samples`` answers to each conversation; see ``Generator.generate``."""
        with kernels.current(self.model.device):
            sampler = Sampler(self.model, self.tokenizer, self._decoder, self._room)
            drawn, rows = sampler.draw(conversations, settings, samples, progress)
        answers = with_logprobs(drawn, self.score(rows))
        return [tuple(answers[i : i + samples]) for i in range(0, len(answers), samples)]

    @property
    def _decoder(self) -> Decoder | None:
        """Writes with a model whose steps, tried on random tokens, give the losses that scoring gives."""
        if self._tried is None:
            self._tried = self._try_decoder() if isinstance(self._path, TreePath) else False
        return self._tried or None

    def _try_decoder(self) -> Decoder | Literal[False] | None:
        """The decoder, False for a model it does not serve, None where memory ran out and nothing is known."""
        decoder, probes = Decoder(self.model, self._head), trial.written(self._head.vocabulary)
        contexts = [probe.tokens[: probe.target_start] for probe in probes]
        targets = [probe.tokens[probe.target_start :] for probe in probes]
        try:
            with torch.inference_mode():
                losses = decoder.losses(contexts, targets)
                expected = self._probe(self._path, probes, trial.PLAIN_BUDGET)
        except _TRIPPED as error:
            return None if is_out_of_memory(error) else False
        return decoder if self._agree(losses.cpu().double().numpy().ravel(), expected) else False

    def _check_vocabulary(self, sequences: Sequence[EncodedSequence]) -> None:
        for sequence in sequences:
            largest = max(sequence.tokens)
            if largest >= self._head.vocabulary:
                raise ModelError(
                    f"{sequence.label}: the tokenizer gives id {largest}, but the vocabulary of"
                    f" {type(self.model).__name__} has {self._head.vocabulary} rows: they do not belong together",
                    location=sequence.location,
                )

    def _named_path(self, name: str) -> ExecutionPath:
        paths: dict[str, _MakePath] = {"tree": TreePath, "prefix": PrefixPath, "plain": PlainPath}
        return paths[name](self.model, self._head)

    def _choose_path(self) -> ExecutionPath:
        plain = PlainPath(self.model, self._head)
        probes = trial.branching(self._head.vocabulary)
        expected = self._probe(plain, probes, budget=trial.PLAIN_BUDGET)
        self._check_head(probes[0])
        for make in _PATHS:
            try:
                path = make(self.model, self._head)
                losses = self._probe(path, probes, budget=trial.BUDGET)
            except _TRIPPED:
                continue
            if self._agree(losses, expected):
                return path
        return plain

    def _probe(self, path: ExecutionPath, probes: Sequence[EncodedSequence], budget: int) -> Losses:
        run = _Run(probes, None)
        path.run(probes, budget, run.sink(range(len(probes))))
        run.flush()
        return run.losses  # damaged weights give NaN here too; scoring then names the fixture

    def _agree(self, losses: Losses, expected: Losses) -> bool:
        if self.model.dtype in (torch.float32, torch.float64):
            return bool(np.allclose(losses, expected, rtol=0, atol=_AGREE, equal_nan=True))
        same = np.isnan(losses) == np.isnan(expected)
        difference = np.abs(losses - expected)[~np.isnan(expected)]
        return bool(same.all() and difference.sum() <= _AGREE_HALF * len(difference))

    def _check_head(self, probe: EncodedSequence) -> None:
        """The model's logits against ``TargetHead``'s of its layers' output, which is all that is read here: what its
        class does between the two and afterwards must be known."""
        ids = torch.tensor([probe.tokens], device=self.model.device)
        logits = self.model(input_ids=ids, use_cache=False).logits[0].float()
        hidden = getattr(self.model.base_model(input_ids=ids, use_cache=False), "last_hidden_state", None)
        known = torch.full_like(logits, torch.inf) if hidden is None else self._head.logits(hidden[0]).float()
        tolerance = _AGREE if self.model.dtype in (torch.float32, torch.float64) else _AGREE_HALF
        if not torch.allclose(logits, known, rtol=0, atol=tolerance, equal_nan=True):
            raise ModelError(
                f"{type(self.model).__name__} makes logits of its layers' output in a way this version does not know",
                hint="please report the model's architecture",
            )


def _mind_soft_caps(model: Any) -> None:
    """Transformers before 5.21 gives Gemma 2 torch's fused attention, which leaves its soft caps out."""
    capped = getattr(model.config.get_text_config(), "attn_logit_softcapping", None) is not None
    if capped and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")


class _Run:
    """Losses as they come in. They stay on the device until the end: a read in between would make it run dry.

    Attributes:
        losses: of all sequences, one after another.
    """

    def __init__(self, sequences: Sequence[EncodedSequence], progress: Progress | None) -> None:
        self._sequences = sequences
        self._progress = progress
        self._total = distinct_tokens(sequences) if progress is not None else 0
        self._done = 0
        lengths = np.array([s.target_length for s in sequences], dtype=np.int64)
        self._starts = np.cumsum(lengths) - lengths
        self.losses = np.full(int(lengths.sum()), np.nan, dtype=np.float64)
        self._seen = np.zeros(len(self.losses), dtype=bool)
        self._pending: list[tuple[Ints, Tensor]] = []

    @property
    def unfinished(self) -> list[int]:
        """Sequences with losses still to come."""
        complete = np.logical_and.reduceat(self._seen, self._starts) if len(self._starts) else np.empty(0, bool)
        return [int(i) for i in np.flatnonzero(~complete)]

    def sink(self, numbers: Sequence[int]) -> Sink:
        """Takes losses of the sequences called ``numbers`` here and 0, 1, 2 … by the path."""
        starts = self._starts[np.array(numbers, dtype=np.int64)]

        def take(sequences: Ints, offsets: Ints, losses: Tensor, tokens: int) -> None:
            if len(sequences):
                self._pending.append((starts[sequences] + offsets, losses))
            self._done += tokens
            if self._progress is not None:
                self._progress(min(self._done, self._total), self._total)

        return take

    def flush(self) -> None:
        """Read what is on the device."""
        for places, losses in self._pending:
            self.losses[places] = losses.double().cpu().numpy()
            self._seen[places] = True
        self._pending.clear()

    def results(self) -> list[tuple[float, ...]]:
        """Losses by sequence.

        Raises:
            NumericsError: naming the first sequence with a loss that is no number.
        """
        rows = [tuple(losses.tolist()) for losses in np.split(self.losses, self._starts[1:])]
        if not np.isfinite(self.losses).all():
            number = int(np.searchsorted(self._starts, np.flatnonzero(~np.isfinite(self.losses))[0], side="right")) - 1
            sequence, losses = self._sequences[number], rows[number]
            place = next(i for i, loss in enumerate(losses) if not math.isfinite(loss))
            raise NumericsError(
                f"{sequence.label}: the model gave {losses[place]} at target token {place + 1}",
                location=sequence.location,
                hint='the weights may be damaged, or the dtype too narrow: try dtype = "float32"',
            )
        return rows
