"""The user's own function, run in a process of its own so that it can be stopped."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pytest_pmpo.errors import ConfigError, GraderError
from pytest_pmpo.prompts.model import Choice, Expected, Fixture
from pytest_pmpo.responses.graders.base import Grade, checked

TIME_LIMIT = 30.0
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_Lines = queue.Queue[str | None]


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    lines: _Lines


class Function:
    """Calls ``module:function(response, expected, vars)``; it returns a bool, a number in [0, 1], or (number, reason).

    ``expected`` is the label's text, or a mapping with ``chosen`` and ``rejected``. The function comes from the
    configuration, never from a prompt file. It runs in a child process with ``root`` first on the path; one that
    hangs is killed with its process.

    Args:
        name: ``module:function``.
        root: folder the module is imported from.
        time_limit: seconds one call may take.

    Raises:
        ConfigError: if the name has another form.
    """

    def __init__(self, name: str, root: Path, *, time_limit: float = TIME_LIMIT) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} names no function", hint="write module:function")
        self.name, self.root, self.time_limit = name, root, time_limit
        self._worker: _Worker | None = None

    @property
    def identity(self) -> str:
        """``function(module:function)``."""
        return f"function({self.name})"

    def grade(self, fixture: Fixture, response: str) -> Grade:
        """What the function says.

        Raises:
            GraderError: if it raises, hangs, ends its process, or returns something else.
        """
        request = {"response": response, "expected": _expected(fixture), "vars": dict(fixture.vars)}
        answer = self._ask(json.dumps(request, default=str), fixture)
        if "error" in answer:
            raise self._failure(fixture, str(answer["error"]))
        return checked(Grade(answer["score"], str(answer.get("reason", ""))), self.identity, fixture)

    def close(self) -> None:
        """End the child process, and what it has started."""
        if self._worker is not None:
            _kill(self._worker.process)
            self._worker.process.wait()
            for stream in (self._worker.process.stdin, self._worker.process.stdout):
                if stream is not None:
                    stream.close()
            self._worker = None

    def __enter__(self) -> Function:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, line: str, fixture: Fixture) -> dict[str, Any]:
        worker = self._worker = self._worker or _start(self.name, self.root)
        assert worker.process.stdin is not None
        try:
            worker.process.stdin.write(line + "\n")
            worker.process.stdin.flush()
            answer = worker.lines.get(timeout=self.time_limit)
        except queue.Empty:
            self.close()
            raise self._failure(fixture, f"gave no answer within {self.time_limit:g} s and was stopped") from None
        except OSError:
            answer = None
        if answer is None:
            self.close()
            raise self._failure(fixture, "ended its process")
        reply: dict[str, Any] = json.loads(answer)
        return reply

    def _failure(self, fixture: Fixture, what: str) -> GraderError:
        return GraderError(f"grader {self.name}, fixture {fixture.id!r}: {what}", location=fixture.location)


def _expected(fixture: Fixture) -> object:
    label = fixture.label
    if isinstance(label, Expected):
        return label.text
    if isinstance(label, Choice):
        return label.choices[label.expected]
    return {"chosen": list(label.chosen), "rejected": list(label.rejected)}


def _start(name: str, root: Path) -> _Worker:
    worker = Path(__file__).with_name("function_worker.py")
    process = subprocess.Popen(
        # by path, isolated from the caller's environment of imports except for what the worker is told
        [sys.executable, "-u", str(worker), str(root), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=root,
        # in a session of its own a Ctrl-C on the terminal does not reach it: whoever is asked to stop ends it
        start_new_session=True,
    )
    assert process.stdout is not None
    lines: _Lines = queue.Queue()
    threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
    return _Worker(process, lines)


def _kill(process: subprocess.Popen[str]) -> None:
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):  # it is gone, or a zombie, which macOS does not let us kill
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _pump(stream: IO[str], lines: _Lines) -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:
        pass  # the stream was closed under us: the grader was stopped
    lines.put(None)
