"""A run as GitHub Markdown: the pull request's comment and the step summary.

Text from prompts, fixtures and models is hostile: it may hold mentions, closing keywords ("fixes #1"), image beacons,
fences, pipes or HTML. None of it is ever put into prose. It stands in code spans and fenced blocks only, whose fences
are longer than any run of backticks inside, and where GitHub neither links, notifies, closes nor loads anything.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from pytest_pmpo.gate.records import Status
from pytest_pmpo.report import terminal
from pytest_pmpo.report.records import Entry, Report, Trouble
from pytest_pmpo.report.text import (
    change,
    count,
    facts,
    headline,
    interval,
    number,
    plain,
    share,
    size_words,
    toward_head,
    visible_characters,
)
from pytest_pmpo.report.tokens import most_changed, moves

COMMENT_LIMIT = 65_536
"""Characters in the body of a comment; we count bytes, which are never fewer."""

_WIDTH = 100
_MOST_DIFF_LINES = 120
_MOST_ANSWERS = 3
_MOST_TOKENS = 8
_MOST_NOTES = 50
_ALERT = {"failed": "CAUTION", "open": "WARNING", "fine": "TIP"}
_MARK: dict[Status, str] = {
    "regressed": "❌",
    "inconclusive": "❔",
    "new": "🆕",
    "improved": "✅",
    "passed": "✅",
    "unchanged": "➖",
}


def render(report: Report) -> str:
    """The run as one Markdown document that fits into a comment."""
    return comment(report)


def comment(report: Report, *, limit: int = COMMENT_LIMIT) -> str:
    """The run in at most ``limit`` bytes, verdict first; what does not fit is counted.

    The first line is an invisible marker by which a later run finds the comment of this suite and replaces it.
    """
    head = [marker(report.info.suite), _alert(report)]
    tail = [_footer(report)]
    room = limit - _size([*head, *tail]) - 200  # for the line that counts what was left out
    sections = _Fitter(room)
    ranked = report.ranked()
    table = _table(report, ranked, sections)
    troubles = [s for t in report.troubles if (s := sections.fit(_trouble(t)))]
    details = [s for e in ranked if e.verdict.comparison is not None and (s := sections.fit(_details(e)))]
    notes = [s for part in _notes(report.notes) if (s := sections.fit(part))]
    left = sections.left_out
    more = [f"{count(left, 'part')} left out for length; the HTML and JSON reports hold them all."] if left else []
    return "\n\n".join([*head, *table, *troubles, *details, *notes, *more, *tail]) + "\n"


def marker(suite: str) -> str:
    """The hidden line that tells this suite's comment from all others."""
    return f"<!-- pytest-pmpo:{re.sub(r'[^A-Za-z0-9._-]', '-', suite)[:80]} -->"


def code(text: str, limit: int = 200) -> str:
    """A code span that shows ``text`` and does nothing, in a table: a bar has to be escaped there even in code."""
    return code_in_text(text, limit).replace("|", "\\|")


