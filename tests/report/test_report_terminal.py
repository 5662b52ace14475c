"""What a person sees: verdict first, short, aligned, harmless."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.report import terminal
from pytest_pmpo.report.records import Entry, Report
from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, PromptScore

Judge = Callable[..., Verdict]


def test_a_failure_begins_with_the_verdict_and_its_reason(judge: Judge) -> None:
    lines = terminal.failure(judge(0.1))
    assert lines[0] == "REGRESSED  prompts/triage.prompt.yml under tiny"
    assert lines[1].startswith("10 % worse, at least ")


def test_a_failure_shows_means_interval_five_worst_fixtures_and_what_to_do(judge: Judge) -> None:
    text = "\n".join(terminal.failure(judge(0.1)))
    assert re.search(r"mean of 12 fixtures +1\.000 +1\.101 +\+0\.101  \+10 %", text)
    assert re.search(r"95 % interval \+0\.\d+ to \+0\.\d+, \+[\d.]+ % to \+[\d.]+ % \(sign-flip, exact\)", text)
    assert [line.split()[0] for line in text.splitlines() if line.startswith("    case-")] == [
        "case-5",
        "case-2",
        "case-8",
        "case-0",
        "case-3",
    ]
    assert "What to do" in text
    assert "[[tool.pmpo.override]]" in text


def test_an_accuracy_that_falls_is_shown_as_a_fall(judge: Judge) -> None:
    metric = MetricInfo("response-bank", "accuracy", direction="higher", proxy=False, scale="absolute")
    text = "\n".join(terminal.failure(judge(-0.1, metric=metric)))
    assert re.search(r"mean of 12 fixtures +1\.000 +0\.901 +−0\.099  −9\.9 points", text)
    low, high = re.findall(r"interval (−[\d.]+) to (−[\d.]+)", text)[0]
    assert float(low.replace("−", "-")) < -0.099 < float(high.replace("−", "-"))


def test_a_broken_fixture_is_marked_though_the_mean_improved() -> None:
    def score(values: list[float]) -> PromptScore:
        rows = tuple(FixtureScore(f"case-{i}", Measurement(v, v)) for i, v in enumerate(values))
        return PromptScore("p.md", MetricInfo("cross-entropy", "nats/token"), rows)

    verdict = decide(score([0.5] * 11 + [2.5]), score([1.0] * 12), Policy(), model="tiny")
    lines = terminal.failure(verdict)
    assert any(line.startswith("    case-11") and line.endswith("broke") for line in lines)
    assert terminal.one_line(verdict).startswith("regressed: 1 fixture broke, mean 33 % better")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("shift", [0.1, 0.0, -0.1])
def test_a_failure_keeps_to_the_width_and_to_25_lines_of_80_columns(judge: Judge, width: int, shift: float) -> None:
    ids = [f"a rather long name of a fixture 日本語 {i} " + "x" * 50 for i in range(12)]
    lines = terminal.failure(judge(shift, ids=ids, prompt="prompts/" + "y" * 90), width=width)
    assert len(lines) * min(width, 80) <= 25 * 80
    assert max(cell_len(line) for line in lines) <= width


def test_a_narrow_terminal_is_told_what_to_do_to_the_end(judge: Judge) -> None:
    ids = [f"a-ticket-about-the-billing-{i:06}" for i in range(12)]
    verdict = judge(0.1, ids=ids)
    lines = terminal.failure(verdict, width=40)
    assert len(lines) > 25
    said = " ".join("\n".join(lines).split())
    assert all(advice in said for advice in verdict.advice)


def test_columns_line_up_with_wide_characters(judge: Judge) -> None:
    ids = ["plain", "日本語の質問"] + [f"case-{i}" for i in range(10)]
    lines = terminal.failure(judge(0.1, ids=ids, spread=0.1))
    heads = [line for line in lines if line.endswith("Δ") or re.search(r"[+−]\d\.\d{3}$", line)]
    assert len(heads) == 6
    assert len({cell_len(line) for line in heads}) == 1


def test_no_escape_sequence_or_invisible_character_gets_through(hostile_report: Report) -> None:
    lines = [line for e in hostile_report.entries for line in terminal.failure(e.verdict)]
    lines += terminal.summary(hostile_report, 1)
    assert lines
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b\u202e]", "".join(lines))


def test_one_line_holds_status_size_and_means(judge: Judge, new: Verdict) -> None:
    assert terminal.one_line(judge(0.1)) == "regressed: 10 % worse, 1.000 → 1.101 nats/token"
    assert terminal.one_line(judge(-0.1)) == "improved: 9.9 % better, 1.000 → 0.901 nats/token"
    assert terminal.one_line(new) == "new: 1.500 nats/token"


def test_a_name_that_would_be_cut_has_a_line_of_its_own(judge: Judge) -> None:
    verdict = judge(0.1, prompt="prompts/customers/letters.prompt.yml")
    narrow = terminal.summary(Report(entries=(Entry(verdict, verdict.prompt),)), width=44)
    assert "      prompts/customers/letters.prompt.yml" in narrow
    assert any(line == "  regressed    10 % worse" for line in narrow)
    wide = terminal.summary(Report(entries=(Entry(verdict, verdict.prompt),)), width=80)
    assert "  regressed    10 % worse  prompts/customers/letters.prompt.yml" in wide


def test_the_summary_lists_what_needs_a_look_and_counts_the_rest(report: Report) -> None:
    lines = terminal.summary(report, width=120)
    assert lines[0].startswith(
        "pmpo: 7 verdicts: 2 regressed, 1 inconclusive, 1 new, 1 improved, 1 passed, 1 unchanged"
    )
    kinds = [line.split()[0] for line in lines[1:] if not line.startswith(" " * 15)]
    assert kinds[:6] == ["error", "regressed", "regressed", "inconclusive", "new", "improved"]
    under = lines[next(i for i, line in enumerate(lines) if line.startswith("  inconclusive")) + 1]
    assert "somewhere between" in under, "what is undecided says what it would take"
    assert not any("prompts/same.md" in line or "prompts/fine.md" in line for line in lines)
    assert any("undefined variable 'nmae'" in line for line in lines)
    assert "  1,234 tokens in 2.5 s; 56 token losses from the cache" in lines
    assert lines[-1] == "  cross-entropy is a proxy for accuracy"


def test_verbose_lists_every_verdict_and_quiet_only_counts(report: Report) -> None:
    verbose, quiet = terminal.summary(report, 1, width=120), terminal.summary(report, -1, width=120)
    assert any("prompts/same.md" in line for line in verbose)
    assert len(quiet) <= 2


def test_a_long_list_is_cut_and_counted(report: Report) -> None:
    many = replace(report, troubles=(), entries=report.entries[:1] * 30)
    assert "  … 20 more; -v shows all" in terminal.summary(many)
    assert sum("prompts/better.md" in line for line in terminal.summary(many, 1)) == 30


def test_models_are_named_only_where_several_judged(report: Report, judge: Judge) -> None:
    assert not any("[tiny]" in line for line in terminal.summary(report))
    other = replace(report.entries[0], verdict=judge(0.1, model="large"))
    both = terminal.summary(replace(report, entries=(*report.entries, other)))
    assert any("[large]" in line for line in both)


def test_a_session_without_prompts_says_nothing() -> None:
    assert terminal.summary(Report()) == []


def test_every_status_has_a_style(report: Report) -> None:
    assert {e.verdict.status for e in report.entries} == set(terminal.STYLES)
