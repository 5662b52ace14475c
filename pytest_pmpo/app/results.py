"""What a run has reached so far: collected from one process or from many, then made into a report or a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_pmpo.errors import BaselineError, Location, PmpoError
from pytest_pmpo.gate.baseline import Baseline, StoredModel, StoredPrompt
from pytest_pmpo.report.records import Entry, ModelFacts, Report, RunInfo, Trouble

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Result:
    """A verdict with what the reports and a saved baseline need beside it.

    Attributes:
        stored: the head's numbers as a baseline keeps them.
        model: that reached it; ``fingerprint`` names everything its numbers depend on.
    """

    entry: Entry
    stored: StoredPrompt
    model: ModelFacts
    fingerprint: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """What scoring took."""

    seconds: float = 0.0
    tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.seconds + other.seconds, self.tokens + other.tokens, self.cached_tokens + other.cached_tokens)


@dataclass(slots=True)
class Results:
    """Results and troubles by a key of their own (a test's id); the last one of a key counts, as after a rerun."""

    work: Work = Work()
    found: dict[str, Result | Trouble] = field(default_factory=dict)

    @property
    def results(self) -> list[Result]:
        """Those that were judged."""
        return [one for one in self.found.values() if isinstance(one, Result)]

    @property
    def troubles(self) -> list[Trouble]:
        """Those that could not be."""
        return [one for one in self.found.values() if isinstance(one, Trouble)]

    def report(self, info: RunInfo) -> Report:
        """Everything as the reporters take it; ``info`` brings the facts of the run that are not collected here."""
        models = tuple(dict.fromkeys(result.model for result in self.results))
        facts = RunInfo(
            models=models,
            base=info.base,
            no_base=info.no_base,
            commit=info.commit,
            versions=_versions(self.results),
            seconds=self.work.seconds,
            tokens=self.work.tokens,
            cached_tokens=self.work.cached_tokens,
            suite=info.suite,
            validity=info.validity,
        )
        return Report(facts, tuple(result.entry for result in self.results), tuple(self.troubles))

    def baseline(self, expected: Iterable[tuple[str, str]]) -> Baseline:
        """The numbers of all prompts.

        Args:
            expected: label and model of every prompt that has to be in it.

        Raises:
            BaselineError: if one is missing, or two models share a name.
        """
        reached = {(result.entry.verdict.prompt, result.entry.verdict.model) for result in self.results}
        missing = [f"{prompt} [{model}]" for prompt, model in expected if (prompt, model) not in reached]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise BaselineError(
                f"no baseline is saved: {', '.join(missing[:3])}{more} was not scored",
                hint="a baseline holds every prompt: run without -k, -m, --lf and paths, and mend what is broken",
            )
        return Baseline({name: self._stored_model(name) for name in dict.fromkeys(model for _, model in reached)})

    def _stored_model(self, name: str) -> StoredModel:
        results = [result for result in self.results if result.entry.verdict.model == name]
        if len({tuple(sorted(result.fingerprint.items())) for result in results}) > 1:
            raise BaselineError(
                f"the numbers of {name} were made on different machines or under different settings",
                hint="save the baseline in one run on one machine",
            )
        return StoredModel(results[0].fingerprint, {result.entry.verdict.prompt: result.stored for result in results})


def trouble(error: PmpoError, prompt: str, path: str) -> Trouble:
    """An error as the reports show it; one without a place stands at the prompt it kept from being judged."""
    location = error.location or Location(path)
    return Trouble(prompt, error.message, location.path, location.line or 1, error.hint)


def to_plain(one: Result | Trouble) -> dict[str, Any]:
    """As JSON values, to travel between processes."""
    plain: dict[str, Any] = _adapter().dump_python(one, mode="json")
    return plain


def from_plain(plain: dict[str, Any]) -> Result | Trouble:
    """The inverse of ``to_plain``."""
    return _adapter().validate_python(plain)


@cache
def _adapter() -> TypeAdapter[Result | Trouble]:
    from pydantic import TypeAdapter  # only runs with several processes pay for it

    return TypeAdapter(Result | Trouble)


def _versions(results: Iterable[Result]) -> dict[str, str]:
    """Of the libraries that made the numbers; the fingerprint has them among its parts."""
    not_versions = {"model", "device", "dtype"}
    return {key: value for result in results for key, value in result.fingerprint.items() if key not in not_versions}
