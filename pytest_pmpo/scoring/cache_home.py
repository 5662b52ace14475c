"""Where this package keeps what it can make again: converted models, file hashes, losses."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "PMPO_CACHE_DIR"


def cache_home(environ: Mapping[str, str] | None = None, *, platform: str = sys.platform) -> Path:
    """The user's cache directory of this package; it need not exist.

    ``PMPO_CACHE_DIR`` if set, else ``pytest-pmpo`` under the platform's cache directory: ``XDG_CACHE_HOME`` or
    ``~/.cache``, ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.
    """
    environ = os.environ if environ is None else environ
    if environ.get(VARIABLE):
        return Path(environ[VARIABLE]).expanduser().absolute()
    if platform == "win32" and environ.get("LOCALAPPDATA"):
        return Path(environ["LOCALAPPDATA"]) / "pytest-pmpo" / "Cache"
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / "pytest-pmpo"
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    # the XDG specification: a relative path is invalid and must be ignored
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "pytest-pmpo"
