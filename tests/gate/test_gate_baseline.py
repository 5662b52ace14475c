"""A saved baseline: what goes in comes out, what does not fit is refused with a reason."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_pmpo.errors import BaselineError, NumericsError
from pytest_pmpo.gate import baseline as baselines
from pytest_pmpo.gate.baseline import Baseline, StoredModel
from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy
from pytest_pmpo.prompts.model import Expected, Fixture, Turn
from pytest_pmpo.scoring.records import MetricInfo, PromptScore

Score = Callable[..., PromptScore]
FINGERPRINT = {"model": "abc", "torch": "2.13.0", "engine": "1"}
FIXTURES = tuple(Fixture(f"case-{i}", {"text": f"input {i}"}, Expected("yes")) for i in range(3))


def one_prompt(score: PromptScore, fixtures: tuple[Fixture, ...] = FIXTURES) -> Baseline:
    stored = baselines.store(score, "template-digest", fixtures)
    return Baseline({"tiny": StoredModel(FINGERPRINT, {score.prompt: stored})})


def saved(path: Path, score: PromptScore) -> Path:
    baselines.save(path, one_prompt(score))
    return path


def test_what_is_saved_is_loaded(tmp_path: Path, score: Score) -> None:
    kept = one_prompt(score([1.0, 2.5, math.pi], nll=[None, 2.5, math.pi]))
    baselines.save(tmp_path / "b.json", kept)
    assert baselines.load(tmp_path / "b.json", {"tiny": FINGERPRINT}) == kept


def test_the_file_is_sorted_and_the_same_whatever_the_order_of_prompts(tmp_path: Path, score: Score) -> None:
    stored = baselines.store(score([1.0, 2.0, 3.0]), "t", FIXTURES)
    for name, prompts in (("one", ["a", "b"]), ("two", ["b", "a"])):
        model = StoredModel(FINGERPRINT, dict.fromkeys(prompts, stored))
        baselines.save(tmp_path / name, Baseline({"tiny": model}))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_one_changed_number_changes_one_line(tmp_path: Path, score: Score) -> None:
    before = saved(tmp_path / "b.json", score([1.0, 2.0, 3.0], nll=[None] * 3)).read_text().splitlines()
    after = saved(tmp_path / "b.json", score([1.0, 2.1, 3.0], nll=[None] * 3)).read_text().splitlines()
    assert [a.strip() for b, a in zip(before, after, strict=True) if a != b] == ['"value": 2.1']


def test_a_failed_write_leaves_the_old_file_and_no_scraps(
    tmp_path: Path, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "b.json", score([1.0, 2.0, 3.0]))
    old = path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BaselineError, match="No space left"):
        saved(path, score([9.0, 9.0, 9.0]))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_never_saved(score: Score) -> None:
    with pytest.raises(NumericsError, match="case-1"):
        one_prompt(score([1.0, math.nan, 2.0]))


def test_another_fingerprint_stops_and_names_the_parts_that_differ(tmp_path: Path, score: Score) -> None:
    path = saved(tmp_path / "b.json", score([1.0, 2.0, 3.0]))
    with pytest.raises(BaselineError) as caught:
        baselines.load(path, {"tiny": {**FINGERPRINT, "torch": "2.14.0", "dtype": "float32"}})
    assert "torch was 2.13.0, now 2.14.0" in str(caught.value)
    assert "dtype was absent, now float32" in str(caught.value)
    assert "model was" not in str(caught.value)
    assert "--pmpo-save-baseline" in (caught.value.hint or "")


def test_a_model_that_is_not_in_the_file_stops(tmp_path: Path, score: Score) -> None:
    path = saved(tmp_path / "b.json", score([1.0, 2.0, 3.0]))
    with pytest.raises(BaselineError, match="no numbers of model 'other'; it holds: tiny"):
        baselines.load(path, {"other": FINGERPRINT})


def test_broken_json_is_reported_with_its_line(tmp_path: Path, score: Score) -> None:
    path = saved(tmp_path / "b.json", score([1.0, 2.0, 3.0]))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], "oops", *lines[4:]]))
    with pytest.raises(BaselineError) as caught:
        baselines.load(path)
    assert caught.value.location is not None
    assert caught.value.location.line == 5


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="cannot read the baseline"):
        baselines.load(tmp_path / "absent.json")


def poke(data: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        data = data[key]
    data[keys[-1]] = value


VALUE = ["models", "tiny", "prompts", "prompts/triage.prompt.yml", "fixtures", "case-0", "value"]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["schema"], 2),
        (["schema"], None),
        (["models"], []),
        (["models", "tiny"], "text"),
        (["models", "tiny", "fingerprint"], None),
        (VALUE, math.nan),
        (VALUE, "1.0"),
        (VALUE, True),
        (VALUE, 10**400),
        (VALUE[:-1], {}),
        ([*VALUE[:4], "metric"], {"name": "x"}),
        ([*VALUE[:4], "metric"], {"name": "x", "unit": "y", "colour": "red"}),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, score: Score, keys: list[str], value: object) -> None:
    path = saved(tmp_path / "b.json", score([1.0, 2.0, 3.0]))
    data = json.loads(path.read_bytes())
    poke(data, keys, value)
    path.write_text(json.dumps(data))
    with pytest.raises(BaselineError):
        baselines.load(path)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_baseline_at_all_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(data)
    with pytest.raises(BaselineError):
        baselines.load(path)


def test_a_paired_baseline_is_judged_like_a_scored_base(score: Score) -> None:
    fixtures = tuple(Fixture(f"case-{i}", {}, Expected("yes")) for i in range(12))
    base = score([1.0 + 0.01 * i for i in range(12)])
    head = score([1.2 + 0.012 * i for i in range(12)])
    pairing = baselines.pair(head, fixtures, baselines.store(base, "t", fixtures))
    assert pairing.left_out == ()
    scored, stored = (decide(head, b, Policy(), model="tiny") for b in (base, pairing.base))
    assert (stored.status, stored.comparison) == (scored.status, scored.comparison)


def test_changed_and_new_fixtures_are_left_out_and_named(score: Score) -> None:
    stored = baselines.store(score([1.0, 2.0, 3.0]), "t", FIXTURES)
    today = (
        FIXTURES[0],
        replace(FIXTURES[1], label=Expected("no")),
        FIXTURES[2],
        Fixture("case-3", {}, Expected("yes")),
    )
    pairing = baselines.pair(score([1.0, 2.0, 3.0, 4.0]), today, stored)
    assert pairing.left_out == ("case-1", "case-3")
    assert pairing.base is not None
    assert [f.fixture_id for f in pairing.base.fixtures] == ["case-0", "case-2"]
    assert [f.fixture_id for f in pairing.head.fixtures] == ["case-0", "case-2"]


def test_no_fixture_in_common_leaves_no_base(score: Score) -> None:
    stored = baselines.store(score([1.0, 2.0, 3.0]), "t", FIXTURES)
    today = tuple(Fixture(f"other-{i}", {}, Expected("yes")) for i in range(3))
    pairing = baselines.pair(score([1.0] * 3, ids=[f.id for f in today]), today, stored)
    assert pairing.base is None
    assert len(pairing.left_out) == 3


def test_another_metric_is_refused(score: Score) -> None:
    stored = baselines.store(score([1.0, 2.0, 3.0]), "t", FIXTURES)
    accuracy = MetricInfo("response-bank", "accuracy", direction="higher")
    with pytest.raises(BaselineError, match="the baseline holds cross-entropy"):
        baselines.pair(score([1.0] * 3, metric=accuracy), FIXTURES, stored)


def test_a_fixture_digest_follows_what_is_scored_and_nothing_else() -> None:
    fixture = Fixture("a", {"x": 1, "y": "two"}, Expected("yes"))
    digest = baselines.fixture_digest
    assert digest(replace(fixture, id="b", weight=2.0, group="g", tags=("t",), split="train")) == digest(fixture)
    assert digest(replace(fixture, vars={"y": "two", "x": 1})) == digest(fixture)
    for other in (
        replace(fixture, vars={"x": "1", "y": "two"}),
        replace(fixture, label=Expected("yes", prefix=True)),
        replace(fixture, history=(Turn("user", "hi"),)),
    ):
        assert digest(other) != digest(fixture)
