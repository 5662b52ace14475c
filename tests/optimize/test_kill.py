"""kill -9 at any moment, then the same command: the run goes on and no finished forward pass is repeated."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = """
import os, sys
from pathlib import Path

from pytest_pmpo.optimize import evaluation
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.rewriters.structural import StructuralEdits
from pytest_pmpo.optimize.strategies.pmpo import Pmpo
from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Expected, Fixture, PromptSuite
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.scorer import Scorer

folder = Path(sys.argv[1])
log = os.open(folder / "passes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
evaluation.FIRST_TOGETHER = evaluation.MAX_TOGETHER = 1


class Logged(FakeBackend):
    def score(self, sequences, *, progress=None):
        rows = super().score(sequences, progress=progress)
        os.write(log, b"".join(bytes(t % 256 for t in s.tokens).hex().encode() + b"\\n" for s in sequences))
        return rows


text = (folder / "praise.md").read_bytes()
prompt = TextFormat().parse("praise.md", text, ParseContext(READS_NOTHING.__getitem__))[0].prompt
words = "day meal film work song crowd hosts plot".split()
fixtures = tuple(
    Fixture(f"{label}{i}", {"input": f"{kind} {word}"}, Expected(label))
    for label, kind in (("praise", "fine"), ("blame", "poor"))
    for i, word in enumerate(words)
)
request = OptimizeRequest(
    PromptSuite(prompt, fixtures), text, TextFormat(), Scorer("fake", Logged), CrossEntropy(), "fake", Pmpo(),
    (StructuralEdits(),), folder / "journals", Budget(rounds=4),
)
result = run(request)
print(result.winner.digest, result.spent.forward_tokens)
"""

LARGEST_PART = 12
"""Sequences of one call for a candidate, for 16 fixtures: the 6 held-out ones, each with its own and another label."""

PROMPT = "You like tea. Read it well.\n\n- Say praise or blame.\n- Be quick.\n\nText: {{ input }}\nLabel:\n"


def start(folder: Path) -> subprocess.Popen[str]:
    (folder / "praise.md").write_text(PROMPT)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(folder: Path) -> str:
    process = start(folder)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def passes(folder: Path) -> list[str]:
    return (folder / "passes").read_text().splitlines()


def journalled(folder: Path) -> int:
    files = list((folder / "journals").glob("*.jsonl"))
    return sum(line.endswith("\n") for file in files for line in file.open())


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_at_several_moments_it_ends_like_a_run_that_was_not(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    calm.mkdir()
    killed.mkdir()
    expected = finish(calm)
    total = journalled(calm)
    for share in (0.1, 0.4, 0.8):
        process = start(killed)
        while journalled(killed) < share * total and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    resumed = finish(killed)
    # the pass that was under way when the kill came was never finished, let alone journalled: it alone may be run again
    repeated = len(passes(killed)) - len(set(passes(killed)))
    assert resumed.split()[0] == expected.split()[0]
    assert repeated <= 3 * LARGEST_PART
    assert set(passes(killed)) == set(passes(calm))
