"""The scoring benchmark compares ways that give the same losses, on sequences that share what real ones share."""

from __future__ import annotations

import re
import sys

import pytest

pytest.importorskip("transformers", reason="the model libraries are not installed")

from benchmarks.scoring import __main__ as benchmark
from benchmarks.scoring import job, models
from pytest_pmpo.scoring.records import distinct_tokens


def test_variants_of_a_prompt_share_what_comes_before_the_change() -> None:
    variants = job.VARIANTS.with_fixtures(2).sequences(1000)
    together = [sequence for rows in variants for sequence in rows]
    assert len(variants) == 17
    assert distinct_tokens(together) < sum(map(distinct_tokens, variants)) < job.in_full(together)


def test_twice_the_fixtures_add_no_prefix() -> None:
    once, twice = (job.LONG.with_fixtures(n).sequences(1000) for n in (8, 16))
    assert distinct_tokens(twice) - distinct_tokens(once) < 8 * 110


@pytest.mark.parametrize(("name", "rows"), [("cpu", 5), ("long", 4), ("variants", 3)])
def test_every_job_prints_a_table_whose_ways_agree(
    name: str, rows: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"vocab_size": 97, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1}
    monkeypatch.setitem(models.SHAPES, "small", {**models.SHAPES["smollm2-135m"], **small, "num_attention_heads": 3})
    monkeypatch.setattr(
        sys, "argv", ["scoring", "--model", "small", "--job", name, "--fixtures", "1", "--repeats", "1"]
    )
    assert benchmark.main() == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 2 + rows
    differences = [float(d) for d in re.findall(r"(\d\.\de[-+]\d\d) \|$", "\n".join(table), re.MULTILINE)]
    assert all(difference < 1e-5 for difference in differences)
    assert name == "long" or differences
