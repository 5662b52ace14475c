"""transformers without scikit-learn until somebody asks for it.

``transformers.generation`` 5.17 imports ``sklearn.metrics.roc_curve`` wherever scikit-learn is installed,
with SciPy and pandas behind it: seconds of every start, for a step of assisted generation that is not used here. Newer
versions import it in that step. No setting leaves it out, so a stand-in takes the module's place while transformers is
imported. It is put back at once, and whoever calls transformers' ``roc_curve`` later gets the real one's answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_NAME = "sklearn.metrics"


@contextmanager
def sklearn_on_demand() -> Iterator[None]:
    """Within the block ``from sklearn.metrics import roc_curve`` is free; all else is the real module's."""
    if _NAME in sys.modules or find_spec("sklearn") is None:
        yield
        return
    stand_in = _StandIn(_NAME)
    sys.modules[_NAME] = stand_in
    try:
        yield
    finally:
        stand_in.step_aside()


class _StandIn(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = _Path(self)

    def roc_curve(self, *arguments: Any, **options: Any) -> Any:
        return self.real().roc_curve(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        return getattr(self.real(), name)

    def real(self) -> Any:
        self.step_aside()
        return import_module(_NAME)

    def step_aside(self) -> None:
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]


class _Path(list[str]):
    """Where modules below the real one lie; every import asks whether there is a path, only theirs reads it."""

    def __init__(self, stand_in: _StandIn) -> None:
        super().__init__()
        self._stand_in = stand_in

    def __iter__(self) -> Iterator[str]:
        return iter(self._stand_in.real().__path__)
