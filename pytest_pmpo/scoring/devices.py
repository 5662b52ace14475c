"""Which device to run on, found without importing a framework, so that a run answered from the cache stays fast."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from pytest_pmpo.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda", "mps")
_NVIDIA = Path("/proc/driver/nvidia/gpus")


def choose_device(requested: str = "auto", environ: Mapping[str, str] | None = None) -> str:
    """``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto`` takes the first accelerator that this machine's torch can use.

    Raises:
        ConfigError: for a device nobody knows.
    """
    name, _, number = requested.partition(":")
    if name not in DEVICES or (number and not (name == "cuda" and number.isdigit())):
        raise ConfigError(f"unknown device {requested!r}", hint="use one of auto, cpu, cuda, cuda:0, mps")
    if requested != "auto":
        return requested
    if _has_cuda(os.environ if environ is None else environ):
        return "cuda"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"


def device_class(device: str) -> str:
    """What of a device can change a loss: ``cpu``, ``mps``, or ``cuda`` with the GPU's model where the driver says."""
    if not device.startswith("cuda"):
        return device
    models = sorted({model for path in _gpus() if (model := _gpu_model(path))})
    return " ".join(["cuda", *models])


def _has_cuda(environ: Mapping[str, str]) -> bool:
    if environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if not _gpus():
        return False
    try:
        return not metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False


def _gpus() -> list[Path]:
    try:
        return sorted(_NVIDIA.iterdir())
    except OSError:
        return []


def _gpu_model(gpu: Path) -> str | None:
    try:
        text = (gpu / "information").read_text(errors="replace")
    except OSError:
        return None
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Model:")]
    return models[0] if models else None
