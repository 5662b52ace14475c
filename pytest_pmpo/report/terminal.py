"""What a person sees in the terminal: one line per verdict, a table for a failure, a short summary of the session.

Lines are plain text; ``STYLES`` names the colour of a status for pytest's terminal writer. Everything that comes from
prompts and fixtures passes ``text.plain``, so that no escape sequence reaches the terminal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pytest_pmpo.gate.blocking import note
from pytest_pmpo.gate.records import Comparison, FixtureDelta, Status, Verdict
from pytest_pmpo.gate.wording import Wording
from pytest_pmpo.report.records import Entry, Report
from pytest_pmpo.report.text import (
    change,
    count,
    form_words,
    headline,
    interval,
    mean_words,
    number,
    plain,
    share,
    size_words,
    toward_head,
    work,
)

STYLES: Mapping[Status, str] = {
    "regressed": "red",
    "inconclusive": "yellow",
    "new": "cyan",
    "improved": "green",
    "passed": "green",
    "unchanged": "light",
}
"""Colour of a status, as pytest's terminal writer names it."""

MOST_LINES = 25
"""Of 80 columns."""
_WORST = 5
_LISTED = 10


def one_line(verdict: Verdict) -> str:
    """``regressed: 6.3 % worse, 2.214 → 2.353 nats/token``."""
    unit = plain(verdict.metric.unit)
    c = verdict.comparison
    if c is None:
        return f"{verdict.status}: {number(verdict.head_mean)} {unit}"
    broken = sum(f.broken for f in verdict.fixtures)
    what = f"{count(broken, 'fixture')} broke, mean {mean_words(verdict)}" if broken else mean_words(verdict)
    return f"{verdict.status}: {what}, {number(c.base_mean)} → {number(c.head_mean)} {unit}"


def failure(verdict: Verdict, *, width: int = 80) -> list[str]:
    """The whole case in at most 25 lines: verdict, reason, means and interval, worst fixtures, what to do.

    A terminal of fewer than 80 columns gets more lines: what to do comes last, and must not be what is cut.
    """
    width = max(width, 40)
    title = f"{verdict.status.upper()}  {plain(verdict.prompt)} under {plain(verdict.model)}"
    lines = [_cut(title, width), *_wrapped(f"{verdict.reason}.", width)]
    if verdict.comparison is not None:
        lines += ["", *_table(verdict, verdict.comparison, width)]
    if form := form_words(verdict):
        lines += _wrapped(form, width, "  ", "  ")
    advice = [line for entry in verdict.advice for line in _wrapped(entry, width, "  - ", "    ")]
    if advice:
        lines += ["", "What to do", *advice]
    most = MOST_LINES * max(80, width) // width
    return lines if len(lines) <= most else [*lines[: most - 1], "  …"]


def summary(report: Report, verbosity: int = 0, *, width: int = 80) -> list[str]:
    """A few lines on the session; none where no prompt was judged.

    ``verbosity`` is pytest's: below 0 the count alone, at 0 what is not unchanged or passed (or passed
    without some of its fixtures), above 0 every verdict.
    """
    if not report.entries and not report.troubles:
        return []
    lines = _wrapped(f"pmpo: {headline(report)}", width, "", "      ")
    if verbosity < 0:
        return lines
    quiet = {"unchanged", "passed"}
    shown = [e for e in report.ranked() if verbosity > 0 or e.verdict.status not in quiet or e.verdict.uncounted]
    rows = [("error", "", f"{plain(t.prompt)}: {plain(t.message)}", "") for t in report.troubles]
    rows += [(e.verdict.status, _size(e.verdict), _name(e, report), _beside(e, report)) for e in shown]
    listed = rows if verbosity > 0 else rows[:_LISTED]
    room = max((_cells(size) for _, size, _, _ in listed), default=0)
    for status, size, name, beside in listed:
        lines += _row(status, _fitted(size, room + 1), name, width)
        lines += _wrapped(beside, width, " " * 15, " " * 15) if beside else []
    for entry in report.entries:
        lines += _wrapped(f"{entry.verdict.prompt}: {entry.spent}", width, "  ", "    ") if entry.spent else []
    if len(listed) < len(rows):
        lines.append(f"  … {len(rows) - len(listed)} more; -v shows all")
    return [*lines, *_closing(report, width)]


def _row(status: str, size: str, name: str, width: int) -> list[str]:
    """Status, size and name; the name on a line of its own where it would be cut."""
    row = f"  {status:<13}{size} {name}"
    if _cells(row) <= width or not size.strip():
        return [_cut(row, width)]
    return [_cut(f"  {status:<13}{size}".rstrip(), width), _cut(f"      {name}", width)]


def _size(verdict: Verdict) -> str:
    return size_words(verdict) or f"{number(verdict.head_mean)} {plain(verdict.metric.unit, 16)}"


