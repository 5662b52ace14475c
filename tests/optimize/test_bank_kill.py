"""kill -9 while a response bank is topped up: what was sampled is on disk, is used, and is never sampled again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_pmpo.responses.bank import read_bank

RUN = """
import hashlib, os, signal, sys
from pathlib import Path

from pytest_pmpo.optimize.bank_objective import BankObjective
from pytest_pmpo.optimize.budget import Budget
from pytest_pmpo.optimize.loop import OptimizeRequest, run
from pytest_pmpo.optimize.rewriters.structural import StructuralEdits
from pytest_pmpo.optimize.state import Journal
from pytest_pmpo.optimize.strategies.pmpo import Pmpo
from pytest_pmpo.prompts.formats.base import READS_NOTHING, ParseContext
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.model import Expected, Fixture, PromptSuite
from pytest_pmpo.responses.build import Writer, fill, load
from pytest_pmpo.responses.demands import demands
from pytest_pmpo.responses.graders.base import Grade
from pytest_pmpo.responses.records import Bank
from pytest_pmpo.responses.variants import proposals
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.scorer import Scorer

folder, moment, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
TOKENS, BATCH = 8, 5
left = [count]


def perhaps_die(here):
    if here == moment:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Logged(FakeBackend):
    def generate(self, conversations, settings, *, samples=1, progress=None):
        perhaps_die("before sampling")
        rows = super().generate(conversations, settings, samples=samples, progress=progress)
        with open(folder / "sampled", "a") as log:
            for turns in conversations:
                log.write(hashlib.sha256(repr((turns, settings.seed)).encode()).hexdigest() + "\\n")
        return rows


class Letter:
    identity = "letter"

    def grade(self, fixture, response):
        return Grade(float("l" in response))


record = Journal.record_drawn


def record_drawn(self, key, spent):
    perhaps_die("before booking")
    record(self, key, spent)
    perhaps_die("after booking")


Journal.record_drawn = record_drawn
text = b"You like tea. Read it well.\\n\\n- Say praise or blame.\\n- Be quick.\\n\\nText: {{ input }}\\nLabel:\\n"
prompt = TextFormat().parse("praise.md", text, ParseContext(READS_NOTHING.__getitem__))[0].prompt
words = "day meal film work song crowd".split()
fixtures = tuple(
    Fixture(f"{label}{i}", {"input": f"{kind} {word}"}, Expected(label))
    for label, kind in (("praise", "fine"), ("blame", "poor"))
    for i, word in enumerate(words)
)
bank = folder / "praise.responses.jsonl"
if not bank.exists():
    model = FakeBackend()
    writer = Writer(model, model.tokenizer, None, "fake", Letter(), SamplingSettings(max_new_tokens=TOKENS, seed=1))
    wanted = demands(Bank("b"), fixtures, proposals(prompt, ("direct",)), 4, "fake")
    fill(bank, Bank("b"), wanted, writer)
objective = BankObjective(
    load(bank, "praise.responses.jsonl"), Letter(), "fake", max_new_tokens=TOKENS, batch=BATCH
)
request = OptimizeRequest(
    PromptSuite(prompt, fixtures), text, TextFormat(), Scorer("fake", Logged), objective, "fake", Pmpo(),
    (StructuralEdits(),), folder / "journals", Budget(rounds=2),
)
result = run(request)
print(result.winner.digest, len(result.drawn), result.spent.top_up_tokens, result.after.heldout.mean)
"""


def run(folder: Path, moment: str = "never", count: int = 1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, str(folder), moment, str(count)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, bytes]:
    """What an undisturbed run prints, how many answers it samples, and the bank it starts from."""
    folder = tmp_path_factory.mktemp("calm")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, len(sampled(folder)), (folder / "praise.responses.jsonl").read_bytes()


def sampled(folder: Path) -> list[str]:
    return (folder / "sampled").read_text().splitlines() if (folder / "sampled").exists() else []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("moment", ["before sampling", "before booking", "after booking"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_run_ends_like_one_that_was_not_and_samples_nothing_twice(
    tmp_path: Path, calm: tuple[str, int, bytes], moment: str, count: int
) -> None:
    printed, answers, bank = calm
    (tmp_path / "praise.responses.jsonl").write_bytes(bank)
    assert run(tmp_path, moment, count).returncode == -signal.SIGKILL
    before = sampled(tmp_path)
    files = list((tmp_path / "journals").glob("*.responses.jsonl"))
    kept = [row for file in files for row in read_bank(file.name, file.read_bytes()).responses]
    assert len(kept) == 2 * len(before)
    resumed = run(tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert len(sampled(tmp_path)) == len(set(sampled(tmp_path))) == answers
    assert resumed.stdout.split()[:2] == printed.split()[:2]
    assert resumed.stdout.split()[3] == printed.split()[3]
