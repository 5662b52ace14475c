"""A line that shows how far scoring is, once it has taken a while."""

from __future__ import annotations

import time
from collections.abc import Callable

QUIET_SECONDS = 2.0
EVERY_SECONDS = 0.2
_WIDTH = 24


class ProgressLine:
    """Turns ``progress(done, total)`` calls of a scorer into lines of text, few enough for a terminal.

    Args:
        show: given the line to show in place of the last one; an empty line when scoring is done.
        clock: seconds, monotonic.
    """

    def __init__(self, show: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.label = ""
        self._show = show
        self._clock = clock
        self._began: float | None = None
        self._shown: float | None = None

    def __call__(self, done: int, total: int) -> None:
        """Tokens done, of tokens in all; the call with ``done >= total`` ends a line that was shown."""
        now = self._clock()
        if self._began is None:
            self._began = now
        elapsed = now - self._began
        if done >= total:
            self.finish()
        elif elapsed >= QUIET_SECONDS and (self._shown is None or now - self._shown >= EVERY_SECONDS):
            self._shown = now
            self._show(f"{self.label} {bar_line(done, total, elapsed)}".strip())

    def finish(self) -> None:
        """Take the line away, however scoring ended."""
        if self._shown is not None:
            self._show("")
        self._began = self._shown = None


def bar_line(done: int, total: int, seconds: float) -> str:
    """``[#####-----]  1,200/2,400 tokens, 410 tokens/s, 3 s left``."""
    share = done / total if total else 1.0
    filled = round(share * _WIDTH)
    speed = done / seconds if seconds > 0 else 0.0
    left = f", {_duration((total - done) / speed)} left" if speed > 0 else ""
    return f"[{'#' * filled}{'-' * (_WIDTH - filled)}] {done:,}/{total:,} tokens, {speed:,.0f} tokens/s{left}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
