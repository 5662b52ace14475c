"""Variants: several versions of one prompt that stand side by side, to be ranked on the fixtures they share.

They are the prompts of one file (a promptfoo configuration), or files ``name.*.ext`` in one folder (dotprompt's
``name.variant.prompt``, and the same idea under every other suffix).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pytest_pmpo.prompts.model import Fixture, PromptSuite

_SUFFIXES = (".prompt.yml", ".prompt.yaml", ".messages.json", ".messages.yaml", ".chat.json", ".chat.yaml")


@dataclass(frozen=True, slots=True)
class VariantGroup:
    """Prompts to be ranked against each other.

    Attributes:
        name: what they are variants of: a file, or the common beginning of their files' names.
        suites: at least two, by label; each with exactly the shared fixtures, in one order.
        fixtures: those fixtures.
        left_out: ids of fixtures that only some of the prompts have, in order.
    """

    name: str
    suites: tuple[PromptSuite, ...]
    fixtures: tuple[Fixture, ...]
    left_out: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What to call each prompt within the group."""
        return tuple(label_of(suite) for suite in self.suites)


def label_of(suite: PromptSuite) -> str:
    """A variant's label; ``default`` for the one without."""
    return suite.prompt.variant or _variant_in_name(suite.prompt.path) or "default"


def group_variants(suites: Iterable[PromptSuite]) -> tuple[VariantGroup, ...]:
    """Every group of two or more variants among the suites, by name. Prompts that stand alone are in none."""
    groups: dict[str, list[PromptSuite]] = {}
    for suite in suites:
        groups.setdefault(_home(suite), []).append(suite)
    return tuple(_group(name, members) for name, members in sorted(groups.items()) if len(members) > 1)


def _home(suite: PromptSuite) -> str:
    path = PurePosixPath(suite.prompt.path)
    stem, suffix = _split(path.name)
    if suite.prompt.format == "promptfoo":
        return suite.prompt.path
    return str(path.with_name(stem.split(".")[0] + suffix))


def _split(name: str) -> tuple[str, str]:
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    path = PurePosixPath(name)
    return path.stem, path.suffix


def _variant_in_name(path: str) -> str | None:
    stem, _ = _split(PurePosixPath(path).name)
    return stem.partition(".")[2] or None


def _group(name: str, members: list[PromptSuite]) -> VariantGroup:
    members = sorted(members, key=label_of)
    shared = set.intersection(*({fixture.id for fixture in suite.fixtures} for suite in members))
    everything = dict.fromkeys(fixture.id for suite in members for fixture in suite.fixtures)
    fixtures = tuple(fixture for fixture in members[0].fixtures if fixture.id in shared)
    return VariantGroup(
        name,
        tuple(replace(suite, fixtures=fixtures) for suite in members),
        fixtures,
        tuple(identifier for identifier in everything if identifier not in shared),
    )
