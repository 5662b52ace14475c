"""Three ways to run sequences through a model, equal in what they return, fastest first.

=========  =====================================================  =============================================
path       what is computed once                                  needs of the model
=========  =====================================================  =============================================
tree       every distinct token, packed in one row                attention through transformers' interface
prefix     prefixes; what follows runs in padded batches          a key-value cache that can be expanded
plain      nothing shared, padded batches                         nothing
=========  =====================================================  =============================================

All read the hidden states at target positions and leave the vocabulary to ``head.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pytest_pmpo.scoring.backends.attention import UnsupportedAttentionError
from pytest_pmpo.scoring.backends.head import TargetHead
from pytest_pmpo.scoring.backends.kernels import to_device
from pytest_pmpo.scoring.backends.tree_attention import TREE, TreeState
from pytest_pmpo.scoring.plan import Forest, Ints
from pytest_pmpo.scoring.records import EncodedSequence

_NO_MASK = np.ones((1, 1, 1, 1), dtype=np.bool_)
"""Of four dimensions, so taken as it is; without one transformers looks at the positions, and waits for the device."""

_TILE = 128  # rows of a matrix product that a GPU computes as one

Sink = Callable[[Ints, Ints, Tensor, int], None]
"""Takes sequences [m], offsets [m], losses fp32 [m] (on the device) and the number of tokens that were run."""


class ExecutionPath(Protocol):
    """Runs sequences and hands every loss to a sink."""

    name: str

    def run(self, sequences: Sequence[EncodedSequence], budget: int, sink: Sink) -> None:
        """At most ``budget`` tokens (padding counted) go through the model at once; a longer sequence goes alone."""
        ...


class TreePath:
    """The prefix forest in packed rows; see ``plan.py`` and ``tree_attention.py``."""

    name = "tree"

    def __init__(self, model: Any, head: TargetHead) -> None:
        if not getattr(model, "_supports_attention_backend", False):
            raise UnsupportedAttentionError(f"{type(model).__name__} has an attention of its own")
        kinds = set(getattr(model.config, "layer_types", None) or ())
        if kinds - {"full_attention", "sliding_attention"}:
            raise UnsupportedAttentionError(f"layers of kind {', '.join(sorted(kinds))}")
        TREE.register()
        self._model, self._head = model, head
        self._slides = "sliding_attention" in kinds

    def run(self, sequences: Sequence[EncodedSequence], budget: int, sink: Sink) -> None:
        """One forward pass per chunk of the forest.

        Raises:
            UnsupportedAttentionError: for layers that say their window to the mask alone, which is not used here.
        """
        device, state = self._model.device, TreeState()
        forest = Forest(sequences)
        with TREE.of(self._model, state):
            for chunk in forest.chunks(_even(forest.size, budget)):
                state.begin(chunk, device)
                options = {"position_ids": chunk.positions[None], "attention_mask": _NO_MASK}
                hidden = _hidden(self._model, chunk.tokens[None], **options)[0]
                if len(chunk.rows):
                    losses = _read(self._head, hidden, chunk.rows, chunk.targets)
                    sink(chunk.sequences, chunk.offsets, losses, len(chunk.tokens))
                else:
                    sink(chunk.sequences, chunk.offsets, hidden.new_empty(0), len(chunk.tokens))
        if self._slides and state.windows == {None}:
            raise UnsupportedAttentionError("a window that attention is not told of")


class PlainPath:
    """Padded batches of whole sequences, longest first so that a batch wastes little."""

    name = "plain"

    def __init__(self, model: Any, head: TargetHead) -> None:
        self._model, self._head = model, head

    def run(self, sequences: Sequence[EncodedSequence], budget: int, sink: Sink) -> None:
        """One forward pass per batch."""
        for batch in _batches(sequences, [len(s.tokens) - 1 for s in sequences], budget):
            rows = [sequences[i].tokens[:-1] for i in batch]
            tokens, mask = _pad(rows)
            hidden = _hidden(self._model, tokens, attention_mask=mask)
            _read_batch(self._head, hidden, sequences, batch, 0, sink, tokens.size)


class PrefixPath:
    """Prefixes into a key-value cache, what follows in padded batches over the expanded cache.

    A prefix is kept down to where flattening the rest into a batch repeats little; deeper branches get caches of their
    own, made from their parent's.
    """

    name = "prefix"
    flatten_ratio = 1.3

    def __init__(self, model: Any, head: TargetHead) -> None:
        from transformers import DynamicCache

        if not getattr(model, "_supports_default_dynamic_cache", lambda: True)():
            raise UnsupportedAttentionError(f"{type(model).__name__} keeps a state that cannot be expanded")
        self._new_cache: Callable[[], Any] = lambda: DynamicCache(config=model.config)
        self._model, self._head = model, head

    def run(self, sequences: Sequence[EncodedSequence], budget: int, sink: Sink) -> None:
        """Depth-first over the prefixes of the sorted sequences."""
        order = sorted(range(len(sequences)), key=lambda i: sequences[i].tokens)
        stack: list[tuple[list[int], int, Any]] = [(order, 0, None)]
        while stack:
            members, depth, cache = stack.pop()
            end = self._shared(sequences, members)
            if len(members) > 1 and end > depth:
                cache = self._extend(cache, sequences[members[0]].tokens[depth:end], depth)
                sink(np.empty(0, np.int64), np.empty(0, np.int64), torch.empty(0), end - depth)
                depth = end
            if len(members) == 1 or self._flat_enough(sequences, members, depth):
                self._finish(sequences, members, depth, cache, budget, sink)
            else:
                stack.extend((group, depth, cache) for group in _branches(sequences, members, depth))

    def _shared(self, sequences: Sequence[EncodedSequence], members: list[int]) -> int:
        """Tokens all members share, short of any target's first prediction: those need the batch's hidden states."""
        first, last = sequences[members[0]].tokens, sequences[members[-1]].tokens
        limit = min(sequences[i].target_start - 1 for i in members)
        n = min(len(first), len(last), limit)
        a, b = np.array(first[:n]), np.array(last[:n])
        differ = a != b
        return int(differ.argmax()) if differ.any() else n

    def _flat_enough(self, sequences: Sequence[EncodedSequence], members: list[int], depth: int) -> bool:
        flat = sum(len(sequences[i].tokens) - 1 - depth for i in members)
        groups = _branches(sequences, members, depth)
        if len(groups) <= 1:
            return True
        split = sum(
            (shared := max(self._shared(sequences, group), depth) - depth)
            + sum(len(sequences[i].tokens) - 1 - depth - shared for i in group)
            for group in groups
        )
        return flat <= self.flatten_ratio * split

    def _extend(self, cache: Any, tokens: tuple[int, ...], depth: int) -> Any:
        cache = self._new_cache() if cache is None else _shallow(cache)
        row = np.array([tokens], dtype=np.int64)
        mask = np.ones((1, depth + len(tokens)), dtype=np.int64)
        _hidden(self._model, row, attention_mask=mask, position_ids=depth + _arange(row), past_key_values=cache)
        return cache

    def _finish(
        self,
        sequences: Sequence[EncodedSequence],
        members: list[int],
        depth: int,
        cache: Any,
        budget: int,
        sink: Sink,
    ) -> None:
        some = [sequences[i] for i in members]
        # expanded prefixes take memory too, so they count against the budget
        for batch in _batches(some, [len(s.tokens) - 1 - depth for s in some], budget, extra=depth):
            rows = [some[i].tokens[depth:-1] for i in batch]
            tokens, mask = _pad(rows)
            options: dict[str, Any] = {}
            if cache is not None:
                expanded = _shallow(cache)
                expanded.batch_repeat_interleave(len(batch))
                options["past_key_values"] = expanded
                mask = np.concatenate([np.ones((len(batch), depth), dtype=np.int64), mask], axis=1)
            hidden = _hidden(self._model, tokens, attention_mask=mask, position_ids=depth + _arange(tokens), **options)
            _read_batch(self._head, hidden, sequences, [members[i] for i in batch], depth, sink, tokens.size)


def _even(total: int, most: int) -> int:
    """Length of equally long rows of at most ``most`` tokens, in whole tiles of a matrix product where it can be."""
    rows = -(-total // most)
    tiles = -(-total // (rows * _TILE))
    return min(most, tiles * _TILE)


def _branches(sequences: Sequence[EncodedSequence], members: list[int], depth: int) -> list[list[int]]:
    """Members (sorted) in groups that agree on the token at ``depth``."""
    groups: list[list[int]] = []
    for i in members:
        head = sequences[i].tokens[depth]
        if groups and sequences[groups[-1][0]].tokens[depth] == head:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _shallow(cache: Any) -> Any:
    """A cache that can grow while the old one stays as it is: layers replace their tensors, they never write them."""
    new = copy.copy(cache)
    new.layers = [copy.copy(layer) for layer in cache.layers]
    return new


def _hidden(model: Any, tokens: Ints, **options: Any) -> Tensor:
    """Last hidden states [batch, n, hidden size] of int64 tokens [batch, n]."""
    device = model.device
    moved = {
        name: to_device(torch.from_numpy(value), device) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }
    ids = to_device(torch.from_numpy(tokens), device)
    use_cache = "past_key_values" in options
    hidden: Tensor = model.base_model(input_ids=ids, use_cache=use_cache, **moved).last_hidden_state
    return hidden


def _read(head: TargetHead, hidden: Tensor, rows: Ints, targets: Ints) -> Tensor:
    """Losses at rows (ascending) of hidden [n, hidden size]; equal rows meet the vocabulary once."""
    distinct, inverse = np.unique(rows, return_inverse=True)
    index = to_device(torch.from_numpy(distinct), hidden.device)
    return head.losses(hidden.index_select(0, index), torch.from_numpy(inverse), torch.from_numpy(targets))


def _read_batch(
    head: TargetHead,
    hidden: Tensor,
    sequences: Sequence[EncodedSequence],
    members: Sequence[int],
    depth: int,
    sink: Sink,
    spent: int,
) -> None:
    """Losses of a padded batch whose first column is position ``depth``."""
    width = hidden.shape[1]
    rows, targets, numbers, offsets = [], [], [], []
    for line, i in enumerate(members):
        sequence = sequences[i]
        n = sequence.target_length
        rows.append(line * width + sequence.target_start - 1 - depth + np.arange(n))
        targets.append(np.array(sequence.tokens[sequence.target_start :]))
        numbers.append(np.full(n, i))
        offsets.append(np.arange(n))
    flat = hidden.reshape(-1, hidden.shape[-1])
    losses = _read(head, flat, np.concatenate(rows), np.concatenate(targets))
    sink(np.concatenate(numbers), np.concatenate(offsets), losses, spent)


def _batches(
    sequences: Sequence[EncodedSequence], lengths: Sequence[int], budget: int, extra: int = 0
) -> Iterator[list[int]]:
    """Indices in batches whose padded size fits the budget, longest first; ``extra`` tokens count for every line."""
    order = sorted(range(len(sequences)), key=lambda i: (-lengths[i], sequences[i].tokens))
    start = 0
    while start < len(order):
        lines = max(1, budget // max(1, lengths[order[start]] + extra))
        yield order[start : start + lines]
        start += lines


def _pad(rows: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """Right-padded ids and their mask, int64 [batch, longest]."""
    width = max(len(row) for row in rows)
    tokens = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return tokens, mask


def _arange(tokens: Ints) -> Ints:
    return np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int64), tokens.shape).copy()
