"""With ``cuda:1``, that is the current device of every thread that launches something, and of no other.

Without a second GPU the entered devices are recorded; what runs meanwhile runs on the CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.scoring.backends import kernels, transformers, warm_up  # noqa: E402
from pytest_pmpo.scoring.backends.base import SamplingSettings  # noqa: E402
from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402
from pytest_pmpo.scoring.records import EncodedSequence  # noqa: E402

SECOND = torch.device("cuda:1")


class Devices(threading.local):
    """The current device of this thread, as ``torch.cuda.device`` would set it."""

    current: Any = None

    def entered(self, device: Any) -> Any:
        devices = self

        class Entered:
            def __enter__(self) -> None:
                self.before, devices.current = devices.current, device

            def __exit__(self, *_: object) -> None:
                devices.current = self.before

        return Entered()


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Devices:
    made = Devices()
    monkeypatch.setattr(torch.cuda, "device", made.entered)
    return made


def test_a_backend_chooses_its_path_on_its_models_device(
    devices: Devices, build: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = build("llama"), []
    monkeypatch.setattr(type(model), "device", SECOND)
    monkeypatch.setattr(transformers, "TokenBudget", lambda *_: None)
    monkeypatch.setattr(TransformersBackend, "_choose_path", lambda _: seen.append(devices.current))
    TransformersBackend(model, tokenizer=None)
    assert seen == [SECOND]
    assert devices.current is None


def test_sequences_are_scored_on_the_models_device(devices: Devices, build: Callable[[str], Any]) -> None:
    backend, seen = TransformersBackend(build("llama"), tokenizer=None), []
    path = backend._path

    def run(*arguments: Any) -> None:
        seen.append(devices.current)
        path.run(*arguments)

    backend._path = SimpleNamespace(name=path.name, run=run)
    backend.model = SimpleNamespace(device=SECOND)
    [losses] = backend.score([EncodedSequence((3, 5, 7), 1, "row")])
    assert len(losses) == 2
    assert seen == [SECOND]
    assert devices.current is None


def test_answers_are_written_on_the_models_device(
    devices: Devices, build: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, seen = TransformersBackend(build("llama"), tokenizer=None), []
    assert backend._decoder is not None  # tried on the CPU; here only the sampler's device counts

    def draw(*_: Any) -> tuple[list[Any], list[Any]]:
        seen.append(devices.current)
        return [], []

    monkeypatch.setattr(transformers, "Sampler", lambda *_: SimpleNamespace(draw=draw))
    backend.model = SimpleNamespace(device=SECOND)
    assert backend.generate([], SamplingSettings()) == []
    assert seen == [SECOND]
    assert devices.current is None


def test_kernels_are_compiled_ahead_on_the_models_device_in_every_thread(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(kernels, "available", lambda: True)
    for name in ("_make_driver", "attend_once", "_read_once", "_fused_twin", "_try_paths"):
        monkeypatch.setattr(warm_up, name, lambda *_, name=name: seen.setdefault(name, devices.current))
    with warm_up.warming_up(object(), "cuda:1", torch.bfloat16, 0):
        assert devices.current is None
    assert seen == dict.fromkeys(("_make_driver", "attend_once", "_read_once", "_fused_twin", "_try_paths"), SECOND)


def test_on_a_cpu_no_device_is_entered(build: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(device: Any) -> None:
        raise AssertionError(device)

    monkeypatch.setattr(torch.cuda, "device", refused)
    [losses] = TransformersBackend(build("llama"), tokenizer=None).score([EncodedSequence((3, 5, 7), 1, "row")])
    assert len(losses) == 2
