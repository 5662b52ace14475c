"""The models of a run: found once, opened at the first loss that is not in the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pmpo.config import Config, Settings
from pytest_pmpo.errors import PmpoError
from pytest_pmpo.scoring.backends.base import Progress
from pytest_pmpo.scoring.cache import LossCache
from pytest_pmpo.scoring.cache_home import cache_home
from pytest_pmpo.scoring.devices import choose_device, device_class
from pytest_pmpo.scoring.fingerprint import Fingerprint
from pytest_pmpo.scoring.models import Model, Notify, resolve
from pytest_pmpo.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Engine:
    """A model of this run with all that its losses depend on."""

    model: Model
    device: str
    dtype: str
    fingerprint: Fingerprint
    scorer: Scorer

    @property
    def description(self) -> str:
        """``smollm2-135m@b179c952cafa, cpu, float32``."""
        return f"{self.model.name}@{self.model.revision}, {self.device}, {self.dtype}"


@dataclass(slots=True)
class Models:
    """Finds models by the names settings use. A model that cannot be had is looked for once.

    Attributes:
        trusted: whether a model may run its own code; see ``trust.py``.
        notify: told one line before a download or a conversion.
        progress: called while a model scores.
        limits: passed on to backends when they open, such as a number of threads.
    """

    config: Config
    trusted: Callable[[str], bool] = lambda spec: False
    notify: Notify | None = None
    progress: Progress | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    _found: dict[str, Engine | PmpoError] = field(default_factory=dict)

    def engine(self, spec: str, settings: Settings) -> Engine:
        """The model of that name.

        Raises:
            ModelError: it is not here, damaged or refused; the same again when asked again.
        """
        if spec not in self._found:
            try:
                self._found[spec] = self._find(spec, settings)
            except PmpoError as error:
                self._found[spec] = error
        found = self._found[spec]
        if isinstance(found, PmpoError):
            raise found
        return found

    def fingerprint_here(self, spec: str, settings: Settings) -> str:
        """Fingerprint of the model's files, for what must not download or convert one.

        Raises:
            ModelError: as ``engine``, and for a model that is not here yet.
        """
        found = self._found.get(spec)
        return found.model.fingerprint if isinstance(found, Engine) else self._model(spec, settings, False).fingerprint

    def engines(self) -> tuple[Engine, ...]:
        """Those found so far."""
        return tuple(engine for engine in self._found.values() if isinstance(engine, Engine))

    def cache_troubles(self) -> tuple[str, ...]:
        """What kept the cache from being used, where something did."""
        caches = (engine.scorer.cache for engine in self.engines())
        return tuple(dict.fromkeys(cache.trouble for cache in caches if cache is not None and cache.trouble))

    def cache_folder(self) -> Path:
        """Where losses and converted models are kept."""
        chosen = self.config.settings.cache_dir
        return cache_home() if chosen is None else (self.config.folder / Path(chosen).expanduser())

    def _find(self, spec: str, settings: Settings) -> Engine:
        cache = self.cache_folder()
        model = self._model(spec, settings, True)
        device, dtype = where_to_run(settings)
        fingerprint = model.scoring_fingerprint(device_class(device), dtype)
        scorer = Scorer(
            fingerprint.digest,
            lambda: model.open(device, dtype, **self._limits()),
            cache=LossCache(cache) if self.config.settings.cache else None,
            progress=self.progress,
        )
        return Engine(model, device, dtype, fingerprint, scorer)

    def _model(self, spec: str, settings: Settings, fetch: bool) -> Model:
        return resolve(
            spec,
            root=self.config.folder,
            revision=settings.revision,
            cache_dir=self.cache_folder(),
            trust_remote_code=self.trusted(spec),
            fetch=fetch,
            notify=self.notify,
        )

    def _limits(self) -> dict[str, Any]:
        tokens = self.config.settings.max_batch_tokens
        return {**self.limits, **({} if tokens is None else {"max_batch_tokens": tokens})}


def where_to_run(settings: Settings) -> tuple[str, str]:
    """Device and dtype with ``auto`` decided: float32 on a CPU, bfloat16 on an accelerator."""
    device = choose_device(settings.device)
    if settings.dtype != "auto":
        return device, settings.dtype
    return device, "float32" if device == "cpu" else "bfloat16"
