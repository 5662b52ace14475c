"""A bank that does not cover a change is topped up on request, in the run itself, and the verdict says what it took."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from pytest_pmpo.app.banks import bank_metric
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.confirm import Confirmer, Scored
from pytest_pmpo.app.extensions import Extensions, bare_manager
from pytest_pmpo.app.locks import exclusive
from pytest_pmpo.app.project import Project
from pytest_pmpo.app.results import Result
from pytest_pmpo.cli import main
from pytest_pmpo.errors import GraderError
from pytest_pmpo.prompts.source import WorkingTree

if TYPE_CHECKING:
    from tests.conftest import Repo

PROMPT = "prompts/spam.prompt.yml"
BANK = "prompts/spam.responses.jsonl"


@pytest.fixture
def changed(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A committed bank, and then a prompt that the bank does not cover."""
    monkeypatch.chdir(repo.path)
    build = ["bank", "build", PROMPT, "--per-fixture", "3", "--max-new-tokens", "6", "--grader", "contains"]
    assert main(build) == 0
    repo.commit("bank")
    move_away(repo)
    return repo


def move_away(repo: Repo) -> None:
    repo.edit(PROMPT, "Is the message spam or ham? Answer spam or ham.", "qqqq zzzz qqqq zzzz. Answer spam or ham.")
    repo.edit(PROMPT, "Examples of answers: spam, ham, spam, ham.", "wwww xxxx wwww xxxx wwww xxxx")


def checker(repo: Repo, *, confirm: bool = True, **given: Any) -> Checker:
    return Checker(Project.open(repo.path, given, Extensions(bare_manager().hook)), environ={}, confirm=confirm)


def check(repo: Repo, **more: Any) -> Result:
    made = checker(repo, **more)
    return made.check(made.project.tasks(PROMPT)[0])


def responses(repo: Repo) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (repo.path / BANK).read_text("utf-8").splitlines()]
    return [line for line in lines if line.get("kind") != "proposal"]


def test_without_it_the_verdict_abstains_and_names_the_cost(changed: Repo) -> None:
    entry = check(changed, confirm=False).entry
    assert entry.verdict.status == "inconclusive"
    assert "the response bank covers only" in entry.verdict.reason
    assert "a top-up of 6 responses (about " in entry.verdict.reason
    assert any("--pmpo-confirm" in line for line in entry.verdict.advice)
    assert entry.spent == ""
    assert len(responses(changed)) == 18


def test_with_it_the_stated_budget_is_drawn_graded_kept_and_the_verdict_reached(changed: Repo) -> None:
    entry = check(changed).entry
    assert entry.verdict.metric.name == "response-bank"
    assert "covers only" not in entry.verdict.reason
    assert entry.spent.startswith("6 responses drawn from the head, which the bank did not cover (")
    assert entry.spent.endswith(f"kept in {BANK}")
    drawn = responses(changed)[18:]
    assert len(drawn) == 6
    assert {row["grader"] for row in drawn} == {"contains"}
    assert len({row["fixture"] for row in drawn}) == 6


def test_a_later_run_finds_the_bank_covered_and_reaches_the_same_verdict(changed: Repo) -> None:
    first = check(changed).entry.verdict
    again = check(changed).entry
    assert again.spent == ""
    assert again.verdict == first
    assert len(responses(changed)) == 24


def test_a_covered_prompt_costs_nothing(changed: Repo) -> None:
    changed.git("checkout", "-q", PROMPT)
    changed.improve()
    assert check(changed).entry.spent == ""
    assert len(responses(changed)) == 18


def test_a_base_that_the_bank_does_not_cover_is_drawn_from_as_well(changed: Repo) -> None:
    changed.commit("moved away, without a top-up")
    changed.git("checkout", "-q", "HEAD~1", "--", PROMPT)
    entry = check(changed).entry
    assert "6 responses drawn from the base" in entry.spent
    assert "covers only" not in entry.verdict.reason


def test_a_bank_that_cannot_be_written_still_gives_the_verdict(changed: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout that is mounted read-only; tests may run as root, whom no permission stops."""
    saved = check(changed).entry.verdict
    changed.git("checkout", "-q", BANK)
    before = (changed.path / BANK).read_bytes()
    really_open = Path.open

    def refuse(self: Path, mode: str = "r", *rest: Any, **more: Any) -> IO[Any]:
        if self.name == Path(BANK).name and "a" in mode:
            raise PermissionError(30, "Read-only file system")
        return really_open(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", refuse)
    made = checker(changed)
    [task] = made.project.tasks(PROMPT)
    entry = made.check(task).entry
    assert "not saved (the bank cannot be written: Read-only file system)" in entry.spent
    assert entry.verdict == saved
    assert (changed.path / BANK).read_bytes() == before
    assert made.check(task).entry.spent == ""  # of this run, the bank in memory counts


def test_a_second_model_finds_what_the_first_one_drew(changed: Repo) -> None:
    made = checker(changed)
    [task] = made.project.tasks(PROMPT)
    stale = checker(changed)
    engine = stale.models.engine(task.model, task.settings)
    source = WorkingTree(changed.path)
    base = stale.reference.version(task).prompt
    assert base is not None
    found = bank_metric(source, task, engine, base)
    assert found.metric is not None
    head, was = engine.scorer.score([task.suite.prompt, base], task.suite.fixtures, found.metric)
    made.check(task)  # meanwhile another process tops the bank up
    spent = Confirmer(source, changed.path, stale.models.cache_folder()).top_up(
        task, engine, Scored(found, head, was), base, lambda bank: pytest.fail("nothing is to be graded")
    )
    assert spent.line == ""
    assert len(responses(changed)) == 24


def test_a_grader_that_is_not_the_banks_stops_it(changed: Repo) -> None:
    changed.settings('[tool.pmpo.graders]\n"prompts/*" = "exact"\n')
    with pytest.raises(GraderError, match="the bank was graded by contains, but new responses would be by exact"):
        check(changed)
    assert len(responses(changed)) == 18


def test_a_saved_baseline_cannot_be_confirmed_for_its_base_is_only_numbers(changed: Repo, tmp_path: Path) -> None:
    changed.git("checkout", "-q", PROMPT)
    assert main(["check", "--save-baseline", "base.json"]) == 0
    move_away(changed)
    entry = check(changed, baseline="base.json").entry
    assert entry.verdict.status == "inconclusive"
    assert entry.spent == ""
    assert not any("--pmpo-confirm" in line for line in entry.verdict.advice)


def test_check_on_the_command_line_prints_what_was_spent(changed: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--confirm", PROMPT, "--json", "out.json", "--markdown", "out.md", "--html", "out.html"])
    printed = capsys.readouterr()
    assert f"{PROMPT}: 6 responses drawn from the head" in printed.out
    assert "drawing and grading what the bank lacks" in printed.err
    assert changed.json()["entries"][0]["spent"].startswith("6 responses drawn")
    for name in ("out.md", "out.html"):
        assert "6 responses drawn from the head" in (changed.path / name).read_text("utf-8")


def test_a_lock_is_held_by_one_and_freed_at_the_end(tmp_path: Path) -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait(5)
        with exclusive(tmp_path, "a bank"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with exclusive(tmp_path, "a bank"):
        inside.set()
        thread.join(0.3)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_without_a_place_for_locks_the_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with exclusive(tmp_path / "file", "x"):
        done = True
    assert done
