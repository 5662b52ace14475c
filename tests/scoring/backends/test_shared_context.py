"""Siblings that attend together to what they share get what each would get alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.scoring.backends import shared_context  # noqa: E402
from pytest_pmpo.scoring.backends.attention import AttentionOptions  # noqa: E402
from pytest_pmpo.scoring.backends.shared_context import attend, available, siblings  # noqa: E402
from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402
from pytest_pmpo.scoring.backends.tree_attention import _Layout  # noqa: E402
from pytest_pmpo.scoring.plan import Chunk, Segment  # noqa: E402
from pytest_pmpo.scoring.records import EncodedSequence  # noqa: E402

Build = Callable[[str], Any]
Tree = Callable[[int], list[EncodedSequence]]


def alone(query: Any, key: Any, value: Any, scale: float) -> Any:
    """Softmax over a mask aligned at the lower right, in float64, heads one by one."""
    groups = query.shape[1] // key.shape[1]
    n, t = query.shape[2], key.shape[2]
    seen = torch.arange(t)[None] <= torch.arange(t - n, t)[:, None]
    heads = []
    for head in range(query.shape[1]):
        q, k, v = query[0, head].double(), key[0, head // groups].double(), value[0, head // groups].double()
        heads.append((q @ k.T * scale).masked_fill(~seen, -torch.inf).softmax(-1) @ v)
    return torch.stack(heads)[None]


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-5), ("bfloat16", 5e-2)])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2), (3, 1)])
def test_siblings_together_equal_each_alone(heads: int, key_heads: int, dtype: str, bound: float) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        lengths = torch.randint(1, 40, (int(torch.randint(2, 6, ())),)).tolist()
        context = int(torch.randint(1, 90, ()))

        def draw(number: int, tokens: int) -> Any:
            return (2 * torch.randn(1, number, tokens, 16, dtype=torch.float64)).to(getattr(torch, dtype))

        queries = [draw(heads, n) for n in lengths]
        shared = draw(key_heads, context), draw(key_heads, context)
        own = [(draw(key_heads, n), draw(key_heads, n)) for n in lengths]
        for query, (key, value), out in zip(queries, own, attend(queries, shared, own, 0.3), strict=True):
            whole = torch.cat((shared[0], key), 2), torch.cat((shared[1], value), 2)
            assert out.dtype == query.dtype
            assert float((out - alone(query, *whole, 0.3)).abs().max()) < bound


def test_scores_so_far_apart_that_one_part_weighs_nothing_stay_finite() -> None:
    query = torch.full((1, 1, 2, 8), 30.0)
    near, far = torch.full((1, 1, 2, 8), 30.0), torch.full((1, 1, 2, 8), -30.0)
    for key, own, wanted in ((near, far, 1.0), (far, near, 0.0)):
        [one, two] = attend([query] * 2, (key, torch.ones_like(key)), [(own, torch.zeros_like(own))] * 2, None)
        assert torch.equal(one, torch.full_like(one, wanted))
        assert torch.equal(one, two)


def test_segments_are_siblings_where_all_of_their_context_is_the_same() -> None:
    root = Segment(0, 4, ())
    one, two = Segment(4, 6, ((0, 4),)), Segment(8, 9, ((0, 4),))
    deeper = Segment(6, 8, ((0, 4), (4, 6)))
    assert siblings([root, one, deeper, two]) == [[root], [one, two], [deeper]]


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt2"])
def test_losses_are_the_same_without_the_kernel(
    name: str, build: Build, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    together = shared_context.attend
    monkeypatch.setattr(shared_context, "attend", lambda *parts: (calls.append(1), together(*parts))[1])
    rows = tree(4)
    backend = TransformersBackend(build(name), None, path="tree")
    scores = backend.score(rows)
    assert available()
    assert calls
    calls.clear()
    monkeypatch.setattr(shared_context, "available", lambda: False)
    for a, b in zip(scores, backend.score(rows), strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    assert not calls


@pytest.mark.parametrize(
    ("window", "softcap", "together"),
    [
        (None, None, True),
        (4096, None, True),
        (27, None, True),
        (26, None, False),
        (5, None, False),
        (None, 20.0, False),
    ],
)
def test_a_window_or_softcap_that_matters_keeps_siblings_apart(
    window: int | None, softcap: float | None, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7 carried tokens and 20 of the chunk's own: a window of 27 hides nothing."""
    torch.manual_seed(0)
    none = np.zeros(0, dtype=np.int64)
    path = ((0, 7), (7, 15))  # the carried tokens, then the chunk's first segment
    segments = (Segment(0, 8, ((0, 7),)), Segment(8, 14, path), Segment(14, 20, path))
    chunk = Chunk(none, none, 7, segments, (), none, none, none, none)
    query, own = torch.randn(1, 4, 20, 16), (torch.randn(1, 2, 20, 16), torch.randn(1, 2, 20, 16))
    carried = torch.randn(1, 2, 7, 16), torch.randn(1, 2, 7, 16)
    options = AttentionOptions(None, window, softcap)
    calls = []
    attend_together = shared_context.attend
    monkeypatch.setattr(shared_context, "attend", lambda *parts: (calls.append(1), attend_together(*parts))[1])
    out = _Layout(chunk, query.device).attend_by_segment(query, own, carried, options)
    assert bool(calls) == together
    monkeypatch.setattr(shared_context, "available", lambda: False)
    apart = _Layout(chunk, query.device).attend_by_segment(query, own, carried, options)
    assert float((out - apart).abs().max()) < 1e-5
