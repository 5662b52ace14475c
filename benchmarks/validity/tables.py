"""The tables of the report, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from benchmarks.validity.estimators import (
    BANK_METRICS,
    CANDIDATES,
    LABEL_METRICS,
    coverage,
    jackknife_bias,
    self_normalised,
    surely_covered,
)
from benchmarks.validity.judging import (
    KINDS,
    Tally,
    Truth,
    greedy_truth,
    judge,
    over_tasks,
    p_values,
    sampled_truth,
    total,
)
from benchmarks.validity.records import Floats, Subset, TaskRun, subset
from benchmarks.validity.topped import judge_banks, judge_by_rule, topped_up_banks
from pytest_pmpo.scoring.metrics.response_bank import MIN_COVERAGE, WEIGHT_LIMIT

BOUNDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
TOLERANCES = (0.0, 0.01, 0.02)
RULE = f"response bank, the gate's rule: covered to {MIN_COVERAGE:g}, interval wider by the bias"
PerTask = list[dict[str, Tally]]


def metrics(runs: Sequence[TaskRun], proposals: Sequence[str], k: int, truth: str) -> str:
    """Every metric, and the bank with its coverage bound and the gate's tolerance."""
    truths, banks = [truth_by(run, truth) for run in runs], [subset(run, proposals, k) for run in runs]
    rows = []
    for name, of in LABEL_METRICS.items():
        kept = [(t, values) for t, run in zip(truths, runs, strict=True) if (values := of(run)) is not None]
        if kept:
            note = "" if len(kept) == len(runs) else f" ({len(kept)} tasks)"
            rows.append((name + note, [judge(t, values) for t, values in kept]))
    for name, estimate in BANK_METRICS.items():
        rows.append((name, [judge(t, estimate(bank)) for t, bank in zip(truths, banks, strict=True)]))
    for tolerance in TOLERANCES:
        label = RULE + (f", tolerance {tolerance:g}" if tolerance else "")
        rows.append((label, [_by_rule(t, bank, tolerance) for t, bank in zip(truths, banks, strict=True)]))
    return _table(f"Metrics against graded {truth} answers", "metric", rows)


def _by_rule(truth: Truth, bank: Subset, tolerance: float = 0.0) -> dict[str, Tally]:
    covered = surely_covered(bank, WEIGHT_LIMIT) >= MIN_COVERAGE
    return judge(truth, self_normalised(bank), covered, tolerance, jackknife_bias(bank))


def candidates(runs: Sequence[TaskRun], proposals: Sequence[str], k: int, truth: str) -> str:
    """Every estimator tried."""
    truths, banks = [truth_by(run, truth) for run in runs], [subset(run, proposals, k) for run in runs]
    rows = [
        (name, [judge(t, estimate(bank)) for t, bank in zip(truths, banks, strict=True)])
        for name, estimate in CANDIDATES.items()
    ]
    return _table(f"Estimators against graded {truth} answers (no coverage bound)", "estimator", rows)


def coverage_bounds(runs: Sequence[TaskRun], proposals: Sequence[str], k: int, truth: str) -> str:
    """What abstaining below a bound costs and saves."""
    truths, banks = [truth_by(run, truth) for run in runs], [subset(run, proposals, k) for run in runs]
    values, reach = [self_normalised(b) for b in banks], [surely_covered(b, WEIGHT_LIMIT) for b in banks]
    rows = [
        (f"{bound:g}", [judge(t, v, c >= bound) for t, v, c in zip(truths, values, reach, strict=True)])
        for bound in BOUNDS
    ]
    return _table(f"Bound on the coverage less its standard error, against graded {truth} answers", "bound", rows)


def growth(runs: Sequence[TaskRun], sets: Sequence[Sequence[str]], most: int, truth: str) -> str:
    """More responses, more proposals: the mean over all disjoint draws."""
    truths = [truth_by(run, truth) for run in runs]
    rows = []
    for proposals in sets:
        for k in [k for k in (1, 2, 4, 8, 16) if k <= most]:
            per_task: PerTask = []
            for t, run in zip(truths, runs, strict=True):
                draws = [
                    judge(t, self_normalised(subset(run, proposals, k, skip))) for skip in range(0, most - k + 1, k)
                ]
                per_task.append({kind: total(draw[kind] for draw in draws) for kind in KINDS})
            rows.append((f"{', '.join(proposals)} × {k}", per_task))
    return _table(f"Growth, against graded {truth} answers", "proposals × responses per item", rows)