def _name(entry: Entry, report: Report) -> str:
    """The prompt, with its model where several judged."""
    alone = len({e.verdict.model for e in report.entries}) == 1
    return plain(entry.verdict.prompt) if alone else f"{plain(entry.verdict.prompt)} [{plain(entry.verdict.model)}]"


def _beside(entry: Entry, report: Report) -> str:
    """What belongs under a verdict that passed; a failure has its own table, and so has one that informs only."""
    verdict = entry.verdict
    if verdict.failed or verdict.informs:
        return note(verdict)
    if verdict.status == "new":  # where there is no base at all, the header has said why, once
        return "" if report.info.base is None else verdict.reason
    uncounted = Wording.not_counted(verdict.uncounted) if verdict.uncounted else ""
    # the reason, which names them too, is told of an undecided one alone
    parts = [_undecided(verdict) if verdict.status == "inconclusive" else uncounted, form_words(verdict)]
    return "; ".join(part for part in parts if part)


def _undecided(verdict: Verdict) -> str:
    """Why nothing was decided, without what the line above says already and what is said once at the end."""
    reason = verdict.reason.removesuffix(f"; {verdict.metric.name} is a proxy for accuracy")
    return reason.removeprefix(f"{mean_words(verdict)} on average, ").removeprefix("but ")


def _closing(report: Report, width: int) -> list[str]:
    """What it cost; and, once per session, that a number that was compared only stands in for accuracy."""
    info = report.info
    lines = [f"  {work(info)}"] if info.tokens or info.cached_tokens else []
    metrics = {e.verdict.metric.name for e in report.entries if e.verdict.comparison and e.verdict.metric.proxy}
    if metrics:
        proxies = f"{', '.join(sorted(metrics))} {'is a proxy' if len(metrics) == 1 else 'are proxies'} for accuracy"
        lines += _wrapped(proxies, width, "  ", "  ")
    if info.validity:
        lines += _wrapped(f"measured here: {info.validity}", width, "  ", "  ")
    return lines


def _table(verdict: Verdict, c: Comparison, width: int) -> list[str]:
    """Mean and worst fixtures in the same columns, and the interval of the mean."""
    worst = [f for f in verdict.fixtures if f.broken or f.delta > 0][:_WORST]
    drawn = count(c.n, "fixture") if c.n == c.clusters else f"{c.n} fixtures in {count(c.clusters, 'group')}"
    mean = f"mean of {drawn}"
    labels = [mean, *(f"  {plain(f.fixture_id)}" for f in worst)]
    room = max(8, min(max(map(_cells, labels)) + 1, width - 2 - 27 - 10))
    delta = toward_head(verdict, c.delta)
    low, high = interval(verdict)
    ends = f"{change(low)} to {change(high)}"
    if abs(low) != math.inf and abs(high) != math.inf:
        ends += f", {share(verdict, low)} to {share(verdict, high)}"
    lines = [
        f"  {_fitted(plain(verdict.metric.unit), room)}{'base':>9}{'head':>9}{'Δ':>9}",
        f"  {_numbers(mean, c.base_mean, c.head_mean, delta, room)}  {share(verdict, delta)}",
        *_wrapped(f"95 % interval {ends} ({c.method})", width, "  ", "  "),
        f"  worst of {c.n}:" if worst else "  no fixture got worse",
    ]
    return [_cut(line, width) for line in (*lines, *(f"  {_fixture_row(verdict, f, room)}" for f in worst))]


def _fixture_row(verdict: Verdict, fixture: FixtureDelta, room: int) -> str:
    delta = toward_head(verdict, fixture.delta)
    row = _numbers(f"  {plain(fixture.fixture_id)}", fixture.base.value, fixture.head.value, delta, room)
    return f"{row}  broke" if fixture.broken else row


def _numbers(label: str, base: float, head: float, delta: float, room: int) -> str:
    return f"{_fitted(label, room)}{number(base):>9}{number(head):>9}{change(delta):>9}"


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most ``width`` columns; ``textwrap`` counts characters, and some take two columns."""
    lines, line = [], first
    for word in plain(text).split(" "):
        if line not in (first, rest) and _cells(line) + 1 + _cells(word) > width:
            lines.append(line)
            line = rest
        line += word if line in (first, rest) else f" {word}"
    return [_cut(whole, width) for whole in (*lines, line)]


def _cells(text: str) -> int:
    from rich.cells import cell_len  # wide characters take two columns

    return cell_len(text)


def _fitted(text: str, room: int) -> str:
    """Cut or padded to ``room`` columns, the last of them empty."""
    cut = _cut(text, room - 1)
    return cut + " " * (room - _cells(cut))


def _cut(text: str, room: int) -> str:
    from rich.cells import set_cell_size

    return text if _cells(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"
