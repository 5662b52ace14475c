"""What models ask of an attention function besides tensors, and the plain form of answering it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_REFUSED = ("s_aux", "position_bias", "head_mask")


class UnsupportedAttentionError(Exception):
    """The model asks attention for something that is not done here; another way is taken."""


@dataclass(frozen=True, slots=True)
class AttentionOptions:
    """Factor of the scores (default 1 / √d), how many keys back a query sees, and the soft cap of scores."""

    scaling: float | None
    window: int | None
    softcap: float | None

    @classmethod
    def of(
        cls, scaling: float | None, window: int | None, softcap: float | None, others: Mapping[str, Any]
    ) -> AttentionOptions:
        """What transformers passes to an attention function.

        Raises:
            UnsupportedAttentionError: naming those of ``others`` that would be ignored and must not be.
        """
        refused = [name for name in _REFUSED if others.get(name) is not None]
        if refused:
            raise UnsupportedAttentionError(", ".join(refused))
        return cls(scaling, window, softcap)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: AttentionOptions) -> Tensor:
    """Attention of [b, heads, n, d] over keys and values [b, heads, m, d]; the options' window is up to the mask.

    Args:
        mask: bool, broadcast to [b, heads, n, m], True = seen; None is causal, with n = m.
    """
    if options.softcap is None:
        return nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=options.scaling
        )
    scale = q.shape[-1] ** -0.5 if options.scaling is None else options.scaling
    scores = torch.tanh(q @ k.transpose(2, 3) * scale / options.softcap) * options.softcap
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype) @ v


def repeat_heads(memory: Tensor, groups: int) -> Tensor:
    """[b, key heads, t, d] → [b, heads, t, d]; a view that copies nothing until a kernel needs it."""
    if groups == 1:
        return memory
    b, heads, tokens, size = memory.shape
    return memory[:, :, None].expand(b, heads, groups, tokens, size).reshape(b, heads * groups, tokens, size)


def no_mask(*args: Any, **kwargs: Any) -> None:
    """For attention that knows itself what it may see; see transformers' ``AttentionMaskInterface``."""
