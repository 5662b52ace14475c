"""For runs of pytest inside a test."""

from __future__ import annotations

from importlib import metadata

import git  # noqa: F401
import numpy as np  # noqa: F401
import pathspec  # noqa: F401
import pytest
import scipy.stats  # noqa: F401

# pytester forgets what a run in this process imports; extension modules (yaml's) do not survive a second import
import pytest_pmpo.app.builtin
import pytest_pmpo.gate.statistics
import pytest_pmpo.plugin.gate
import pytest_pmpo.prompts.formats.registry
import pytest_pmpo.prompts.rowmodel
import pytest_pmpo.scoring.backends.fake  # noqa: F401


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
