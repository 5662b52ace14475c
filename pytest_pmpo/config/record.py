"""The settings of a run as plain values: which there are, and what holds by default.

What they may hold is said in ``settings.py``, by pydantic, which also explains what is wrong. Importing it takes longer
than judging a hundred unchanged prompts, so settings that are plainly right are recognised here, and every other one is
left to it. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pmpo.gate.records import Blocking

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_LABEL_KEYS = ("expected", "expected_output", "ideal", "answer", "output", "label", "reference")


@dataclass(frozen=True, slots=True)
class Override:
    """Other settings for some prompts: ``given`` for those that ``paths``, globs as in .gitignore, match."""

    paths: tuple[str, ...]
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run can be told. Paths are relative to the folder of the configuration file."""

    prompts: tuple[str, ...] = ("prompts",)
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    metric: str = "auto"
    end_of_turn: bool = False
    label_keys: tuple[str, ...] = DEFAULT_LABEL_KEYS
    tolerance: float = 0.02
    hard_break: float | None = 1.0
    alpha: float = 0.05
    strict: bool = False
    blocking: Blocking = "always"
    base: str | None = None
    baseline: str | None = None
    cache: bool = True
    cache_dir: str | None = None
    max_batch_tokens: int | None = None
    trust_remote_code: bool = False
    graders: Mapping[str, Any] = field(default_factory=dict)
    override: tuple[Override, ...] = ()


NAMES = tuple(each.name for each in fields(Settings))
"""Every setting, in the order they are listed in."""


def plain_settings(values: Mapping[str, Any]) -> Settings | None:
    """The settings, or None where ``settings.py`` has to look at them."""
    if not all(key in _PLAIN and _PLAIN[key](value) for key, value in values.items()):
        return None
    known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if "model" in known:
        if "models" in known:
            return None
        model = known.pop("model")
        known["models"] = (model,) if isinstance(model, str) else model
    settings = Settings(**known)
    if (settings.base and settings.baseline) or (settings.revision and len(settings.models) > 1):
        return None
    return settings


def _text(value: object) -> bool:
    return type(value) is str and value != "" and value.isascii()


def _texts(value: object) -> bool:
    return type(value) in (list, tuple) and bool(value) and all(map(_text, value))  # type: ignore[call-overload]


def _flag(value: object) -> bool:
    return type(value) is bool


_PLAIN: Mapping[str, Callable[[Any], bool]] = {
    "prompts": _texts,
    "model": lambda value: _text(value) or _texts(value),
    "models": _texts,
    "revision": _text,
    "device": lambda value: value in ("auto", "cpu", "cuda", "mps"),
    "dtype": lambda value: value in ("auto", "float32", "bfloat16", "float16"),
    "metric": _text,
    "end_of_turn": _flag,
    "label_keys": _texts,
    "tolerance": lambda value: type(value) is float and 0 <= value < float("inf"),
    "hard_break": lambda value: type(value) is float and 0 < value < float("inf"),
    "alpha": lambda value: type(value) is float and 0 < value <= 0.5,
    "strict": _flag,
    "blocking": lambda value: value in ("always", "no-proxy", "never"),
    "base": _text,
    "baseline": _text,
    "cache": _flag,
    "cache_dir": _text,
    "max_batch_tokens": lambda value: type(value) is int and value > 0,
    "trust_remote_code": _flag,
}
