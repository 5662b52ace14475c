"""The GPU kernel's tables say what the plan says, and the kernel, interpreted, computes what the plain form does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.scoring.backends.kernels import TreeBlocks  # noqa: E402
from pytest_pmpo.scoring.plan import Chunk, Forest  # noqa: E402
from pytest_pmpo.scoring.records import EncodedSequence  # noqa: E402


@st.composite
def chunks(draw: st.DrawFn) -> list[Chunk]:
    rows = draw(st.lists(st.lists(st.integers(0, 1), min_size=2, max_size=60), min_size=1, max_size=8))
    forest = Forest([EncodedSequence(tuple(row), 1) for row in rows])
    return list(forest.chunks(draw(st.integers(1, 80))))


def seen_by_tables(chunk: Chunk, groups: int) -> dict[int, list[int]]:
    """Per query, the places in memory (carried first) that the kernel visits, by the positions the tables give them."""
    tables = TreeBlocks(chunk.segments, chunk.carried, torch.device("cpu"), groups)
    seen: dict[int, list[int]] = {}
    for first, count, low, high, start, stop, position in tables.blocks.tolist():
        context: dict[int, int] = {}
        for a, b, at, own in tables.ranges.tolist()[low:high]:
            context |= {at + i: a + i + (chunk.carried if own else 0) for i in range(b - a)}
        own_position = position + count - (stop - start)
        for line in range(count):
            visible = context | {
                own_position + i: chunk.carried + start + i
                for i in range(stop - start)
                if own_position + i <= position + line
            }
            assert sorted(visible) == list(range(position + line + 1))
            seen[first + line] = [visible[p] for p in sorted(visible)]
    return seen


@settings(max_examples=200, deadline=None)
@given(chunks(), st.sampled_from([1, 3, 7, 8, 71]))
def test_every_query_sees_its_context_and_its_own_past_in_order(rows: list[Chunk], groups: int) -> None:
    for chunk in rows:
        seen = seen_by_tables(chunk, groups)
        for segment in chunk.segments:
            context = [place for low, high in segment.context for place in range(low, high)]
            for query in range(segment.start, segment.stop):
                own = range(chunk.carried + segment.start, chunk.carried + query + 1)
                assert seen.pop(query) == [*context, *own]
        assert not seen


_INTERPRETED = """
import random, torch
from pytest_pmpo.scoring.backends.attention import AttentionOptions
from pytest_pmpo.scoring.backends.tree_attention import _Layout
from pytest_pmpo.scoring.plan import Forest
from pytest_pmpo.scoring.records import EncodedSequence
rng, cpu = random.Random(0), torch.device("cpu")
torch.manual_seed(0)
draw = lambda n: tuple(rng.randrange(9) for _ in range(n))
system = draw(90)
rows = [EncodedSequence(system + draw(9) + draw(rng.randint(2, 80)), 90) for _ in range(6)]
half = lambda heads, n, size: torch.randn(1, n, heads, size).half().transpose(1, 2)
wide = lambda pair: None if pair is None else tuple(part.float() for part in pair)
for heads, key_heads, size, window, softcap in ((14, 2, 128, None, None), (9, 3, 80, None, 3.0), (4, 4, 32, 8, None)):
    for chunk in Forest(rows).chunks(150):
        q, n = half(heads, len(chunk.tokens), size), len(chunk.tokens)
        own = half(key_heads, n, size), half(key_heads, n, size)
        carried = (half(key_heads, chunk.carried, size),) * 2 if chunk.carried else None
        options = AttentionOptions(None, window, softcap)
        found = _Layout(chunk, cpu).attend_tiled(q, own, carried, options).float()
        expected = _Layout(chunk, cpu).attend_by_segment(q.float(), wide(own), wide(carried), options)
        assert (found - expected).abs().max() < 5e-3
"""


def test_the_kernel_computes_what_the_plain_form_does() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    environ: dict[str, Any] = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", _INTERPRETED], env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
