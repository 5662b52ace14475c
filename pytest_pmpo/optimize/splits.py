"""Train, selection and held-out fixtures.

Train fixtures are shown to rewriters and say where a prompt is weak; selection fixtures choose among candidates;
held-out fixtures are kept from every strategy and meet only the final check. Deterministic: a fixture's part depends
on the seed and the ids, not on the order of the file. Right answers are spread evenly over the parts, fixtures of one
group stay together, and a fixture that names its part keeps it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_pmpo.errors import OptimizeError
from pytest_pmpo.optimize.constraints import label_texts
from pytest_pmpo.prompts.model import Fixture, Split

MIN_FIXTURES = 8
MIN_HELDOUT = 5
"""Below five paired differences the gate's sign-flip test cannot reach 5 % (2^-4 > 0.05), whatever the prompt does."""

HELDOUT_SHARE = 0.35
TRAIN_SHARE = 0.6
"""Of what is not held out."""

_Key = tuple[str, str]

PARTS: tuple[Split, ...] = ("train", "selection", "heldout")


@dataclass(frozen=True, slots=True)
class Splits:
    """The three parts, each in fixture order."""

    train: tuple[Fixture, ...]
    selection: tuple[Fixture, ...]
    heldout: tuple[Fixture, ...]

    @property
    def development(self) -> tuple[Fixture, ...]:
        """Train and selection together: what a strategy may look at."""
        return (*self.train, *self.selection)

    @property
    def ids(self) -> Mapping[str, tuple[str, ...]]:
        """Fixture ids by part."""
        return {part: tuple(f.id for f in getattr(self, part)) for part in PARTS}


def split(fixtures: Sequence[Fixture], seed: int = 0) -> Splits:
    """Assign every fixture to a part.

    Raises:
        OptimizeError: fewer than 8 fixtures or groups, a group that names two parts, or a part that stays empty.
    """
    if len(fixtures) < MIN_FIXTURES:
        raise OptimizeError(
            f"{len(fixtures)} fixtures are too few to optimize on: with fewer than {MIN_FIXTURES} none can be kept "
            "aside to show that a better loss is more than luck",
            location=fixtures[0].location if fixtures else None,
            hint=f"add {MIN_FIXTURES - len(fixtures)} or more labelled fixtures",
        )
    groups = _groups(fixtures)
    parts = {key: _named_part(key, members) for key, members in groups.items()}
    _deal(groups, parts, _wanted(fixtures), seed)
    result = Splits(*(tuple(f for f in fixtures if parts[_key(f)] == part) for part in PARTS))
    _require_parts(result, fixtures)
    return result


def _deal(
    groups: Mapping[_Key, Sequence[Fixture]], parts: dict[_Key, Split | None], wanted: Mapping[Split, int], seed: int
) -> None:
    """Give every group without a part one of those with room left: the one its answer is most wanting in.

    Right answers are spread evenly: a part in which one label is rare rewards a prompt that merely favours another.
    """
    answers = _answers(groups)
    sizes = Counter({part: sum(len(groups[key]) for key, p in parts.items() if p == part) for part in PARTS})
    total = sum(len(members) for members in groups.values())
    of_answer: Counter[str] = Counter()
    for key, members in groups.items():
        of_answer[answers[key]] += len(members)
    have = Counter((answers[key], part) for key, part in parts.items() if part for _ in groups[key])
    for key in sorted((k for k, p in parts.items() if p is None), key=lambda k: _rank(seed, k)):
        answer = answers[key]

        def need(part: Split, answer: str = answer) -> tuple[bool, float, float, int]:
            share = wanted[part] / total
            lack = (wanted[part] - sizes[part]) / wanted[part]
            return sizes[part] < wanted[part], share * of_answer[answer] - have[answer, part], lack, -PARTS.index(part)

        part = max(PARTS, key=need)
        parts[key] = part
        sizes[part] += len(groups[key])
        have[answer, part] += len(groups[key])


def _answers(groups: Mapping[_Key, Sequence[Fixture]]) -> dict[_Key, str]:
    """Each group's right answer, or one word for all where answers hardly repeat."""
    answers = {key: label_texts(members[0])[0] for key, members in groups.items()}
    return answers if len(set(answers.values())) <= len(answers) / 2 else dict.fromkeys(answers, "")


def _key(fixture: Fixture) -> _Key:
    return ("id", fixture.id) if fixture.group is None else ("group", fixture.group)


def _groups(fixtures: Sequence[Fixture]) -> dict[_Key, list[Fixture]]:
    groups: dict[_Key, list[Fixture]] = {}
    for fixture in fixtures:
        groups.setdefault(_key(fixture), []).append(fixture)
    return groups


def _named_part(key: _Key, members: Sequence[Fixture]) -> Split | None:
    named = {fixture.split for fixture in members if fixture.split is not None}
    if len(named) > 1:
        raise OptimizeError(
            f"the fixtures of group {key[1]!r} name different parts ({', '.join(sorted(named))})",
            location=members[0].location,
            hint="fixtures of one group share a source, so they must stay in one part",
        )
    return next(iter(named), None)


def _wanted(fixtures: Sequence[Fixture]) -> dict[Split, int]:
    n = len(fixtures)
    heldout = max(MIN_HELDOUT, round(HELDOUT_SHARE * n))
    train = max(1, round(TRAIN_SHARE * (n - heldout)))
    return {"train": train, "selection": max(1, n - heldout - train), "heldout": heldout}


def _rank(seed: int, key: _Key) -> bytes:
    return hashlib.sha256(f"{seed}/{key[0]}/{key[1]}".encode("utf-8", "surrogatepass")).digest()


def _require_parts(splits: Splits, fixtures: Sequence[Fixture]) -> None:
    for part, name in zip(PARTS, ("train", "selection", "held-out"), strict=True):
        if not getattr(splits, part):
            raise OptimizeError(
                f"there is no {name} fixture: the `split` keys and groups leave that part empty",
                location=fixtures[0].location,
                hint="leave `split` out of some fixtures, or give more groups",
            )


def too_few_to_prove(splits: Splits) -> str | None:
    """A sentence where the held-out part is too small for the gate ever to say "improved", else None."""
    independent = len({_key(fixture) for fixture in splits.heldout})
    if independent >= MIN_HELDOUT:
        return None
    return (
        f"{independent} independent held-out fixtures can never prove an improvement at 5 %; "
        f"{MIN_HELDOUT} are the least"
    )
