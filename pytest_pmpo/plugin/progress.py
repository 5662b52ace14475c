"""Progress of slow scoring on pytest's terminal, past its capturing and without ``-s``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from pytest_pmpo.app.progress import ProgressLine

_CLEAR = "\r\x1b[K"


class TerminalProgress(ProgressLine):
    """A progress line for the controller's terminal; silent under ``-q``, in logs, and in xdist workers."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(self._write)
        self._config = config

    def notify(self, line: str) -> None:
        """Say something before a long pause (a download, a conversion), in logs too, but not under ``-q``."""
        reporter = self._reporter()
        if reporter is None or self._config.get_verbosity() < 0:
            return
        with self._uncaptured():
            reporter.write_line(f"pmpo: {line}")

    def _write(self, line: str) -> None:
        reporter = self._reporter()
        if reporter is None or self._config.get_verbosity() < 0 or not reporter.isatty:
            return
        with self._uncaptured():
            reporter.ensure_newline()  # pytest repeats what it had begun to write on the next line
            width = self._config.get_terminal_writer().fullwidth
            reporter.write(_CLEAR + line[: width - 1], flush=True)

    def _reporter(self) -> Any:
        return self._config.pluginmanager.getplugin("terminalreporter")

    def _uncaptured(self) -> AbstractContextManager[None]:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return nullcontext() if capture is None else capture.global_and_fixture_disabled()
