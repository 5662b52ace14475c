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
    WINDOWED: tl.constexpr,
    CAPPED: tl.constexpr,
    MASKED: tl.constexpr,
    KEYS: tl.constexpr,
):
    """One pass of online softmax over keys low…high of memory, ``low`` at position ``first_position``.

    Unless MASKED, every query sees every key and KEYS divides high − low: no bounds, no masks.
    """
    d = tl.arange(0, SIZE)
    for start in range(low, high, KEYS):
        place = start + tl.arange(0, KEYS)
        at = place.to(tl.int64)
        k_at, v_at = k_base + at[None, :] * k_stride + d[:, None], v_base + at[:, None] * v_stride + d[None, :]
        if MASKED:
            here = place < high
            k = tl.load(k_at, mask=here[None, :] & (d[:, None] < HEAD), other=0.0)
            v = tl.load(v_at, mask=here[:, None] & (d[None, :] < HEAD), other=0.0)
        elif HEAD < SIZE:
            k = tl.load(k_at, mask=d[:, None] < HEAD, other=0.0)
            v = tl.load(v_at, mask=d[None, :] < HEAD, other=0.0)
        else:
            k, v = tl.load(k_at), tl.load(v_at)
        # log2 e: exp2 is the native instruction
        if CAPPED:
            # tanh(x) = 2σ(2x) − 1
            capped = 2.0 / (1.0 + tl.exp(-2.0 * scale / softcap * tl.dot(q, k))) - 1.0
            scores = capped * (softcap * 1.4426950408889634)
        else:
            scores = tl.dot(q, k) * (scale * 1.4426950408889634)
        if MASKED:
            position = first_position + place - low
            seen = here[None, :] & (position[None, :] <= query_position[:, None])
            if WINDOWED:
                seen = seen & (query_position[:, None] - position[None, :] < window)
            scores = tl.where(seen, scores, float("-inf"))
        above = tl.maximum(highest, tl.max(scores, axis=1))
        # a row that has seen no key yet keeps −inf; 0 in its place avoids inf − inf
        safe = tl.where(above == float("-inf"), 0.0, above) if MASKED else above
        shrink = tl.exp2(highest - safe)
        p = tl.exp2(scores - safe[:, None])
        acc = acc * shrink[:, None] + tl.dot(p.to(v.dtype), v)
        total = total * shrink + tl.sum(p, axis=1)
        highest = above
    return acc, highest, total


@triton.jit
def tree_attention(
    query,
    key,
    value,
    carried_key,
    carried_value,
    output,
    blocks,
    ranges,
    q_row,
    q_head,
    k_row,
    k_head,
    v_row,
    v_head,
    ck_row,
    ck_head,
    cv_row,
    cv_head,
    o_row,
    o_head,
    scale,
    softcap,
    window,
    GROUPS: tl.constexpr,
    QUERIES: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    HEAD: tl.constexpr,
    SIZE: tl.constexpr,
    WINDOWED: tl.constexpr,
    CAPPED: tl.constexpr,
):
    """One program per block of queries and key head; the heads that share the key head are rows of one tile.

    blocks: int32 [b, 7]: first query; number of queries; first, last + 1 row of its context in ``ranges``; first own
    key; last + 1 own key; position of the first query.
    ranges: int32 [r + 1, 4]: first, last + 1 key; position of the first; 1 in the chunk's own keys, 0 in the carried
    ones. The last row is never used.
    """
    block = blocks + tl.program_id(0) * 7
    head = tl.program_id(1).to(tl.int64)
    first, count, position = tl.load(block), tl.load(block + 1), tl.load(block + 6)
    row = tl.arange(0, ROWS)
    line, group = row // GROUPS, row % GROUPS
    d = tl.arange(0, SIZE)
    where = (first + line).to(tl.int64)[:, None]
    heads = (head * GROUPS + group)[:, None]
    inside = (line < count)[:, None] & (d[None, :] < HEAD)
    q = tl.load(query + where * q_row + heads * q_head + d[None, :], mask=inside, other=0.0)
    acc = tl.zeros([ROWS, SIZE], tl.float32)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    k_base, v_base = key + head * k_head, value + head * v_head
    ck_base, cv_base = carried_key + head * ck_head, carried_value + head * cv_head
    positions = position + line
    last = tl.load(block + 3)
    for number in range(tl.load(block + 2), last + 1):
        segment = number == last  # after its context the segment itself, up to the block's last query
        part = ranges + number * 4
        low = tl.where(segment, tl.load(block + 4), tl.load(part))
        high = tl.where(segment, tl.load(block + 5), tl.load(part + 1))
        at = tl.where(segment, position + count - (high - low), tl.load(part + 2))
        own = segment | (tl.load(part + 3) == 1)
        kb, vb = tl.where(own, k_base, ck_base), tl.where(own, v_base, cv_base)
        ks, vs = tl.where(own, k_row, ck_row), tl.where(own, v_row, cv_row)
        seen = high - low - tl.where(segment, count, 0)  # keys that every query sees
        bare = low if WINDOWED else low + seen - seen % KEYS
        acc, highest, total = _visit(
            q, acc, highest, total, low, bare, at, positions, kb, vb, ks, vs, scale, softcap, window,
            HEAD, SIZE, WINDOWED, CAPPED, False, KEYS,
        )  # fmt: skip
        acc, highest, total = _visit(
            q, acc, highest, total, bare, high, at + bare - low, positions, kb, vb, ks, vs, scale, softcap, window,
            HEAD, SIZE, WINDOWED, CAPPED, True, KEYS,
        )  # fmt: skip
    result = (acc / total[:, None]).to(output.dtype.element_ty)
    tl.store(output + where * o_row + heads * o_head + d[None, :], result, mask=inside)
