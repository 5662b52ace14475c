"""Extension points: prompt formats, metrics, rewriters and reporters of your own.

The built-in ones register through the same hooks (``pytest_pmpo/app/builtin.py``), so they are the examples. Implement
a hook as a function of that name in a ``conftest.py`` or a pytest plugin; for the ``pmpo`` command as well, name the
module in the entry-point group ``pytest_pmpo`` of your distribution and mark the function with
``pytest_pmpo.hookimpl``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pytest_pmpo.optimize.rewriters.base import Rewriter
    from pytest_pmpo.prompts.formats.base import Format
    from pytest_pmpo.report.base import Reporter
    from pytest_pmpo.scoring.metrics.base import Metric

hookspec = pluggy.HookspecMarker("pytest")
hookimpl = pluggy.HookimplMarker("pytest")


@hookspec
def pytest_pmpo_formats() -> Sequence[Format]:  # type: ignore[empty-body]  # pluggy calls the implementations
    """Prompt formats. The first whose ``sniff`` claims a file reads it; outsiders come before the built-in ones."""


@hookspec
def pytest_pmpo_metrics(end_of_turn: bool) -> Sequence[Metric]:  # type: ignore[empty-body]  # as above
    """Metrics, the most telling first; ``metric = "auto"`` takes the first that supports every fixture of a prompt.

    Args:
        end_of_turn: whether the end-of-turn token of an answer is to be scored.
    """


@hookspec
def pytest_pmpo_rewriters() -> Mapping[str, Rewriter]:  # type: ignore[empty-body]  # as above
    """Rewriters by name, for the optimizer."""


@hookspec
def pytest_pmpo_reporters() -> Mapping[str, Reporter]:  # type: ignore[empty-body]  # as above
    """Reporters by name, for ``--pmpo-report NAME=FILE``: the whole run → the text of a file."""
