"""Progress of slow scoring on the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_pmpo.app import progress

if TYPE_CHECKING:
    from tests.conftest import Repo

# every score counts as slow; for a process of its own, where nobody else is made impatient by it
IMPATIENT = "import pytest_pmpo.app.progress as p\np.QUIET_SECONDS = p.EVERY_SECONDS = 0.0\n"


def on_a_terminal(repo: Repo, *arguments: str) -> str:
    """What pytest writes to a terminal, escape sequences and all; a process of its own with a pseudo-terminal."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments], cwd=repo.path, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    parts = []
    try:
        while part := os.read(master, 65_536):
            parts.append(part)
    except OSError:
        pass  # the other end is closed
    process.wait()
    os.close(master)
    return b"".join(parts).decode()


def test_a_terminal_shows_a_bar_past_capturing_and_takes_it_away(repo: Repo):
    """No ``-s`` is needed, and the line of the test stands whole after it."""
    repo.write("conftest.py", IMPATIENT)
    text = on_a_terminal(repo, "--pmpo", "-v", "--color=no")
    assert "prompts/spam.prompt.yml [####" in text
    assert "tokens/s" in text
    last = text.rpartition("\x1b[K")[2]
    assert "prompts/spam.prompt.yml::pmpo[fake] PASSED unchanged" in last
    assert "[###" not in last


def test_q_is_quiet_on_a_terminal_too(repo: Repo):
    """No bar."""
    repo.write("conftest.py", IMPATIENT)
    assert "tokens/s" not in on_a_terminal(repo, "--pmpo", "-q")


def test_a_log_has_no_bar(repo: Repo, monkeypatch: pytest.MonkeyPatch):
    """Where output is no terminal, lines are not redrawn."""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    assert "tokens/s" not in repo.run("--pmpo").stdout.str()
