"""The sentences of a verdict: why it came out so, and what to do about it. Also how the reports write an amount."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.gate.power import fewest_clusters
from pytest_pmpo.gate.records import Comparison, FixtureDelta, Policy, Status
from pytest_pmpo.scoring.records import MetricInfo

_NAMED = 5  # fixtures named in a sentence
_LONG = 48  # characters of a name


def amount(size: float, metric: MetricInfo, base_mean: float) -> str:
    """A difference as people read it: ``3.1 %`` of the base's mean, ``3.1 points`` of accuracy, else with its unit.

    The sign of ``size`` is kept; write ``amount(abs(x), …)`` beside "worse" and "better".
    """
    if math.isinf(size):
        return "∞" if size > 0 else "-∞"
    if metric.scale == "relative" and base_mean != 0:
        return f"{_digits(100 * size / abs(base_mean))} %"
    if metric.unit == "accuracy":
        return f"{_digits(100 * size)} points"
    return f"{size:.3g} {metric.unit}"


def _digits(number: float) -> str:
    """Two significant digits, no exponent, no trailing zeros: ``0.034``, ``3.1``, ``31``, ``310``."""
    if number == 0:
        return "0"
    decimals = max(0, 1 - math.floor(math.log10(abs(number))))
    text = f"{number:.{min(decimals, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rounded_up(count: int) -> int:
    """To two significant digits: the number behind it is no more certain than that."""
    step = int(math.pow(10, max(0, len(str(count)) - 2)))
    return -(-count // step) * step


def names(ids: Sequence[str], most: int = _NAMED) -> str:
    """``a, b, c and 4 more``, each of reasonable length."""
    shown = ", ".join(id_ if len(id_) <= _LONG else f"{id_[: _LONG - 1]}…" for id_ in ids[:most])
    return shown if len(ids) <= most else f"{shown} and {len(ids) - most} more"


@dataclass(frozen=True, slots=True)
class Wording:
    """Sentences about one comparison."""

    metric: MetricInfo
    comparison: Comparison
    policy: Policy
    tolerance: float

    @property
    def proxy_note(self) -> str:
        """Said in every reason whose number only stands in for accuracy."""
        return f"; {self.metric.name} is a proxy for accuracy" if self.metric.proxy else ""

    def size(self, number: float) -> str:
        """An amount of this comparison, without its sign."""
        return amount(abs(number), self.metric, self.comparison.base_mean)

    def signed(self, number: float) -> str:
        """``3.1 % worse`` or ``3.1 % better``."""
        if number == 0:
            return "unchanged"
        return f"{self.size(number)} {'worse' if number > 0 else 'better'}"

    @property
    def confidence(self) -> str:
        """The one-sided confidence behind the bounds, and with how many verdicts alpha is shared."""
        percent = 100 * (1 - self.policy.alpha / self.policy.family)
        shared = "" if self.policy.family == 1 else f", alpha shared by {self.policy.family} verdicts"
        return f"{percent:.4g} % confidence{shared}"

    def broke(self, broken: Sequence[FixtureDelta]) -> str:
        """Reason of a hard break."""
        worst = max(broken, key=_nll_rise)
        more = "" if len(broken) == 1 else f", and {len(broken) - 1} more did"
        return (
            f"fixture {worst.fixture_id} broke: its right answer lost {_nll_rise(worst):.3g} nats per token, "
            f"more than {self.policy.hard_break:g}{more}"
        )

    def regressed(self, broken: int) -> str:
        """Reason of a regression of the mean, with how many fixtures broke besides."""
        c = self.comparison
        besides = "" if not broken else f"; {broken} fixture{'' if broken == 1 else 's'} broke"
        return (
            f"{self.signed(c.delta)}, at least {self.size(c.lower_bound)} ({self.confidence}); "
            f"tolerance {self.size(self.tolerance)}{besides}"
        )

    def improved(self) -> str:
        """Reason of an improvement."""
        c = self.comparison
        return f"{self.signed(c.delta)}, at least {self.size(c.upper_bound)} ({self.confidence})"

    def not_worse(self) -> str:
        """Reason of a pass by non-inferiority."""
        c = self.comparison
        if c.low == c.high == 0:
            return "no fixture's number moved"
        worst = "not worse" if c.upper_bound <= 0 else f"at most {self.size(c.upper_bound)} worse"
        unsure = ""
        if c.delta < -self.tolerance and c.upper_bound >= 0:
            unsure = f"; {self.drawn} cannot tell so large a gain from chance{self._enough('; ')}"
        return f"{self.signed(c.delta)}, {worst} ({self.confidence}); tolerance {self.size(self.tolerance)}{unsure}"

    def within_tolerance(self) -> str:
        """Reason of a pass that is a small but certain loss."""
        return (
            f"{self.signed(self.comparison.delta)}: certain ({self.confidence}), "
            f"but within the tolerance of {self.size(self.tolerance)}"
        )

    def inconclusive(self) -> str:
        """Reason where the fixtures cannot tell."""
        c = self.comparison
        if self._blind:
            return (
                f"{self.signed(c.delta)} on average, but with {self.drawn} no difference could be decided, however "
                f"large: {self._takes}{self._enough('; ')}"
            )
        return (
            f"{self.signed(c.delta)} on average, somewhere between {self.signed(c.lower_bound)} and "
            f"{self.signed(c.upper_bound)} ({self.confidence}); tolerance {self.size(self.tolerance)}"
            f"{self._small_bank}{self._enough('; ')}"
        )

    @property
    def all_shown(self) -> str:
        """Reason where no fixture is left to count."""
        return "the prompt or its base shows every fixture, so that only copying could be measured"

    @staticmethod
    def not_counted(ids: Sequence[str]) -> str:
        """Said in the reason, and beside a verdict that passed, where some fixtures are not counted."""
        count = "1 fixture stands" if len(ids) == 1 else f"{len(ids)} fixtures stand"
        return f"{count} in the prompt or its base and {'is' if len(ids) == 1 else 'are'} not counted"

    @property
    def _small_bank(self) -> str:
        """Said where chance alone would have let the difference be decided."""
        if not self.comparison.hidden_by_bias(self.tolerance):
            return ""
        error = self.size(self.comparison.systematic)
        return f"; so small a bank may itself be off by {error}, which more responses would narrow"

    @property
    def _blind(self) -> bool:
        """Whether no outcome of so few draws is significant."""
        return math.isinf(self.comparison.lower_bound) and math.isinf(self.comparison.upper_bound)

    @property
    def _takes(self) -> str:
        """The draws it takes at the least, and why so many."""
        kind = "fixtures" if self.comparison.n == self.comparison.clusters else "groups"
        family = self.policy.family
        shared = "" if family == 1 else f", the {self.policy.alpha:.3g} that {family} verdicts share"
        return f"it takes at least {self._fewest} {kind} at alpha = {self._level:.3g}{shared}"

    def _enough(self, lead: str) -> str:
        """How many fixtures like these would find a difference of the size that was seen; empty if these should."""
        c = self.comparison
        if c.needed_for_delta is None or c.needed_for_delta <= c.n:
            return ""
        about = _rounded_up(c.needed_for_delta)
        return f"{lead}about {about:,} fixtures like these would see a mean difference of this size"

    @property
    def drawn(self) -> str:
        """``12 fixtures`` or ``12 fixtures in 5 groups``."""
        c = self.comparison
        fixtures = f"{c.n} fixture{'' if c.n == 1 else 's'}"
        return fixtures if c.n == c.clusters else f"{fixtures} in {c.clusters} group{'' if c.clusters == 1 else 's'}"

    @property
    def _level(self) -> float:
        return self.policy.alpha / self.policy.family

    def sight(self) -> str:
        """What these fixtures can see: ``12 fixtures can see ≥ 6 %; about 40 would see 3 %``."""
        c = self.comparison
        if math.isinf(c.detectable):
            return f"{self.drawn} can decide nothing, whatever the difference: {self._takes}"
        text = f"{self.drawn} can see ≥ {self.size(c.detectable)}"
        if c.needed is not None and c.needed > c.n:
            text += f"; about {_rounded_up(c.needed):,} would see {self.size(self.tolerance)}"
        return text

    @property
    def _fewest(self) -> int:
        return max(2, fewest_clusters(self._level))

    def advice(self, status: Status, deltas: Sequence[FixtureDelta]) -> tuple[str, ...]:
        """What to do, one line each, most useful first."""
        lines: list[str] = []
        if status in ("regressed", "inconclusive"):
            worse = [d.fixture_id for d in deltas if d.delta > 0 or d.broken]
            lines += [f"look first at: {names(worse)}"] if worse else []
        if status == "regressed":
            lines.append(self._how_to_accept(deltas))
        if status == "inconclusive":
            lines.append(self._how_to_conclude())
        return (*lines, self.sight())

    def _how_to_accept(self, deltas: Sequence[FixtureDelta]) -> str:
        """The settings under which the same numbers pass; where nothing blocks, that none is needed."""
        c = self.comparison
        settings: list[str] = []
        if c.lower_bound > 0 and c.delta > self.tolerance:
            share = c.delta / abs(c.base_mean) if self.metric.scale == "relative" and c.base_mean else c.delta
            settings.append(f"tolerance = {math.ceil(1000 * share) / 1000:g}")
        rises = [_nll_rise(d) for d in deltas if d.broken]
        if rises:
            settings.append(f"hard_break = {math.ceil(10 * max(rises)) / 10:g}")
        told = f"{' and '.join(settings)} for this path in [[tool.pmpo.override]]"
        if self.policy.blocks(self.metric):
            return f"to accept this on purpose, set {told}"
        return f"this blocks nothing, and merging needs no setting; {told} would let it pass without a warning"

    def _how_to_conclude(self) -> str:
        fails = self.policy.strict and self.policy.blocks(self.metric)
        failing = " (strict is on, so this fails)" if fails else ""
        if self._blind:
            return f"add fixtures, or change fewer prompts at a time{failing}"
        return f"add fixtures until the interval leaves 0 or ends below the tolerance{failing}"

    @staticmethod
    def left_out(ids: Sequence[str]) -> tuple[str, ...]:
        """Said where fixtures have no base value."""
        if not ids:
            return ()
        count = f"{len(ids)} fixture{' has' if len(ids) == 1 else 's have'}"
        return (f"{count} no value in the baseline and took no part: {names(ids)}; save the baseline anew",)

    @staticmethod
    def shown(ids: Sequence[str]) -> tuple[str, ...]:
        """What to do about fixtures that the prompt or its base shows."""
        if not ids:
            return ()
        it, another = ("it", "another") if len(ids) == 1 else ("them", "others")
        return (
            f"the prompt or its base shows {names(ids)}, and an answer that stands there is copied: take {it} out of "
            f"the fixtures, or put {another} in",
        )


def _nll_rise(delta: FixtureDelta) -> float:
    """Nats per token that the right answer lost."""
    base, head = delta.base.measurement.nll_per_token, delta.head.measurement.nll_per_token
    return 0.0 if base is None or head is None else head - base
