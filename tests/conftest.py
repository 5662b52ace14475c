"""Shared by all tests: pytester for tests of the plugin, and an environment no machine's settings leak into."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

_LEAKING = (
    *("GITHUB_BASE_REF", "GITHUB_HEAD_REF", "GITHUB_REF", "GITHUB_EVENT_NAME", "GITHUB_EVENT_PATH", "GITHUB_ACTIONS"),
    *("CI", "BUILD_NUMBER", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CI_MERGE_REQUEST_DIFF_BASE_SHA"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "PYTEST_ADDOPTS", "PY_COLORS", "FORCE_COLOR", "NO_COLOR"),
)
"""Variables that say which base to take, where git works, or how pytest prints."""


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No variables of the surrounding job, a git without the user's configuration, and a loss cache of the test's own.

    Gives the cache's folder.
    """
    for name in _LEAKING:
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path_factory.mktemp("cache")
    identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
    for name, value in {
        **identity,
        "GIT_CONFIG_GLOBAL": str(cache / "no-git-config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "PMPO_CACHE_DIR": str(cache),
        "COLUMNS": "100",
    }.items():
        monkeypatch.setenv(name, value)
    return cache


_WHO = {"NAME": "Test", "EMAIL": "test@example.invalid"}
