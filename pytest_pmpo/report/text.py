"""Text from prompts, fixtures and models, made harmless, and numbers as people read them."""

from __future__ import annotations

import math
import re
import unicodedata

from pytest_pmpo.gate.records import Verdict
from pytest_pmpo.gate.wording import amount
from pytest_pmpo.report.records import Report, RunInfo

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str, limit: int | None = None) -> str:
    """One line of visible text: escape sequences dropped, white space folded, invisible characters shown as U+FFFD.

    Direction overrides and zero-width characters can make a line read as something else, so they are not let through.
    """
    visible = visible_characters(" ".join(_ANSI.sub("", text).split()))
    if limit is not None and len(visible) > limit:
        return visible[: max(0, limit - 1)] + "…"
    return visible


def visible_characters(text: str) -> str:
    """Escape sequences dropped, invisible characters except line breaks and tabs shown as U+FFFD."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _INVISIBLE else "\ufffd" for c in _ANSI.sub("", text)
    )


def number(value: float) -> str:
    """Three decimals, and ∞."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:z.3f}".replace("-", "−")


def change(value: float) -> str:
    """Three decimals with a sign."""
    return "−∞" if value == -math.inf else "+∞" if value == math.inf else f"{value:+z.3f}".replace("-", "−")


def toward_head(verdict: Verdict, difference: float) -> float:
    """A difference as head minus base: the gate's own sign says worse, which is down for an accuracy."""
    return difference if verdict.metric.direction == "lower" else -difference


def interval(verdict: Verdict) -> tuple[float, float]:
    """The 95 % interval of head minus base, lower end first."""
    assert verdict.comparison is not None
    ends = (toward_head(verdict, verdict.comparison.low), toward_head(verdict, verdict.comparison.high))
    return min(ends), max(ends)


def share(verdict: Verdict, difference: float) -> str:
    """A signed difference (head minus base) as percent or points; empty where the unit says as much."""
    assert verdict.comparison is not None
    if math.isinf(difference):
        return change(difference)
    text = amount(abs(difference), verdict.metric, verdict.comparison.base_mean)
    sign = "+" if difference > 0 else "−" if difference < 0 else "±"
    return f"{sign}{text}"


def size_words(verdict: Verdict) -> str:
    """What decided, in few words: ``6.3 % worse``, ``no change``, ``2 broke``; empty without a comparison."""
    c = verdict.comparison
    if c is None:
        return ""
    broken = sum(f.broken for f in verdict.fixtures)
    if not broken:
        return mean_words(verdict)
    return f"{mean_words(verdict)}, {broken} broke" if mean_regressed(verdict) else f"{broken} broke"


def mean_regressed(verdict: Verdict) -> bool:
    """Whether the mean alone is enough to fail, whatever single fixtures did."""
    c = verdict.comparison
    return c is not None and c.lower_bound > 0 and verdict.tolerance is not None and c.delta > verdict.tolerance


def mean_words(verdict: Verdict) -> str:
    """``6.3 % worse``, ``3.1 % better``, ``no change``; empty without a comparison."""
    c = verdict.comparison
    if c is None:
        return ""
    if c.delta == 0:
        return "no change"
    return f"{amount(abs(c.delta), verdict.metric, c.base_mean)} {'worse' if c.delta > 0 else 'better'}"


def ends_words(low: float, high: float) -> str:
    """An interval of differences, or that there is none: below six draws no two-sided one of 95 % exists."""
    if math.isinf(low) and math.isinf(high):
        return "too few fixtures for an interval"
    return f"{change(low)} to {change(high)}"


def form_words(verdict: Verdict) -> str:
    """How much of a change is form: ``of +0.420 nats/token, +0.400 is form …``; empty where that was not asked."""
    c, form = verdict.comparison, verdict.form
    if c is None or form is None:
        return ""
    unit = plain(verdict.metric.unit)
    ends = ends_words(form.low, form.high)
    nothing = ", which may be nothing" if form.low <= 0 <= form.high else ""
    return (
        f"of {change(c.delta)} {unit}, {change(form.form)} is form (the same on labels shuffled among the fixtures, "
        f"{form.tokens:,} tokens); {change(form.rest)} ({ends}) is left for the right labels{nothing}"
    )


def form_sentence(verdict: Verdict) -> str:
    """``form_words`` as a sentence of its own; empty where they are."""
    words = form_words(verdict)
    return f"Form or quality? {words[0].upper()}{words[1:]}." if words else ""


def count(n: int, noun: str) -> str:
    """``1 prompt``, ``12 prompts``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def headline(report: Report) -> str:
    """``5 verdicts: 1 regressed, 1 improved, 3 unchanged; 1 informs only; 1 prompt could not be judged``."""
    kinds = ", ".join(f"{n} {status}" for status, n in report.counts().items())
    parts = [f"{count(len(report.entries), 'verdict')}: {kinds}"] if report.entries else []
    informing = sum(e.verdict.informs for e in report.entries)
    parts += [f"{informing} {'informs' if informing == 1 else 'inform'} only"] if informing else []
    parts += [f"{count(len(report.troubles), 'prompt')} could not be judged"] if report.troubles else []
    return "; ".join(parts) or "no prompt was judged"


def work(info: RunInfo) -> str:
    """``1,234 tokens in 2.5 s; 56 token losses from the cache``: what was computed, and what was looked up."""
    return f"{count(info.tokens, 'token')} in {info.seconds:.1f} s; {info.cached_tokens:,} token losses from the cache"


def facts(report: Report) -> list[tuple[str, str]]:
    """The run in name-value rows: models, base, head, work, versions."""
    info = report.info
    rows = [("model", _model(m.name, m.revision, m.device, m.dtype)) for m in info.models]
    rows.append(("base", _base(report)))
    rows += [("head", info.commit[:12])] if info.commit else []
    if info.tokens or info.cached_tokens:
        rows.append(("work", work(info)))
    rows += [("validity", info.validity)] if info.validity else []
    rows += [("versions", ", ".join(f"{k} {v}" for k, v in info.versions.items()))] if info.versions else []
    return [(name, plain(value)) for name, value in rows]


def _model(name: str, revision: str, device: str, dtype: str) -> str:
    pinned = f"{name}@{revision[:12]}" if revision else name
    where = ", ".join(part for part in (device, dtype) if part)
    return f"{pinned} on {where}" if where else pinned


def _base(report: Report) -> str:
    base = report.info.base
    if base is None:
        return f"none ({report.info.no_base})" if report.info.no_base else "none"
    name = base.commit[:12] or base.ref
    how = f" ({base.how})" if base.how else ""
    return f"{name}{how}, {base.age}" if base.age else f"{name}{how}"
