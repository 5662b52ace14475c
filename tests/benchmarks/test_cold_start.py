"""The cold start benchmark times processes that find their bytecode stored, and tells their stages apart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
pytest.importorskip("transformers", reason="the model libraries are not installed")

from benchmarks import cold_start  # noqa: E402
from benchmarks.scoring import models  # noqa: E402


def test_processes_share_bytecode_and_keep_compiled_kernels_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    one, other = (cold_start.environment(tmp_path, name) for name in ("one", "other"))
    assert "PYTHONDONTWRITEBYTECODE" not in one
    assert {key for key in one if one[key] != other[key]} == {"TRITON_CACHE_DIR", "CUDA_CACHE_PATH"}
    assert Path(one["PYTHONPYCACHEPREFIX"]).parent == tmp_path


def test_the_stages_of_a_process_lie_between_its_start_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"vocab_size": 97, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1}
    monkeypatch.setitem(models.SHAPES, "small", {**models.SHAPES["smollm2-135m"], **small, "num_attention_heads": 3})
    models.directory("small", models.load("small", torch.device("cpu"), torch.float32), tmp_path)
    began = time.time()
    stages = cold_start.open_and_score(tmp_path, "cpu", "float32", began)
    assert 0 <= stages.torch <= stages.imports
    assert stages.opening > 0
    assert stages.scoring > 0
    assert stages.total <= time.time() - began
    assert "cpu, float32" in stages.description
