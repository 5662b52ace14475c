"""How far a verdict can be trusted here: measured with a prompt's own bank, kept, and cited by later reports.

``pmpo doctor --validity`` measures two things with each bank: the bank itself, by leaving proposals out, and the metric
that would judge without it, by the same samples. The second figure is what there is to say of prompts without a bank.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pmpo.app.banks import find_bank
from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.project import Task
from pytest_pmpo.app.results import Result
from pytest_pmpo.errors import ConfigError, PmpoError
from pytest_pmpo.prompts.source import WorkingTree
from pytest_pmpo.responses.figures import Figures
from pytest_pmpo.responses.records import Bank
from pytest_pmpo.scoring.metrics.response_bank import NAME
from pytest_pmpo.scoring.metrics.select import choose

if TYPE_CHECKING:
    from pytest_pmpo.responses.validity import Validity


@dataclass(frozen=True, slots=True)
class Measured:
    """What a bank says of itself and of the metric that would judge without it, by the metric's name."""

    bank: Bank
    validity: Mapping[str, Validity]


def measure_validity(checker: Checker, tasks: list[Task]) -> Iterator[tuple[Task, Measured | PmpoError]]:
    """The validity of every task that has a bank, or what is wrong with it. What is found is kept for the reports.

    Raises:
        ConfigError: the result cannot be kept.
    """
    source = WorkingTree(checker.project.root)
    for task in tasks:
        try:
            bank = find_bank(source, task.path)
            if bank is None:
                continue
            found = _measure(checker, task, bank)
        except PmpoError as error:
            yield task, error
            continue
        yield task, found


def _measure(checker: Checker, task: Task, bank: Bank) -> Measured:
    from pytest_pmpo.responses.validity import measure, measure_proxy  # reports only read what was measured

    engine = checker.models.engine(task.model, task.settings)
    fixtures, model = task.suite.fixtures, engine.model.fingerprint
    of_bank = measure(bank, fixtures, engine.scorer, model=model)
    name = "auto" if task.settings.metric == NAME else task.settings.metric
    proxy = choose(fixtures, name, checker.project.extensions.metrics(end_of_turn=task.settings.end_of_turn))
    of_proxy = measure_proxy(bank, fixtures, engine.scorer, proxy, model=model)
    found = {key: value for key, value in ((NAME, of_bank), (proxy.info.name, of_proxy)) if value is not None}
    file = ValidityFile.of(checker, engine.model.name, engine.model.revision)
    file.keep(task.label, {key: value.figures for key, value in found.items()})
    return Measured(bank, found)


def cited(checker: Checker, results: list[Result]) -> str | None:
    """The figures known of the metrics that judged in this run, in one sentence; None where there are none."""
    judged = [result for result in results if result.entry.verdict.comparison is not None]
    parts = []
    for model in dict.fromkeys(result.model for result in judged):
        names = {result.entry.verdict.metric.name for result in judged if result.model == model}
        file = ValidityFile.of(checker, model.name, model.revision)
        parts += [f"{text} ({model.name})" for name in sorted(names) if (text := file.sentence(name))]
    return "; ".join(parts) or None


@dataclass(frozen=True, slots=True)
class ValidityFile:
    """What was measured in one repository under one model: a small file beside the cache."""

    path: Path
    root: Path

    @classmethod
    def of(cls, checker: Checker, model: str, revision: str) -> ValidityFile:
        """The file of a model, whether it exists or not."""
        root = checker.project.root
        key = json.dumps([str(root), model, revision])
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return cls(checker.models.cache_folder() / "validity" / f"{name}.json", root)

    def sentence(self, metric: str) -> str:
        """The figures of a metric, added up over the prompts that still exist; empty where there are none."""
        found = [
            (str(one["date"]), Figures(**one["figures"]))
            for label, metrics in self._read().items()
            if (self.root / label.partition("#")[0]).exists() and (one := metrics.get(metric)) is not None
        ]
        if not found:
            return ""
        total = sum((figures for _, figures in found), Figures())
        prompts = f"{len(found)} prompt{'' if len(found) == 1 else 's'}"
        return f"{metric} on {prompts} with a bank, {max(day for day, _ in found)}: {total.sentence()}"

    def keep(self, label: str, figures: Mapping[str, Figures]) -> None:
        """Replace what was known of a prompt.

        Raises:
            ConfigError: the folder cannot be written.
        """
        today = date.today().isoformat()
        entry = {name: {"date": today, "figures": asdict(one)} for name, one in figures.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps({**self._read(), label: entry}, sort_keys=True), encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            raise ConfigError(f"the validity cannot be kept: {error.strerror or error}") from error

    def _read(self) -> dict[str, dict[str, Any]]:
        """A file that is not as ``keep`` writes it counts as none."""
        try:
            data = json.loads(self.path.read_bytes())
            return {
                str(label): {
                    str(name): {"date": one["date"], "figures": {key: int(n) for key, n in one["figures"].items()}}
                    for name, one in metrics.items()
                    if set(one["figures"]) == set(Figures.__slots__)
                }
                for label, metrics in data.items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
