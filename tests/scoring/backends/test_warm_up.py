"""What is compiled while a model's weights are read is what the model launches, and nothing of it shows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
transformers = pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.scoring.backends import kernels, tree_attention, warm_up  # noqa: E402
from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402

Launch = tuple[Any, ...]
_SIZES = {
    "vocab_size": 1007,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 7,
    "head_dim": 32,
    "pad_token_id": 1000,
}
_FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _SIZES,
    "qwen2": {**_SIZES, "head_dim": 16},
    "mistral": {**_SIZES, "sliding_window": 24},
    "gemma2": {**_SIZES, "sliding_window": 48, "query_pre_attn_scalar": 32},
    "gemma3_text": {**_SIZES, "sliding_window": 48, "query_pre_attn_scalar": 32},
}


def config_of(family: str) -> Any:
    return transformers.AutoConfig.for_model(family, **_FAMILIES[family])


def specialisation(arguments: Launch, options: dict[str, Any]) -> Launch:
    """What Triton compiles for: dtypes and alignment of tensors, integers equal to 1 or divided by 16, constants."""

    def kind(argument: Any) -> Any:
        if isinstance(argument, torch.Tensor):
            return argument.dtype
        return (argument == 1, argument % 16 == 0) if isinstance(argument, int) else type(argument)

    return (*map(kind, arguments), *sorted(options.items()))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Launch]:
    """Specialisations of the attention kernel's launches, on a CPU that passes for a GPU until the launch itself."""
    found: list[Launch] = []

    class Kernel:
        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            return lambda *arguments, **options: found.append(specialisation(arguments, options))

    monkeypatch.setattr(kernels, "_kernels", lambda: SimpleNamespace(tree_attention=Kernel()))
    monkeypatch.setattr(tree_attention._Layout, "tiles", lambda *_: True)
    return found


@pytest.mark.parametrize("family", _FAMILIES)
def test_attention_is_launched_ahead_as_the_model_launches_it(family: str, launched: list[Launch]) -> None:
    config = config_of(family)
    warm_up.attend_once(config, "cpu", torch.bfloat16)
    ahead = set(launched)
    launched.clear()
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    TransformersBackend(model, tokenizer=None)
    assert launched
    assert ahead == set(launched)


@pytest.mark.parametrize("family", _FAMILIES)
def test_a_twin_launches_what_the_model_does(family: str, launched: list[Launch]) -> None:
    config = config_of(family)
    TransformersBackend(warm_up.build_twin(config, "cpu", torch.bfloat16, 0), tokenizer=None)
    by_twin = set(launched)
    launched.clear()
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    TransformersBackend(model, tokenizer=None)
    assert by_twin == set(launched)


@pytest.mark.parametrize("family", _FAMILIES)
def test_a_twin_has_a_layer_of_every_kind_real_widths_and_leaves_the_configuration_alone(family: str) -> None:
    config = config_of(family)
    before = config.to_dict()
    twin = warm_up.build_twin(config, "cpu", torch.bfloat16, 0)
    assert config.to_dict() == before
    kinds = set(getattr(config, "layer_types", None) or ())
    assert len(twin.base_model.layers) == max(1, len(kinds))
    assert set(getattr(twin.config, "layer_types", None) or ()) == kinds
    assert twin.base_model.layers[0].mlp.up_proj.weight.shape == (96, 64)
    rows = twin.get_output_embeddings().weight.shape[0]
    assert rows < config.vocab_size
    assert rows % 16 == config.vocab_size % 16


def test_a_twin_takes_the_tree_path() -> None:
    twin = warm_up.build_twin(config_of("llama"), "cpu", torch.bfloat16, 0)
    assert TransformersBackend(twin, tokenizer=None).description.endswith("tree path")


def test_no_twin_is_made_where_memory_is_short() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        warm_up.build_twin(config_of("llama"), "cpu", torch.bfloat16, 1 << 60)


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "bfloat16"), ("mps", "float16"), ("cuda", "float32")])
def test_nothing_is_started_for_other_devices_and_dtypes(
    device: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(kernels, "available", lambda: True)
    before = threading.active_count()
    with warm_up.warming_up(config_of("llama"), device, getattr(torch, dtype), 0):
        assert threading.active_count() == before


def test_no_twin_is_made_where_there_is_no_triton_to_compile_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(kernels, "_kernels", lambda: None)
    made: list[Any] = []
    monkeypatch.setattr(warm_up, "build_twin", lambda *arguments: made.append(arguments))
    assert not warm_up.applies("cuda", torch.bfloat16)
    with warm_up.warming_up(config_of("llama"), "cuda", torch.bfloat16, 0):
        pass
    assert made == []
    monkeypatch.setattr(kernels, "_kernels", lambda: SimpleNamespace())
    assert warm_up.applies("cuda", torch.bfloat16)


def test_a_failing_warm_up_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, on which it does not fail")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(kernels, "available", lambda: True)
    with warm_up.warming_up(config_of("llama"), "cuda", torch.bfloat16, 0):
        reached = True
    assert reached


def test_the_blocks_own_error_gets_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(kernels, "available", lambda: True)
    with pytest.raises(KeyError), warm_up.warming_up(object(), "cuda", torch.bfloat16, 0):
        raise KeyError


def test_kernels_are_compiled_before_the_model_asks(tmp_path: Path) -> None:
    if not torch.cuda.is_available() or not kernels.available():
        pytest.skip("needs a GPU and Triton")
    config = config_of("llama")
    with warm_up.warming_up(config, "cuda", torch.bfloat16, 0):
        pass
    compiled = kernels._kernels()
    counts = [len(next(iter(k.device_caches.values()))[0]) for k in (compiled.tree_attention, compiled.logsumexp)]
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval().to("cuda")
    TransformersBackend(model, tokenizer=None)
    after = [len(next(iter(k.device_caches.values()))[0]) for k in (compiled.tree_attention, compiled.logsumexp)]
    assert counts == after
    assert min(counts) > 0
