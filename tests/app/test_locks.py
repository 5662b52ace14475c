"""Waiting for a lock that another process holds."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_pmpo.app.locks import exclusive

WAITS = """
import sys
from pathlib import Path
from pytest_pmpo.app.locks import exclusive
print("ready", flush=True)
with exclusive(Path(sys.argv[1]), "a bank"):
    print("has it", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_ctrl_c_ends_the_wait_for_a_lock(tmp_path: Path) -> None:
    with exclusive(tmp_path, "a bank"):
        waiting = subprocess.Popen(
            [sys.executable, "-c", WAITS, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert waiting.stdout is not None
            assert waiting.stdout.readline() == "ready\n"
            time.sleep(1)  # it is inside sqlite by then
            waiting.send_signal(signal.SIGINT)
            said, error = waiting.communicate(timeout=20)
        finally:
            waiting.kill()
    assert said == ""
    assert "KeyboardInterrupt" in error


def test_a_lock_that_is_never_freed_is_waited_for_only_so_long(tmp_path: Path) -> None:
    with exclusive(tmp_path, "a bank"), exclusive(tmp_path, "a bank", seconds=0.2):
        done = True
    assert done


def test_a_killed_holder_frees_its_lock(tmp_path: Path) -> None:
    holds = WAITS + "    import time; time.sleep(600)\n"
    holder = subprocess.Popen([sys.executable, "-c", holds, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert [holder.stdout.readline() for _ in range(2)] == ["ready\n", "has it\n"]
    holder.kill()
    holder.communicate()
    with exclusive(tmp_path, "a bank", seconds=600):
        done = True
    assert done
