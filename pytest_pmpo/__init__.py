"""pytest-pmpo: gate prompt changes by the loss of the right answers.

Public names are loaded when first used, so that importing the package (as pytest does at every start) costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pmpo.errors import PmpoError as PmpoError

__version__ = "0.1.0"

_PUBLIC = {"PmpoError": "pytest_pmpo.errors"}

__all__ = ["PmpoError", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
