"""A results file whose last line was torn goes on from the line before; one that is broken elsewhere says where."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.optimizers import results, tables
from benchmarks.optimizers.runs import Outcome

ONE = Outcome(
    "task", "pmpo", ("structural",), 0, "fake", "nats", "budget", True, (1.0, 2.0), (0.5, 1.0), (), (), 10, 0, 1.0, {},
    "Say.\u2028So.",
)  # fmt: skip
TWO = replace(ONE, seed=1)
KEPT = Path(results.__file__).with_name("outcomes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_what_was_added_is_read(path: Path) -> None:
    assert results.read(path) == []
    results.append(path, ONE)
    results.append(path, TWO)
    assert results.read(path) == [ONE, TWO]


@pytest.mark.parametrize("torn", [results.line(TWO)[:40], "{", "\0\0\0"])
def test_a_torn_last_line_is_left_out_with_a_note_and_gone_when_the_next_is_added(
    path: Path, torn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(results.line(ONE) + torn)
    assert results.read(path) == [ONE]
    assert f"{path}:2: the last line is torn and left out" in capsys.readouterr().out
    assert path.read_text() == results.line(ONE) + torn  # whoever reads may not be who writes
    results.append(path, TWO)
    assert results.read(path) == [ONE, TWO]
    assert capsys.readouterr().out == ""


def test_a_file_of_a_torn_line_alone_begins_anew(path: Path) -> None:
    path.write_text('{"task')
    assert results.read(path) == []
    results.append(path, ONE)
    assert path.read_text() == results.line(ONE)


def test_a_last_line_that_lacks_its_end_alone_is_kept(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(results.line(ONE).rstrip("\n"))
    assert results.read(path) == [ONE]
    assert capsys.readouterr().out == ""
    results.append(path, TWO)
    assert results.read(path) == [ONE, TWO]


@pytest.mark.parametrize("broken", ["{\n", "\n", json.dumps({"task": "t"}) + "\n", "3\n"])
def test_a_broken_line_elsewhere_is_an_error_that_names_it(path: Path, broken: str) -> None:
    path.write_text(results.line(ONE) + broken + results.line(TWO))
    with pytest.raises(SystemExit, match=r"results\.jsonl:2: "):
        results.read(path)


def test_a_broken_last_line_that_was_ended_was_not_torn(path: Path) -> None:
    path.write_text(results.line(ONE) + "{\n")
    with pytest.raises(SystemExit, match=r"results\.jsonl:2: "):
        results.read(path)


def test_strategies_are_compared_on_what_all_of_them_ended() -> None:
    ended = {"pmpo": [("a", 0), ("a", 1), ("b", 0)], "ape": [("a", 0), ("b", 0), ("b", 1)]}
    runs = [replace(ONE, strategy=s, task=task, seed=seed) for s, where in ended.items() for task, seed in where]
    shared = tables.shared(runs)
    assert [(o.strategy, o.task, o.seed) for o in shared] == [
        ("pmpo", "a", 0), ("pmpo", "b", 0), ("ape", "a", 0), ("ape", "b", 0),
    ]  # fmt: skip
    assert tables.shared(shared) == shared


@pytest.mark.parametrize("path", sorted(KEPT.glob("*.jsonl")), ids=lambda path: path.stem)
def test_kept_results_can_be_read_and_are_no_run_twice(path: Path) -> None:
    runs = results.read(path)
    assert len({(o.task, o.strategy, o.rewriters, o.seed) for o in runs}) == len(runs) > 0
    for o in runs:
        counts = {len(values) for values in (o.loss_before, o.loss_after, o.right_before, o.right_after) if values}
        assert len(counts) == 1, (o.task, o.strategy, o.seed)