def chosen_across_tasks(runs: Sequence[TaskRun], proposals: Sequence[str], k: int) -> str:
    """The estimator best on all other tasks, judged on the one left out: does choosing help?"""
    truths, banks = [truth_by(run, "sampled") for run in runs], [subset(run, proposals, k) for run in runs]
    judged = {
        name: [judge(t, estimate(bank)) for t, bank in zip(truths, banks, strict=True)]
        for name, estimate in CANDIDATES.items()
    }
    lines, kept = [], []
    for left_out, run in enumerate(runs):
        rest = {name: [j for i, j in enumerate(js) if i != left_out] for name, js in judged.items()}
        best = max(rest, key=lambda name: _merit(rest[name]))
        kept.append(judged[best][left_out])
        lines.append(f"- {run.name}: {best}")
    rows = [("chosen on the other tasks", kept), ("self-normalised throughout", judged["self-normalised"])]
    return "\n".join([_table("Choice across tasks, sampled truth", "estimator", rows), "", *lines])


def calibration(runs: Sequence[TaskRun], proposals: Sequence[str], k: int) -> str:
    """Estimated against sampled accuracy, by prompt, for prompts in and out of the bank and by coverage."""
    out = [
        "### Calibration of the estimated accuracy",
        "",
        "| prompts | number | bias | root mean square error | of which sampling noise of the truth |",
        "|---|---|---|---|---|",
    ]
    rows: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        bank = subset(run, proposals, k)
        assert run.sampled is not None
        errors = self_normalised(bank).mean(1) - run.sampled.mean((1, 2))
        noise = run.sampled.var(2, ddof=1).sum(1) / run.sampled.shape[2] / run.n**2
        reach = coverage(bank, WEIGHT_LIMIT)
        for name, error, variance, c in zip(run.prompts, errors, noise, reach, strict=True):
            group = "in the bank" if name in proposals else f"coverage {'≥' if c >= 0.8 else '<'} 0.8"
            rows.setdefault(group, []).append((float(error), float(variance)))
    for group, values in sorted(rows.items()):
        e, v = np.array(values).T
        out.append(f"| {group} | {len(e)} | {e.mean():+.3f} | {np.sqrt((e**2).mean()):.3f} | {np.sqrt(v.mean()):.3f} |")
    return "\n".join(out)


