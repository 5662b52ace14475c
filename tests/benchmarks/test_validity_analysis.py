"""The analysis of the validity benchmark: on made-up runs with a known truth, and on the older data."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.validity import analyse, estimators, judging, picture, records, tables, tasks, topped, variants

RESEARCH = Path(__file__).parents[2].parent / "shared" / "research" / "validity"
DATA = Path(__file__).parents[2].parent / "shared" / "data"
CHANCES = {"direct0": 0.3, "direct1": 0.3, "direct2": 0.6, "steps0": 0.5, "steps1": 0.5, "none": 0.4}
PROPOSALS = ("direct0", "steps0", "none")


def made(items: int = 150, draws: int = 4, seed: int = 0) -> records.TaskRun:
    """A run of a model that answers right with a known chance, in one of two words."""
    rng = np.random.default_rng(seed)
    names = tuple(CHANCES)
    chance = np.array([CHANCES[name] for name in names])
    item = np.repeat(np.arange(items), draws * len(PROPOSALS))
    source = np.tile(np.repeat(PROPOSALS, draws), items)
    grade = (rng.random(len(item)) < np.array([CHANCES[s] for s in source])).astype(float)
    log_p = np.log(np.where(grade[None] > 0, chance[:, None], 1 - chance[:, None]))
    extra_source = np.tile(["direct1", "direct2"], items)
    extra_grade = (rng.random(len(extra_source)) < np.array([CHANCES[s] for s in extra_source])).astype(float)
    extra = records.Extra(
        np.repeat(np.arange(items), 2),
        extra_grade,
        tuple(extra_source),
        {n: np.log(np.where(extra_grade > 0, CHANCES[n], 1 - CHANCES[n])) for n in names},
    )
    gold = np.stack([np.tile([math.log(c), math.log(c) - 1, 1.0], (items, 1)) for c in chance])
    return records.TaskRun(
        "made",
        names,
        tuple(map(variants.family, names)),
        tuple(n.endswith("0") for n in names),
        (rng.random((len(names), items)) < chance[:, None]).astype(float),
        (rng.random((len(names), items, 8)) < chance[:, None, None]).astype(float),
        item,
        tuple(source),
        grade,
        np.ones(len(item), dtype=np.int64),
        log_p,
        dict(zip(names, log_p, strict=True)),
        {"gold": gold},
        {"device": "none", "model": "made", "samples": 8, "seconds": {"sample": 9.0, "score": 1.0}}
        | {"tokens": {"decoded sampled": 80, "decoded greedy": 10, "decoded bank": 10, "scored per prompt": 50}},
        {"direct": extra, "steps": replace(extra, drawn_from=tuple("steps1" for _ in extra_source))},
    )


def test_the_vectorised_estimator_is_the_one_that_is_shipped() -> None:
    bank = records.subset(made(items=30), PROPOSALS, 3)
    assert np.abs(estimators.self_normalised(bank) - estimators.product(bank)).max() < 1e-12


@pytest.mark.parametrize("name", [n for n in estimators.CANDIDATES if n.split()[0] not in ("tempered", "truncated")])
def test_every_candidate_is_about_right_where_the_bank_covers_the_prompt(name: str) -> None:
    run = made(items=1000, draws=8)
    values = estimators.CANDIDATES[name](records.subset(run, PROPOSALS, 8)).mean(1)
    assert values == pytest.approx(np.array(list(CHANCES.values())), abs=0.05)


def test_a_prompt_the_bank_was_drawn_from_is_covered() -> None:
    reach = estimators.coverage(records.subset(made(items=2000), PROPOSALS, 4), 10.0)
    assert reach == pytest.approx(1.0, abs=0.05)


def test_a_bank_of_one_proposal_gives_that_proposal_its_own_mean() -> None:
    run = made()
    bank = records.subset(run, ("direct0",), 2, skip=2)
    mine = np.bincount(bank.item, bank.grade, run.n) / 2
    assert estimators.self_normalised(bank)[0] == pytest.approx(mine)


def test_true_values_are_judged_right_and_their_opposites_wrong() -> None:
    run = made(items=400)
    truth = judging.sampled_truth(run)
    assert truth is not None
    assert run.sampled is not None
    tally = judging.judge(truth, run.sampled.mean(2))["near"]
    assert (tally.differ, tally.right, tally.decided, tally.wrong) == (2, 2, 2, 0)
    opposite = judging.judge(truth, -run.sampled.mean(2))["near"]
    assert opposite.wrong == opposite.decided == 2


def test_the_bank_points_the_right_way_and_abstains_where_told() -> None:
    run = made(items=400)
    truth = judging.sampled_truth(run)
    assert truth is not None
    values = estimators.self_normalised(records.subset(run, PROPOSALS, 4))
    assert judging.judge(truth, values)["near"].rates()[:3] == (100, 100, 0)
    nowhere = judging.judge(truth, values, np.zeros(len(run.prompts), bool))["near"]
    assert (nowhere.right, nowhere.decided, nowhere.alarms) == (2, 0, 0)
    assert judging.judge(truth, values, tolerance=0.5)["near"].decided == 0


def test_the_prompt_without_instruction_is_no_part_of_a_pair() -> None:
    truth = judging.greedy_truth(made())
    assert len(truth.pairs) == math.comb(5, 2)
    assert truth.near.sum() == 3 + 1


def test_a_top_up_uses_own_responses_of_both_versions() -> None:
    run = made(items=400)
    truth = judging.sampled_truth(run)
    assert truth is not None
    banks = topped.topped_up_banks(run, truth, ("steps0",), 1)
    tally = topped.judge_banks(truth, banks)
    assert tally.wrong == 0
    assert tally.right == tally.differ == 2
    assert topped.judge_by_rule(truth, banks).wrong == 0


def test_rates_of_nothing_are_no_numbers() -> None:
    assert all(math.isnan(rate) for rate in judging.Tally().rates())
    assert judging.total([judging.Tally(2, 1, 1, 0, 4, 1)] * 2).rates() == (50, 50, 0, 25)


def test_every_table_can_be_made() -> None:
    text = "\n".join(analyse.report([made(seed=seed) for seed in range(3)]))
    for title in (
        "Metrics against",
        "Estimators against",
        "Growth",
        "Near pairs after a top-up",
        "Calibration",
        "Cost",
    ):
        assert title in text
    assert "| response bank | " in text


@pytest.mark.skipif(not RESEARCH.exists(), reason="the older data is not beside the repository")
@pytest.mark.parametrize(
    ("file", "proposals", "k", "near", "far"),
    [
        ("bank.json", ("A0", "B0"), 3, (89, 64, 3, 28), (86, 74, 10, 49)),
        ("bank8.json", ("A0",), 8, (54, 0, None, 4), (67, 0, None, 8)),
        ("bank8.json", ("A0", "B0"), 8, (95, 58, 0, 23), (84, 70, 7, 81)),
        ("bank8.json", ("A0", "B0", "E0"), 8, (97, 64, 0, 19), (86, 69, 5, 84)),
    ],
)
def test_the_figures_first_reported_are_reproduced(
    file: str, proposals: tuple[str, ...], k: int, near: tuple[object, ...], far: tuple[object, ...]
) -> None:
    runs = records.read_old(RESEARCH / file)
    for kind, wanted in (("near", near), ("far", far)):
        tally = judging.total(
            judging.judge(judging.greedy_truth(run), estimators.self_normalised(records.subset(run, proposals, k)))[
                kind
            ]
            for run in runs
        )
        rates = [None if math.isnan(rate) else round(rate) for rate in tally.rates()]
        assert rates == list(wanted)


@pytest.mark.skipif(not RESEARCH.exists(), reason="the older data is not beside the repository")
def test_cross_entropy_figures_first_reported_are_reproduced() -> None:
    runs = records.read_old(RESEARCH / "bank.json")
    found = {}
    for name in ("cross-entropy of the label", "cross-entropy, end-of-turn token scored"):
        of = estimators.LABEL_METRICS[name]
        tally = judging.total(judging.judge(judging.greedy_truth(run), np.asarray(of(run)))["near"] for run in runs)
        found[name] = [round(rate) for rate in tally.rates()]
    assert list(found.values()) == [[79, 98, 22, 96], [68, 100, 32, 94]]


@pytest.mark.skipif(not DATA.exists(), reason="the task data is not beside the repository")
@pytest.mark.parametrize("name", tasks.FORMS)
def test_the_right_answer_of_every_item_is_graded_right(name: str) -> None:
    task = tasks.load(name, DATA, 40)
    for i, item in enumerate(task.items):
        assert task.grade(i, f"Some thoughts. The answer is {item.gold}.") == 1
        assert task.grade(i, f'{{"reason": "so", "answer": "{item.gold}"}}') == 1
        assert not item.options or item.gold in item.options


def test_prompts_differ_and_carry_the_form() -> None:
    named = variants.prompts("a number")
    assert len(named) == len(set(named.values())) == 33
    assert all("a number" in text for text in named.values() if text is not None)


def test_tables_show_intervals_from_three_tasks_on() -> None:
    two = tables.metrics([made(seed=s) for s in range(2)], PROPOSALS, 4, "sampled")
    three = tables.metrics([made(seed=s) for s in range(3)], PROPOSALS, 4, "sampled")
    assert "<sub>" not in two
    assert "<sub>" in three


def test_the_picture_is_well_formed_and_says_what_it_shows() -> None:
    run = made(items=400)
    truth = judging.sampled_truth(run)
    assert truth is not None
    values = estimators.self_normalised(records.subset(run, PROPOSALS, 4))
    root = ElementTree.fromstring(picture.draw([("Bank", *picture.points(run, truth, values))], "sampled"))
    texts = [element.text for element in root.iter() if element.text]
    assert "100 % of 2 pairs that differ (blue) point the right way" in texts
    assert len([e for e in root.iter() if e.tag.endswith("circle")]) == truth.near.sum()


def test_the_first_answers_of_an_item_are_a_random_sample_of_all_though_short_ones_ended_first(tmp_path: Path) -> None:
    items, answers = 400, 4
    bank = [[i, "none", int(n < answers / 2), 1, 1, 0] for i in range(items) for n in range(answers)]
    raw = {"task": "made", "prompts": ["none"], "bank": bank, "logprob": {"none": [-1.0]}}
    raw |= {
        "greedy": {"none": [1] * items},
        "sampled": {"none": ["1100"] * items},
        "gold": {"none": [[0, 0, 1]] * items},
    }
    file = tmp_path / "made.json.gz"
    file.write_bytes(gzip.compress(json.dumps(raw).encode()))
    run = records.read_run(file)
    assert run.sampled is not None
    assert run.sampled[:, :, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert estimators.self_normalised(records.subset(run, ("none",), 1)).mean() == pytest.approx(0.5, abs=0.1)
