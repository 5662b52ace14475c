"""The user's own grading function, in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_pmpo.errors import GraderError
from pytest_pmpo.prompts.model import Expected, Fixture, Preference
from pytest_pmpo.responses.graders.function import Function

SOURCE = """
import os, sys, time

print("printing at import does no harm")

def same(response, expected, vars):
    print("printing does no harm")
    return response == expected

def partial(response, expected, vars):
    return 0.25, f"looked at {vars['q']} for {expected}"

def raises(response, expected, vars):
    raise ValueError("no such unit")

def hangs(response, expected, vars):
    while True:
        time.sleep(1)

def leaves(response, expected, vars):
    os._exit(3)

def wrong(response, expected, vars):
    return {"score": 1}

def too_much(response, expected, vars):
    return 7

def pairs(response, expected, vars):
    return response in expected["chosen"]
"""

FIXTURE = Fixture("f1", {"q": "units"}, Expected("5 m"))


@pytest.fixture
def grader_of(tmp_path: Path) -> Iterator[object]:
    (tmp_path / "my_graders.py").write_text(SOURCE)
    made: list[Function] = []

    def make(name: str, time_limit: float = 20.0) -> Function:
        made.append(Function(f"my_graders:{name}", tmp_path, time_limit=time_limit))
        return made[-1]

    yield make
    for grader in made:
        grader.close()


def test_a_bool_is_a_grade_and_printing_does_no_harm(grader_of) -> None:  # type: ignore[no-untyped-def]
    grader = grader_of("same")
    assert grader.grade(FIXTURE, "5 m").score == 1
    assert grader.grade(FIXTURE, "5 km").score == 0
    assert grader.identity == "function(my_graders:same)"


def test_a_number_with_a_reason_sees_the_variables(grader_of) -> None:  # type: ignore[no-untyped-def]
    grade = grader_of("partial").grade(FIXTURE, "x")
    assert (grade.score, grade.reason) == (0.25, "looked at units for 5 m")


def test_a_preference_label_arrives_as_chosen_and_rejected(grader_of) -> None:  # type: ignore[no-untyped-def]
    fixture = Fixture("p", {}, Preference(("good",), ("bad",)))
    assert grader_of("pairs").grade(fixture, "good").score == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "raised ValueError: no such unit"),
        ("leaves", "ended its process"),
        ("wrong", "a grade is a bool or a number"),
        ("too_much", "a grade lies between 0 and 1"),
        ("missing", "cannot be imported"),
    ],
)
def test_a_function_that_fails_is_a_grader_error(grader_of, name: str, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(GraderError, match=words):
        grader_of(name).grade(FIXTURE, "x")


def test_a_function_that_hangs_is_stopped_and_the_grader_stays_usable(grader_of) -> None:  # type: ignore[no-untyped-def]
    grader = grader_of("hangs", time_limit=1.0)
    for _ in range(2):
        with pytest.raises(GraderError, match="within 1 s and was stopped"):
            grader.grade(FIXTURE, "x")


def test_a_response_with_line_breaks_and_lone_surrogates_arrives_whole(grader_of) -> None:  # type: ignore[no-untyped-def]
    text = "5\u2028m\r\n\udc80"
    assert grader_of("same").grade(Fixture("f", {}, Expected(text)), text).score == 1


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals to a process group are POSIX")
def test_ctrl_c_while_a_function_works_leaves_no_traceback_and_no_process(tmp_path: Path) -> None:
    """The whole foreground group gets the signal, as from a terminal; what the function itself has started ends too."""
    (tmp_path / "slow.py").write_text(
        "import os, pathlib, subprocess, sys, time\n"
        "def grade(response, expected, vars):\n"
        "    other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    pathlib.Path('new').write_text(f'{os.getpid()} {other.pid}')\n"
        "    os.replace('new', 'pids')\n"
        "    time.sleep(600)\n"
    )
    (tmp_path / "main.py").write_text(
        "from pathlib import Path\n"
        "from pytest_pmpo.prompts.model import Expected, Fixture\n"
        "from pytest_pmpo.responses.graders.function import Function\n"
        "try:\n"
        "    with Function('slow:grade', Path('.'), time_limit=600) as grader:\n"
        "        grader.grade(Fixture('f', {}, Expected('a')), 'b')\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "pids").exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("stopped\n", "")
    assert [pid for pid in (tmp_path / "pids").read_text().split() if alive(int(pid))] == []


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")
