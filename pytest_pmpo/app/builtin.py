"""What this package brings itself, registered as anyone's extension would be. Asked after all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_pmpo.hookspecs import hookimpl

if TYPE_CHECKING:
    from pytest_pmpo.prompts.formats.base import Format
    from pytest_pmpo.report.base import Reporter
    from pytest_pmpo.scoring.metrics.base import Metric


@hookimpl(trylast=True)
def pytest_pmpo_formats() -> Sequence[Format]:
    """The formats of ``prompts/formats``."""
    from pytest_pmpo.prompts.formats.registry import builtin_formats

    return builtin_formats()


@hookimpl(trylast=True)
def pytest_pmpo_metrics(end_of_turn: bool) -> Sequence[Metric]:
    """The metrics of ``scoring/metrics``."""
    from pytest_pmpo.scoring.metrics.select import builtin_metrics

    return tuple(builtin_metrics(end_of_turn=end_of_turn).values())


@hookimpl(trylast=True)
def pytest_pmpo_reporters() -> Mapping[str, Reporter]:
    """The reporters of ``report``."""
    from pytest_pmpo.report import github, html, json, markdown, sarif

    modules = {"github": github, "html": html, "json": json, "markdown": markdown, "sarif": sarif}
    return {name: module.render for name, module in modules.items()}
