"""pytest-pmpo: gate prompt changes by the loss of the right answers.

Public names are loaded when first used, so that importing the package (as pytest does at every start) costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pmpo.errors import PmpoError as PmpoError
    from pytest_pmpo.hookspecs import hookimpl as hookimpl
    from pytest_pmpo.testing import Loss as Loss
    from pytest_pmpo.testing import Pmpo as Pmpo
    from pytest_pmpo.testing import PromptRegressionError as PromptRegressionError
    from pytest_pmpo.testing import PromptRegressionWarning as PromptRegressionWarning

__version__ = "0.1.0"

_PUBLIC = {
    "Loss": "pytest_pmpo.testing",
    "Pmpo": "pytest_pmpo.testing",
    "PmpoError": "pytest_pmpo.errors",
    "PromptRegressionError": "pytest_pmpo.testing",
    "PromptRegressionWarning": "pytest_pmpo.testing",
    "hookimpl": "pytest_pmpo.hookspecs",
}

__all__ = ["Loss", "Pmpo", "PmpoError", "PromptRegressionError", "PromptRegressionWarning", "__version__", "hookimpl"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
