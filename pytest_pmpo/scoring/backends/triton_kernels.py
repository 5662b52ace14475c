"""The Triton kernels behind ``kernels.py``; imported only where Triton is."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def logsumexp(logits, result, stride, size, BLOCK: tl.constexpr):
    """One program per row: running maximum and sum, rescaled as the maximum grows (online softmax)."""
    row = tl.program_id(0).to(tl.int64)
    highest = float("-inf")
    total = 0.0
    for start in range(0, size, BLOCK):
        place = start + tl.arange(0, BLOCK)
        x = tl.load(logits + row * stride + place, mask=place < size, other=float("-inf")).to(tl.float32)
        above = tl.maximum(highest, tl.max(x, axis=0))
        total = total * tl.exp(highest - above) + tl.sum(tl.exp(x - above), axis=0)
        highest = above
    tl.store(result + row, highest + tl.log(total))


@triton.jit
def _visit(
    q,
    acc,
    highest,
    total,
    low,
    high,
    first_position,
    query_position,
    k_base,
    v_base,
    k_stride,
    v_stride,
    scale,
    softcap,
    window,
    HEAD: tl.constexpr,
    SIZE: tl.constexpr,
    CAUSAL: tl.constexpr,
    WINDOWED: tl.constexpr,
    CAPPED: tl.constexpr,
    KEYS: tl.constexpr,
):
    """One pass of online softmax over keys low…high of memory, the first of them at position ``first_position``."""
    d = tl.arange(0, SIZE)
    for start in range(low, high, KEYS):
        place = start + tl.arange(0, KEYS)
        here = place < high
        at = place.to(tl.int64)
        k = tl.load(k_base + at[None, :] * k_stride + d[:, None], mask=here[None, :] & (d[:, None] < HEAD), other=0.0)
        scores = tl.dot(q, k) * scale
        if CAPPED:
            # tanh(x) = 2σ(2x) − 1
            scores = softcap * (2.0 / (1.0 + tl.exp(-2.0 * scores / softcap)) - 1.0)
        seen = here[None, :]
        position = first_position + place - low
        if CAUSAL:
            seen = seen & (position[None, :] <= query_position[:, None])
        if WINDOWED:
            seen = seen & (query_position[:, None] - position[None, :] < window)
        scores = tl.where(seen, scores * 1.4426950408889634, float("-inf"))  # log2 e: exp2 is the native instruction
        above = tl.maximum(highest, tl.max(scores, axis=1))
        # a row that has seen no key yet keeps −inf; 0 in its place avoids inf − inf
        safe = tl.where(above == float("-inf"), 0.0, above)
        shrink = tl.exp2(highest - safe)
        p = tl.exp2(scores - safe[:, None])
        v = tl.load(v_base + at[:, None] * v_stride + d[None, :], mask=here[:, None] & (d[None, :] < HEAD), other=0.0)
        acc = acc * shrink[:, None] + tl.dot(p.to(v.dtype), v)
        total = total * shrink + tl.sum(p, axis=1)
        highest = above
    return acc, highest, total


@triton.jit
def tree_attention(
    query,
    key,
    value,
    output,
    blocks,
    ranges,
    q_row,
    q_head,
    k_row,
    k_head,
    v_row,
    v_head,
    o_row,
    o_head,
    scale,
    softcap,
    window,
    GROUPS: tl.constexpr,
    PADDED_GROUPS: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    HEAD: tl.constexpr,
    SIZE: tl.constexpr,
    WINDOWED: tl.constexpr,
    CAPPED: tl.constexpr,
):
    """One program per block of queries and key head; the heads that share the key head are rows of one tile.

    blocks: int32 [b, 8]: first query; number of queries; first, last + 1 row of its context in ``ranges``; first,
    last + 1 own key in memory; position of the first own key; position of the first query.
    ranges: int32 [r, 3]: first, last + 1 key in memory; position of the first.
    """
    block = blocks + tl.program_id(0) * 8
    head = tl.program_id(1)
    first, count = tl.load(block), tl.load(block + 1)
    row = tl.arange(0, QUERIES * PADDED_GROUPS)
    line, group = row // PADDED_GROUPS, row % PADDED_GROUPS
    d = tl.arange(0, SIZE)
    where = (first + line).to(tl.int64)[:, None]
    heads = (head * GROUPS + group)[:, None]
    inside = ((line < count) & (group < GROUPS))[:, None] & (d[None, :] < HEAD)
    q = tl.load(query + where * q_row + heads * q_head + d[None, :], mask=inside, other=0.0)
    acc = tl.zeros([QUERIES * PADDED_GROUPS, SIZE], tl.float32)
    highest = tl.full([QUERIES * PADDED_GROUPS], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES * PADDED_GROUPS], tl.float32)
    k_base, v_base = key + head.to(tl.int64) * k_head, value + head.to(tl.int64) * v_head
    position = tl.load(block + 7) + line
    for number in range(tl.load(block + 2), tl.load(block + 3)):
        part = ranges + number * 3
        acc, highest, total = _visit(
            q,
            acc,
            highest,
            total,
            tl.load(part),
            tl.load(part + 1),
            tl.load(part + 2),
            position,
            k_base,
            v_base,
            k_row,
            v_row,
            scale,
            softcap,
            window,
            HEAD,
            SIZE,
            False,
            WINDOWED,
            CAPPED,
            KEYS,
        )
    acc, highest, total = _visit(
        q,
        acc,
        highest,
        total,
        tl.load(block + 4),
        tl.load(block + 5),
        tl.load(block + 6),
        position,
        k_base,
        v_base,
        k_row,
        v_row,
        scale,
        softcap,
        window,
        HEAD,
        SIZE,
        True,
        WINDOWED,
        CAPPED,
        KEYS,
    )
    result = (acc / total[:, None]).to(output.dtype.element_ty)
    tl.store(output + where * o_row + heads * o_head + d[None, :], result, mask=inside)
