"""Attention of siblings on a CPU: the context they share is read once for all of them, and copied for none.

Segments of a chunk that continue the same tokens, such as the inputs of all fixtures after one prompt, differ only in
the keys of their own. Softmax over both parts follows from the softmax over each::

    out = σ(l₁ − l₂) · out₁ + σ(l₂ − l₁) · out₂        l = log Σ exp(score) over the part's keys

(as Hydragen, arXiv 2402.05099, does on GPUs). Over the context nothing is masked, so that heads which share keys and
all siblings' queries become one tall block. The kernel is the one that ``scaled_dot_product_attention`` takes on a CPU;
only under its own name does it give l as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from pytest_pmpo.scoring.backends.kernels import KeyValue
from pytest_pmpo.scoring.plan import Range, Segment


def siblings(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Segments by context, in order of the first of each."""
    found: dict[tuple[Range, ...], list[Segment]] = {}
    for segment in segments:
        found.setdefault(segment.context, []).append(segment)
    return list(found.values())


@cache
def available() -> bool:
    """Whether this torch has the kernel under its name and gets from it what is relied on here; tried once."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, n, 8, generator=generator, dtype=torch.float64) for n in (3, 5, 5))
    scores = query @ key.transpose(2, 3) * 0.5
    try:
        out, total = _flash(query, key, value, causal=False, scale=0.5)
        return torch.allclose(out, scores.softmax(-1) @ value) and torch.allclose(total, scores.logsumexp(-1))
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return False


def applies(query: Tensor, own: KeyValue) -> bool:
    """Whether the kernel serves these tensors: on a CPU, keys and values of the queries' size."""
    return query.device.type == "cpu" and all(t.shape[-1] == query.shape[-1] for t in own) and available()


def attend(queries: Sequence[Tensor], context: KeyValue, own: Sequence[KeyValue], scale: float | None) -> list[Tensor]:
    """Attention of every sibling over the context and, causally, itself.

    Args:
        queries: of each sibling, [1, heads, n, d].
        context: keys and values of all before them, [1, key heads, t, d].
        own: keys and values of each sibling, [1, key heads, n, d].
        scale: of the scores; default 1/√d.

    Returns:
        [1, heads, n, d] of each.
    """
    lengths = [query.shape[2] for query in queries]
    _, heads, _, size = queries[0].shape
    key_heads = context[0].shape[1]
    # heads that share keys lie side by side: [1, key heads, groups · tokens, d] is the same memory
    tall = torch.cat(list(queries), dim=2).reshape(1, key_heads, -1, size)
    out, total = _flash(tall, *context, causal=False, scale=scale)
    before = torch.split(out.reshape(1, heads, -1, size), lengths, dim=2)
    totals = torch.split(total.reshape(1, heads, -1), lengths, dim=2)
    found = []
    for query, (key, value), other, sum_before in zip(queries, own, before, totals, strict=True):
        groups = heads // key_heads
        key, value = (t.repeat_interleave(groups, dim=1) if groups > 1 else t for t in (key, value))
        mine, sum_own = _flash(query, key, value, causal=True, scale=scale)
        share = torch.sigmoid(sum_before - sum_own)[..., None]
        found.append(torch.lerp(mine.to(share.dtype), other.to(share.dtype), share).to(query.dtype))
    return found


def _flash(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float | None) -> tuple[Tensor, Tensor]:
    """Output [1, heads, n, d] and log Σ exp of the scores [1, heads, n]; fp32 for 16 bit."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out, total = kernel(query, key, value, 0.0, causal, scale=scale)
    return out, total
