"""How much memory counts as free."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")

from torch.cuda._utils import _get_device_index  # noqa: E402

from pytest_pmpo.scoring.backends.budget import free_bytes  # noqa: E402

TOTAL, FREE, RESERVED, ALLOCATED = 100, 60, 30, 20


@pytest.fixture(params=["cuda", "cuda:1"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A GPU of 100 bytes, of which others hold 10 and this process 30; torch's functions check what they are given."""

    def answer(value: object) -> object:
        return lambda given: (_get_device_index(given), value)[1]

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", answer((FREE, TOTAL)))
    monkeypatch.setattr(torch.cuda, "memory_reserved", answer(RESERVED))
    monkeypatch.setattr(torch.cuda, "memory_allocated", answer(ALLOCATED))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", answer(1.0), raising=False)
    return torch.device(request.param)


def test_memory_that_the_allocator_holds_unused_is_free(device: torch.device) -> None:
    assert free_bytes(device) == FREE + RESERVED - ALLOCATED


@pytest.mark.parametrize(("share", "expected"), [(0.5, 30), (0.25, 5), (0.1, 0)])
def test_a_process_counts_no_more_than_its_share(
    device: torch.device, share: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.cuda, "get_per_process_memory_fraction", lambda given: (_get_device_index(given), share)[1], raising=False
    )
    assert free_bytes(device) == expected


def test_without_shares_all_that_is_free_counts(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with torch 2.6."""
    monkeypatch.delattr(torch.cuda, "get_per_process_memory_fraction")
    assert free_bytes(device) == FREE + RESERVED - ALLOCATED


def test_a_cpu_has_what_the_kernel_calls_available() -> None:
    assert free_bytes(torch.device("cpu")) > 0
