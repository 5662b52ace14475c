"""A bank and today's fixtures → the metric: what is usable, and how likely each response was when it was drawn.

The log-probabilities of the proposals are computed by the same scorer that will score base and head, never taken from
the file. That costs one cached pass per proposal and model, and buys this: every number in a weight p / q comes from
the same tokens, arithmetic and batch rules, so their errors cancel; a generator's log-probability is of the tokens it
drew, which are not always the tokens the text is read as; a mixture needs every response under *every* proposal, which
no generator has computed; a bank moves to another model, dtype or machine unchanged; and nobody can tilt a verdict by
editing a number.

A response of a model that is not the one at hand counts as if this one had drawn it, and a written one as if it came
from the mixture; their weights are nominal then, and a note says so.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_pmpo.errors import BankError, Location
from pytest_pmpo.prompts.model import Fixture, Note, Prompt
from pytest_pmpo.responses.likelihood import Key, log_probabilities
from pytest_pmpo.responses.records import Bank, Response, input_digest, label_digest
from pytest_pmpo.scoring.metrics.base import Scores
from pytest_pmpo.scoring.metrics.importance import mixture
from pytest_pmpo.scoring.metrics.response_bank import BankedResponse, ResponseBank

SPOT_CHECKS = 1
"""Responses that are scored from each proposal of a fixture whose responses all have one grade."""

MANY_CUT = 0.2
"""Share of responses cut by the token limit from which a note says so."""

MOST_ALIKE = 0.7
"""Share of fixtures with responses of one grade only from which a note says what would help."""


@dataclass(frozen=True, slots=True)
class WeighedBank:
    """What a gate needs of a bank.

    Attributes:
        metric: supports exactly the fixtures that have usable responses.
        usable: by fixture id.
        notes: what was set aside, and why; what makes the weights nominal.
        proposals: template digests of the prompts the usable responses were drawn from.
        log_p: log-probability (nats) of each distinct scored response under each of ``proposals``, in that order.
    """

    metric: ResponseBank
    usable: Mapping[str, tuple[Response, ...]]
    notes: tuple[Note, ...]
    proposals: tuple[str, ...]
    log_p: Mapping[Key, Sequence[float]]


def weigh(
    bank: Bank,
    fixtures: Sequence[Fixture],
    scorer: Scores,
    *,
    model: str,
    known: Sequence[Prompt] = (),
    spot_checks: int | None = SPOT_CHECKS,
) -> WeighedBank:
    """The metric a bank gives for these fixtures under the scorer's model.

    A fixture whose responses all have one grade gets that grade under every prompt. Only a few of its responses are
    scored, to see whether the prompt is covered: some from each proposal, which stand for the others from it, so that
    one proposal that does cover the prompt is never missed by chance. Which ones depends on their text alone, so the
    coverage stays unbiased, and base, head and proposals are scored on the same ones.

    Args:
        model: fingerprint of the model itself (its files, not the arithmetic), as bank lines hold it.
        known: further prompts a response may name as its proposal (base and head); the first of them stands in as the
            proposal of written responses in a bank that has no proposal at all.
        spot_checks: responses to score from each proposal of a fixture with one grade only; None scores all of them.

    Raises:
        BankError: if no response is usable, or one is too long for the model, with file and line.
        PmpoError: whatever scoring raises; a proposal that no longer renders is named by its line in the bank.
    """
    prompts, own = known_prompts(bank, known), list(bank.proposals)
    usable, notes = usable_responses(bank, fixtures, prompts, model)
    if not usable:
        detail = f": {notes[0].message}" if notes else ""
        raise BankError(
            f"no response of the bank can be used{detail}", location=Location(bank.path), hint="pmpo bank build"
        )
    counts = {fixture: Counter(r.proposal for r in rows if r.proposal is not None) for fixture, rows in usable.items()}
    drawn_from = list(dict.fromkeys(d for count in counts.values() for d in count)) or own or list(prompts)[:1]
    if not drawn_from:
        raise BankError(
            "the bank's written responses name no prompt, and there is none to weigh them by",
            location=Location(bank.path),
        )
    measured = [fixture for fixture in fixtures if fixture.id in usable]
    chosen = {fixture: _to_score(rows, spot_checks) for fixture, rows in usable.items()}
    scored = {fixture: tuple(row for row, _ in rows) for fixture, rows in chosen.items()}
    log_p = log_probabilities(bank.path, scored, measured, [prompts[d] for d in drawn_from], scorer)
    banked: dict[str, list[BankedResponse]] = {}
    for fixture, rows in chosen.items():
        shares = [counts[fixture].get(digest, 0) for digest in drawn_from]
        shares = shares if any(shares) else [1] * len(drawn_from)
        banked[fixture] = [
            BankedResponse(row.text, _grade(row), row.finished, mixture(log_p[_key(row)], shares), stands_for)
            for row, stands_for in rows
        ]
    metric = ResponseBank(banked, held={fixture: len(rows) for fixture, rows in usable.items()})
    return WeighedBank(metric, usable, notes, tuple(drawn_from), log_p)


def _to_score(rows: Sequence[Response], spot_checks: int | None) -> list[tuple[Response, float]]:
    """The responses to score, each with how many it stands for."""
    if spot_checks is None or len({row.grade for row in rows}) > 1:
        return [(row, 1.0) for row in rows]
    strata: dict[str | None, list[Response]] = defaultdict(list)
    for row in rows:
        strata[row.proposal].append(row)
    each = max(spot_checks, 3 - len(strata))  # two at least
    return [
        (row, len(stratum) / min(each, len(stratum)))
        for stratum in strata.values()
        for row in sorted(stratum, key=_lot)[:each]
    ]


def _key(row: Response) -> Key:
    return row.fixture, row.text, row.finished


def _lot(row: Response) -> bytes:
    """A random number that is the same every time."""
    return hashlib.sha256(
        repr((row.fixture, row.proposal, row.draw, row.text)).encode("utf-8", "surrogatepass")
    ).digest()


def known_prompts(bank: Bank, more: Sequence[Prompt] = ()) -> dict[str, Prompt]:
    """Prompts a response may name as its proposal, by template digest: the bank's, then ``more``."""
    prompts = {digest: proposal.prompt for digest, proposal in bank.proposals.items()}
    for prompt in more:
        prompts.setdefault(prompt.template_digest, prompt)
    return prompts


