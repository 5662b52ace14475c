"""For runs of pytest inside a test."""

from __future__ import annotations

from importlib import metadata

import pytest


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """pytest finds the plugin by its entry point, so the package has to be installed."""
    names = [entry.value for entry in metadata.entry_points(group="pytest11")]
    if "pytest_pmpo.plugin" not in names:
        pytest.skip("the package is not installed: pip install -e .")


@pytest.fixture(params=[(), ("-n", "2")], ids=["bare", "xdist"])
def workers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Arguments for a run in one process, and for one under pytest-xdist."""
    if request.param and not request.config.pluginmanager.hasplugin("xdist"):
        pytest.skip("pytest-xdist is not installed")
    arguments: tuple[str, ...] = request.param
    return arguments
