"""What is registered: formats, metrics, rewriters, reporters, built in and of others, through one set of hooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from pytest_pmpo import hookspecs
from pytest_pmpo.errors import ConfigError
from pytest_pmpo.prompts.formats.base import Format
from pytest_pmpo.report.base import Reporter
from pytest_pmpo.scoring.metrics.base import Metric

ENTRY_POINTS = "pytest_pmpo"
"""Entry-point group of modules that implement the hooks."""


@dataclass(frozen=True, slots=True)
class Extensions:
    """A view on a pluggy manager that knows our hooks: pytest's own, or a bare one.

    Later registrations come first, so that an outsider's format is asked before the built-in ones.
    """

    hook: Any

    def formats(self) -> tuple[Format, ...]:
        """All formats, in the order they are asked."""
        return tuple(format for formats in self.hook.pytest_pmpo_formats() for format in formats)

    def metrics(self, *, end_of_turn: bool) -> dict[str, Metric]:
        """All metrics by name, the most telling first."""
        found: dict[str, Metric] = {}
        for metrics in self.hook.pytest_pmpo_metrics(end_of_turn=end_of_turn):
            for metric in metrics:
                found.setdefault(metric.info.name, metric)
        return found

    def reporters(self) -> dict[str, Reporter]:
        """All reporters by name."""
        return _merged(self.hook.pytest_pmpo_reporters())

    def reporter(self, name: str) -> Reporter:
        """The reporter of that name.

        Raises:
            ConfigError: if there is none.
        """
        reporters = self.reporters()
        if name not in reporters:
            raise ConfigError(f"unknown reporter {name!r}", hint=f"one of {', '.join(sorted(reporters))}")
        return reporters[name]


def bare_manager() -> pluggy.PluginManager:
    """A manager for use without pytest: built-ins and the modules other distributions name."""
    from pytest_pmpo.app import builtin

    manager = pluggy.PluginManager("pytest")
    manager.add_hookspecs(hookspecs)
    manager.register(builtin, "pmpo-builtin")
    manager.load_setuptools_entrypoints(ENTRY_POINTS)
    return manager


def _merged(mappings: list[Mapping[str, Reporter]]) -> dict[str, Reporter]:
    merged: dict[str, Reporter] = {}
    for mapping in mappings:
        for name, value in mapping.items():
            merged.setdefault(name, value)
    return merged
