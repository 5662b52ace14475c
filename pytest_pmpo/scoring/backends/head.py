"""Hidden states → losses: only target positions meet the vocabulary, a slice at a time.

Logits of all positions would dwarf everything else (128 sequences × 700 tokens × 150,000 ids × 4 bytes = 54 GB). Here a
slice of at most ``SLICE_BYTES`` exists at once and leaves only a loss per reading.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pytest_pmpo.errors import ModelError
from pytest_pmpo.scoring.backends.kernels import logsumexp, to_device

SLICE_BYTES = 256 << 20
_TILE = 128  # rows of a matrix product that a GPU computes as one; a started tile costs as much as a full one


class TargetHead:
    """The output layer of a causal language model with what its class does to the logits afterwards.

    Raises:
        ModelError: if the model has no output layer (an embedding model).
    """

    def __init__(self, model: Any) -> None:
        head = model.get_output_embeddings()
        if head is None:
            raise ModelError(
                f"{type(model).__name__} has no language-model head, so it gives no probabilities of tokens",
                hint="use a causal language model, not an embedding or encoder model",
            )
        self._head: nn.Module = head
        config = model.config
        self.vocabulary = int(head.weight.shape[0])
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        # Cohere multiplies logits, Granite divides them
        self._factor = float(getattr(config, "logit_scale", None) or 1.0) / float(
            getattr(config, "logits_scaling", None) or 1.0
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """[n, hidden size] → [n, vocabulary], in the weights' dtype, or fp32 where the class changes logits further."""
        logits: Tensor = self._head(hidden)
        if self._factor != 1.0:
            logits = logits.float() * self._factor
        if self._softcap is not None:
            logits = torch.tanh(logits.float() / self._softcap) * self._softcap
        return logits

    def losses(self, hidden: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihoods, nats, from an fp32 log-softmax.

        Args:
            hidden: [n, hidden size], the distinct positions that are read.
            rows: int64 [m], ascending: which of them each reading uses (choices read several ids at one position).
            targets: int64 [m]: the id read.

        Returns:
            fp32 [m].
        """
        step = max(1, SLICE_BYTES // (hidden.element_size() * self.vocabulary))
        step = step - step % _TILE if step > _TILE else step
        losses = hidden.new_empty(len(rows), dtype=torch.float32)
        for start in range(0, len(hidden), step):
            logits = self.logits(hidden[start : start + step])
            low, high = (int(i) for i in torch.searchsorted(rows, torch.tensor([start, start + step])))
            here, ids = (to_device(t, hidden.device) for t in (rows[low:high] - start, targets[low:high]))
            # log-softmax at one id: logit − log Σ exp(logits)
            losses[low:high] = logsumexp(logits)[here] - logits[here, ids].float()
        return losses