def usable_responses(
    bank: Bank, fixtures: Sequence[Fixture], prompts: Mapping[str, Prompt], model: str | None
) -> tuple[dict[str, tuple[Response, ...]], tuple[Note, ...]]:
    """Graded responses to today's inputs and labels, by fixture id in fixture order, and notes on the rest.

    Args:
        model: fingerprint of the model that weighs; None where it is not known, and then nothing is said of it.
    """
    by_id = {fixture.id: fixture for fixture in fixtures}
    inputs = {fixture.id: input_digest(fixture) for fixture in fixtures}
    labels = {fixture.id: label_digest(fixture) for fixture in fixtures}
    kept: dict[str, list[Response]] = defaultdict(list)
    aside: Counter[str] = Counter()
    for row in bank.responses:
        if row.fixture not in by_id:
            aside["answer fixtures that are gone"] += 1
        elif row.input is not None and row.input != inputs[row.fixture]:
            aside["answer fixtures whose input has changed since; build the bank again for them"] += 1
        elif row.grade is None:
            aside["have no grade; pmpo bank grade gives them one"] += 1
        elif row.label is not None and row.label != labels[row.fixture]:
            aside["were graded by a label that has changed since; pmpo bank grade grades them anew"] += 1
        elif row.proposal is not None and row.proposal not in prompts:
            aside["were drawn from a prompt the bank does not hold"] += 1
        else:
            kept[row.fixture].append(row)
    ordered = {fixture.id: tuple(kept[fixture.id]) for fixture in fixtures if fixture.id in kept}
    place = Location(bank.path)
    notes = [*bank.notes, *(Note(f"{n} responses {why}", place) for why, n in aside.items())]
    notes += _remarks(ordered, fixtures, model, place)
    return ordered, tuple(notes)


def _remarks(
    usable: Mapping[str, Sequence[Response]], fixtures: Sequence[Fixture], model: str | None, place: Location
) -> list[Note]:
    rows = [row for some in usable.values() for row in some]
    foreign = 0 if model is None else sum(row.model not in (None, model) for row in rows)
    nominal = sum(row.origin == "written" or (row.origin == "production" and row.model is None) for row in rows)
    cut = sum(not row.finished for row in rows)
    alike = sum(len({row.grade for row in some}) == 1 for some in usable.values())
    most = "; more responses, finer grades or a stronger model would" if alike > MOST_ALIKE * len(usable) else ""
    without = sum(fixture.id not in usable for fixture in fixtures)
    remarks = (
        (foreign, f"{foreign} responses are of another model: their grades are kept, their weights are nominal"),
        (nominal, f"{nominal} responses were written, or logged from an unknown model: their weights are nominal"),
        (
            cut > MANY_CUT * len(rows),
            f"{cut} of {len(rows)} responses were cut by the token limit they were drawn with",
        ),
        (
            alike,
            f"{alike} of {len(usable)} fixtures have responses of one grade only and cannot tell prompts apart{most}",
        ),
        (without, f"{without} fixtures have no usable response"),
    )
    return [Note(text, place) for holds, text in remarks if holds]


def _grade(row: Response) -> float:
    assert row.grade is not None  # usable_responses keeps graded ones only
    return row.grade