def alarms(runs: Sequence[TaskRun], proposals: Sequence[str], k: int) -> str:
    """Are alarms false? What the samples say of pairs the samples call equal and the bank calls different.

    ``agree``: the sampled difference has the sign of the alarm (50 % by chance). ``refuted``: it differs significantly
    from the estimated one (5 % of all pairs by chance, where the estimate has no error).
    """
    out = [
        "### Alarms looked at again, by the sampled difference",
        "",
        "| estimator | pairs | alarms | sign agrees | refuted | mean estimated | mean sampled |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, estimate in (("self-normalised, covered", self_normalised), *CANDIDATES.items()):
        for kind in KINDS:
            cells = [_alarm(run, subset(run, proposals, k), estimate, kind, "covered" in name) for run in runs]
            agree, refuted, estimated, sampled = np.concatenate(cells, 1)
            if len(agree):
                out.append(
                    f"| {name} | {kind} | {len(agree)} | {100 * agree.mean():.0f} % | {100 * refuted.mean():.0f} % "
                    f"| {estimated.mean():.3f} | {sampled.mean():.3f} |"
                )
    return "\n".join(out)


def fresh_samples(runs: Sequence[TaskRun], proposals: Sequence[str], k: int) -> str:
    """What sampling and grading every version anew would decide, against the samples it did not use."""
    assert runs[0].sampled is not None
    half = runs[0].sampled.shape[2] // 2
    truths = [_known(sampled_truth(run, slice(half, None))) for run in runs]
    rows = []
    for n in [n for n in (1, 2, 4, 8) if n <= half]:
        per_task = [judge(t, _sampled(run)[:, :, :n].mean(2)) for t, run in zip(truths, runs, strict=True)]
        rows.append((f"{n} fresh samples per item and version", per_task))
    rows.append(("one fresh greedy answer", [judge(t, run.greedy) for t, run in zip(truths, runs, strict=True)]))
    banks = [subset(run, proposals, k) for run in runs]
    rows.append(("response bank", [judge(t, self_normalised(b)) for t, b in zip(truths, banks, strict=True)]))
    rows.append((RULE, [_by_rule(t, b) for t, b in zip(truths, banks, strict=True)]))
    table = _table(f"Against sampling anew; truth: the other {half} samples", "way to tell", rows)
    if not all(run.extra for run in runs):
        return table
    topped = [topped_up_banks(run, t, proposals, k) for run, t in zip(runs, truths, strict=True)]
    plain = _cell([judge_banks(t, banks) for t, banks in zip(truths, topped, strict=True)])
    by_rule = _cell([judge_by_rule(t, banks) for t, banks in zip(truths, topped, strict=True)])
    what = "Response bank, topped up with an answer per item of each version, near pairs"
    return f"{table}\n\n{what}: {plain}; by the gate's rule: {by_rule}"


def topped_up(runs: Sequence[TaskRun], proposals: Sequence[str], k: int, truth: str) -> str:
    """Near pairs, with the top-up responses of both versions added to the bank."""
    truths = [truth_by(run, truth) for run in runs]
    banks = [topped_up_banks(run, t, proposals, k) for run, t in zip(runs, truths, strict=True)]
    lines = [
        f"### Near pairs after a top-up, against graded {truth} answers",
        "",
        "| tolerance | right / decided / wrong / alarms, % | by the gate's rule |",
        "|---|---|---|",
    ]
    for tolerance in TOLERANCES:
        plain = _cell([judge_banks(t, some, tolerance) for t, some in zip(truths, banks, strict=True)])
        by_rule = _cell([judge_by_rule(t, some, tolerance) for t, some in zip(truths, banks, strict=True)])
        lines.append(f"| {tolerance:g} | {plain} | {by_rule} |")
    return "\n".join(lines)


def truth_by(run: TaskRun, name: str) -> Truth:
    """Greedy or sampled."""
    return greedy_truth(run) if name == "greedy" else _known(sampled_truth(run))


def _alarm(run: TaskRun, bank: Subset, estimate: Callable[[Subset], Floats], kind: str, bound: bool) -> Floats:
    truth, values = truth_by(run, "sampled"), estimate(bank)
    d = values[truth.pairs[:, 1]] - values[truth.pairs[:, 0]]
    rates = _sampled(run).mean(2)
    ds = rates[truth.pairs[:, 1]] - rates[truth.pairs[:, 0]]
    on = (p_values(d) < 0.05) & ~truth.differs & (truth.near == (kind == "near"))
    if bound:
        on &= (surely_covered(bank, WEIGHT_LIMIT) >= MIN_COVERAGE)[truth.pairs].all(1)
    sign = np.sign(d.mean(1))
    rows = (sign == np.sign(ds.mean(1)), p_values(d - ds) < 0.05, np.abs(d.mean(1)), sign * ds.mean(1))
    return np.array([row[on] for row in rows], float)


def _merit(per_task: PerTask) -> float:
    """One number to choose by, near pairs: decided rightly less three times decided wrongly less alarms, in shares."""
    tally = total(task["near"] for task in per_task)
    right = (tally.decided - tally.wrong) / max(tally.differ, 1)
    return right - 3 * tally.wrong / max(tally.differ, 1) - tally.alarms / max(tally.equal, 1)


def _table(title: str, first: str, rows: Iterable[tuple[str, PerTask]]) -> str:
    lines = [f"### {title}", "", f"| {first} | near | far |", "|---|---|---|"]
    for name, per_task in rows:
        lines.append(f"| {name} | {' | '.join(_cell([task[kind] for task in per_task]) for kind in KINDS)} |")
    near, far = (total(task[kind] for task in per_task) for kind in KINDS)
    lines += [
        "",
        f"Pairs that differ: {near.differ} near, {far.differ} far; equal: {near.equal}, {far.equal}.",
    ]
    return "\n".join(lines)


def _cell(tallies: Sequence[Tally]) -> str:
    rates = " / ".join(_number(rate) for rate in total(tallies).rates())
    if len(tallies) < 3:
        return rates
    spans = " / ".join(f"{_number(low)}–{_number(high)}" for low, high in over_tasks(tallies))
    return f"{rates}<br><sub>{spans}</sub>"


def _number(rate: float) -> str:
    return "–" if np.isnan(rate) else f"{rate:.0f}"


def _sampled(run: TaskRun) -> Floats:
    assert run.sampled is not None
    return run.sampled


def _known(truth: Truth | None) -> Truth:
    assert truth is not None
    return truth
