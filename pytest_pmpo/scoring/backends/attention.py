"""What models ask of an attention function besides tensors, and the plain form of answering it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

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


class Attends(Protocol):
    """What attention works on during a pass."""

    def attend(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """One layer's attention of [b, heads, n, d] → [b, n, heads, d_value]."""
        ...


class OwnAttention:
    """An attention of this package under a name that transformers knows; see its ``AttentionInterface``.

    It makes no mask: what a token may see is up to the state that a pass is begun with.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._state: ContextVar[Attends | None] = ContextVar(name, default=None)

    def register(self) -> None:
        """Make the name known."""
        from transformers import AttentionInterface, AttentionMaskInterface

        AttentionInterface.register(self._name, self._attend)
        AttentionMaskInterface.register(self._name, _no_mask)

    @contextmanager
    def of(self, model: Any, state: Attends) -> Iterator[None]:
        """Attention of the model works on the state inside this block, in this thread."""
        before, token = model.config._attn_implementation, self._state.set(state)
        model.set_attn_implementation(self._name)
        try:
            yield
        finally:
            model.set_attn_implementation(before)
            self._state.reset(token)

    def _attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        dropout: float = 0.0,
        scaling: float | None = None,
        sliding_window: int | None = None,
        softcap: float | None = None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        """The function that transformers calls."""
        wanted, state = AttentionOptions.of(scaling, sliding_window, softcap, options), self._state.get()
        if state is None:
            raise UnsupportedAttentionError("attention was called outside of a pass")
        return state.attend(module, query, key, value, wanted), None


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """See transformers' ``AttentionMaskInterface``."""