def code_in_text(text: str, limit: int = 200) -> str:
    """A code span that shows ``text`` and does nothing, outside tables."""
    shown = plain(text, limit) or " "
    fence = "`" * (_longest_run(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def fenced(text: str, language: str = "text") -> str:
    """A fenced block that cannot be left from inside."""
    shown = visible_characters(text.replace("\r\n", "\n").replace("\r", "\n"))
    fence = "`" * max(3, _longest_run(shown) + 1)
    return f"{fence}{language}\n{shown}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


class _Fitter:
    """Lets parts through while there is room."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.left_out = 0

    def fit(self, part: str) -> str:
        """The part, or nothing where it does not fit."""
        size = _size([part])
        if size > self._room:
            self.left_out += 1
            return ""
        self._room -= size
        return part


def _size(parts: Sequence[str]) -> int:
    return sum(len(part.encode("utf-8", "surrogatepass")) + 2 for part in parts)


def _alert(report: Report) -> str:
    kind = "failed" if report.failed else "open" if report.is_open else "fine"
    return f"> [!{_ALERT[kind]}]\n> **pmpo** {headline(report)}"


def _table(report: Report, ranked: Sequence[Entry], sections: _Fitter) -> list[str]:
    """One row per verdict that is not unchanged; the unchanged ones are in the headline."""
    several = len({entry.verdict.model for entry in ranked}) > 1
    rows = [sections.fit(_row(entry, several)) for entry in ranked if entry.verdict.status != "unchanged"]
    rows = [row for row in rows if row]
    if not rows:
        return []
    head = f"| | prompt{' and model' if several else ''} | verdict | base | head | Δ | 95 % interval |"
    return ["\n".join([head, "| --- | --- | --- | ---: | ---: | ---: | :---: |", *rows])]


def _row(entry: Entry, several: bool) -> str:
    v = entry.verdict
    name = f"{code(v.prompt)} {code(v.model)}" if several else code(v.prompt)
    if v.comparison is None:
        cells = ["", number(v.head_mean), "", ""]
    else:
        c = v.comparison
        low, high = interval(v)
        delta = f"{change(toward_head(v, c.delta))} ({share(v, toward_head(v, c.delta))})"
        cells = [number(c.base_mean), number(c.head_mean), delta, f"{change(low)} … {change(high)}"]
    words = f"{v.status}: {size_words(v)}" if size_words(v) else v.status
    words += " (informs only)" if v.informs else ""
    return f"| {_MARK[v.status]} | {name} | {words} | {' | '.join(cells)} |"


def _trouble(trouble: Trouble) -> str:
    hint = f"\nhint: {trouble.hint}" if trouble.hint else ""
    where = f"{trouble.path}:{trouble.line}"
    return f"**Could not be judged:** {code_in_text(trouble.prompt)}\n\n{fenced(f'{where}: {trouble.message}{hint}')}"


def _details(entry: Entry) -> str:
    v = entry.verdict
    parts = [
        fenced("\n".join([*terminal.failure(v, width=_WIDTH), *(["", plain(entry.spent)] if entry.spent else [])]))
    ]
    answers = list(_answers(entry))
    if answers:
        parts.append(fenced("\n".join(["answer tokens that moved most, nats base → head", *answers])))
    diff = _diff(entry)
    if diff:
        parts.append(fenced(diff, "diff"))
    # a win that may be form, or goes without some fixtures, must not look like more until somebody unfolds it
    is_open = " open" if v.failed or v.informs or v.form is not None or v.uncounted else ""
    summary = f"{_MARK[v.status]} {html_code(v.prompt)} {v.status}"
    return f"<details{is_open}><summary>{summary}</summary>\n\n" + "\n\n".join(parts) + "\n\n</details>"


def _answers(entry: Entry) -> Iterator[str]:
    """What moved inside the fixtures that changed most, a line each, where the tokens' texts are known."""
    known = [row for row in most_changed(entry.verdict, _MOST_ANSWERS) if row.fixture_id in entry.tokens]
    for row in known:
        told = moves(row.base, row.head, entry.tokens[row.fixture_id], _MOST_TOKENS)
        cells = "  ".join(f"⟨{move.text}⟩ {move.base:.2f} → {move.head:.2f}" for move in told)
        if cells:
            yield f"{plain(row.fixture_id, 60)}: {cells}"


def _notes(notes: Sequence[str]) -> Iterator[str]:
    """What was read and could not be scored or used, folded; nothing where there is nothing of the kind."""
    if not notes:
        return
    lines = [plain(note, 300) for note in notes[:_MOST_NOTES]]
    lines += [f"… {len(notes) - _MOST_NOTES} more"] if len(notes) > _MOST_NOTES else []
    summary = f"{count(len(notes), 'note')} on what was read"
    yield f"<details><summary>{summary}</summary>\n\n" + fenced("\n".join(lines)) + "\n\n</details>"


def html_code(text: str) -> str:
    """For places where Markdown is not read: the text with every character that could mean something as an entity."""
    harmless = "".join(c if c.isalnum() or c in " /._-" else f"&#{ord(c)};" for c in plain(text, 200))
    return f"<code>{harmless}</code>"


def _diff(entry: Entry) -> str:
    """Unified diff of the turns; empty where the texts are not known or equal."""
    if not entry.before or not entry.after:
        return ""
    old, new = (_lines(turns) for turns in (entry.before, entry.after))
    lines = list(difflib.unified_diff(old, new, "base", "head", lineterm="", n=2))[2:]
    if len(lines) > _MOST_DIFF_LINES:
        lines = [*lines[:_MOST_DIFF_LINES], f"… {len(lines) - _MOST_DIFF_LINES} more lines"]
    return "\n".join(lines)


def _lines(turns: Sequence[tuple[str, str]]) -> list[str]:
    return [line for role, text in turns for line in (f"[{role}]", *text.splitlines())]


def _footer(report: Report) -> str:
    rows = list(_footer_rows(report))
    return "<sub>\n\n" + "  \n".join(rows) + "\n\n</sub>"


def _footer_rows(report: Report) -> Iterator[str]:
    for name, value in facts(report):
        yield f"{name}: {code_in_text(value)}"
    if any(e.verdict.metric.proxy for e in report.entries if e.verdict.comparison is not None):
        yield "A loss is a proxy for accuracy: it says how surprised the model is by the right answers."
