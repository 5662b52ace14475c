"""What Liger changes in a family's module serves CUDA alone, however many models of the family are fused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")

from pytest_pmpo.scoring.backends.fused import put_back  # noqa: E402


def fuse_module(module: SimpleNamespace) -> None:
    """What ``fuse`` does around Liger, which sets names of the module to its own."""
    before = dict(vars(module))
    module.apply_rotary_pos_emb = lambda q, k: "fused"
    module.Norm = "Liger's"
    put_back(module, before)


def test_on_the_cpu_a_fused_familys_rotary_function_is_the_plain_one_and_its_classes_are_its_own() -> None:
    module = SimpleNamespace(apply_rotary_pos_emb=lambda q, k: "plain", Norm="its own")
    fuse_module(module)
    assert module.apply_rotary_pos_emb(torch.zeros(1), None) == "plain"
    assert module.apply_rotary_pos_emb(SimpleNamespace(is_cuda=True), k=None) == "fused"
    assert module.Norm == "its own"


def test_fusing_a_second_model_of_the_family_leaves_its_rotary_function_as_the_first_left_it() -> None:
    module = SimpleNamespace(apply_rotary_pos_emb=lambda q, k: "plain", Norm="its own")
    fuse_module(module)
    first = module.apply_rotary_pos_emb
    fuse_module(module)
    assert module.apply_rotary_pos_emb is first
