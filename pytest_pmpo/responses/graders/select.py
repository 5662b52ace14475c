"""Which grader a configuration means."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pmpo.errors import ConfigError, GraderError
from pytest_pmpo.prompts.model import Choice, Expected, Fixture
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.graders.choice import ChoiceLetter
from pytest_pmpo.responses.graders.contains import Contains
from pytest_pmpo.responses.graders.exact import Exact
from pytest_pmpo.responses.graders.function import TIME_LIMIT, Function
from pytest_pmpo.responses.graders.judge import DEFAULT_RUBRIC, Ask, Judge
from pytest_pmpo.responses.graders.number import Number, final_number
from pytest_pmpo.responses.graders.pattern import Regex
from pytest_pmpo.responses.graders.structured import JsonAnswer
from pytest_pmpo.scoring.backends.chat_server import parse_server

GRADERS: Mapping[str, tuple[str, ...]] = {
    "exact": ("strict",),
    "choice": (),
    "number": ("tolerance",),
    "contains": ("required", "forbidden"),
    "regex": ("pattern",),
    "json": ("schema", "fields", "compare"),
    "function": ("function", "time_limit"),
    "judge": ("model", "rubric"),
}
"""Names of the graders and the options each takes. Grades given in a bank file need no grader."""

FOREIGN = ("function", "judge")
"""Graders that run code or send data somewhere; see ``app/grading.py`` for when that is allowed."""


@dataclass(frozen=True, slots=True)
class GraderSpec:
    """A grader as a configuration or a command line names it."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: str | Mapping[str, Any]) -> GraderSpec:
        """A name, ``module:function``, or a table with ``grader`` and its options.

        Raises:
            ConfigError: a table without ``grader``.
        """
        if isinstance(value, str):
            return cls("function", {"function": value}) if ":" in value else cls(value)
        rest = {key: option for key, option in value.items() if key != "grader"}
        if not isinstance(value.get("grader"), str):
            raise ConfigError("a grader's table says which one: grader = 'number'", hint=f"one of {', '.join(GRADERS)}")
        named = cls.parse(value["grader"])
        return cls(named.name, {**named.options, **rest})

    def check(self) -> None:
        """Refuse what can never be used; runs nothing and asks nobody.

        Raises:
            ConfigError: unknown name or option, or one that does not fit.
        """
        make_grader(self.name, self.options, root=Path(), ask=lambda turns: "")
        if self.name == "judge":
            parse_server(str(self.options["model"]), {})


@contextmanager
def opened(grader: Grader) -> Iterator[Grader]:
    """The grader, with its process ended afterwards where it has one."""
    try:
        yield grader
    finally:
        if isinstance(grader, Function):
            grader.close()


def make_grader(name: str, options: Mapping[str, Any], *, root: Path, ask: Ask | None = None) -> Grader:
    """The grader of that name.

    Args:
        name: one of ``GRADERS``.
        options: its options, as the configuration gives them.
        root: folder a user's function is imported from.
        ask: the judge's port; only ``judge`` needs it.

    Raises:
        ConfigError: unknown name or option, or one that does not fit.
    """
    _check(name, options)
    makers: dict[str, Callable[[], Grader]] = {
        "exact": lambda: Exact(_of(bool, options, "strict", False)),
        "choice": ChoiceLetter,
        "number": lambda: Number(float(_of((int, float), options, "tolerance", 0.0))),
        "contains": lambda: Contains(_texts(options, "required"), _texts(options, "forbidden")),
        "regex": lambda: Regex(str(_needed(name, options, "pattern"))),
        "json": lambda: JsonAnswer(
            _of(Mapping, options, "schema", None), _texts(options, "fields"), _of(bool, options, "compare", True)
        ),
        "function": lambda: Function(
            str(_needed(name, options, "function")),
            root,
            time_limit=float(_of((int, float), options, "time_limit", TIME_LIMIT)),
        ),
        "judge": lambda: _judge(options, ask),
    }
    return makers[name]()


def default_grader(fixtures: Sequence[Fixture]) -> Grader:
    """The grader the labels themselves suggest: choice, number, else exact.

    Raises:
        GraderError: where no label says what a right answer is (preference pairs).
    """
    labels = [fixture.label for fixture in fixtures]
    if any(not isinstance(label, (Choice, Expected)) for label in labels):
        raise GraderError(
            "preference pairs do not say which other responses are good", hint="name a grader: a function or a judge"
        )
    if all(isinstance(label, Choice) for label in labels):
        return ChoiceLetter()
    texts = [label.text for label in labels if isinstance(label, Expected)]
    if len(texts) == len(labels) and all(_is_number(text) for text in texts):
        return Number()
    return Exact()


def _is_number(text: str) -> bool:
    return len(text.strip()) <= 24 and final_number(text) is not None and text.strip(" $€£%.+-−,0123456789") == ""


def _check(name: str, options: Mapping[str, Any]) -> None:
    if name not in GRADERS:
        near = difflib.get_close_matches(name, GRADERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(GRADERS)}"
        raise ConfigError(f"unknown grader {name!r}", hint=hint)
    unknown = sorted(set(options) - set(GRADERS[name]))
    if unknown:
        known = ", ".join(GRADERS[name]) or "none"
        raise ConfigError(f"grader {name!r} has no option {unknown[0]!r}", hint=f"its options: {known}")


def _needed(name: str, options: Mapping[str, Any], key: str) -> Any:
    if key not in options:
        raise ConfigError(f"grader {name!r} needs the option {key!r}")
    return options[key]


def _of(kind: Any, options: Mapping[str, Any], key: str, default: Any) -> Any:
    value = options.get(key, default)
    if key in options and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        what = "true or false" if kind is bool else "a table" if kind is Mapping else "a number"
        raise ConfigError(f"{key!r} is {what}, not {value!r:.60}")
    return value


def _texts(options: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = options.get(key, ())
    if isinstance(value, str) or not all(isinstance(text, str) for text in value):
        raise ConfigError(f"{key!r} is a list of texts, not {value!r}")
    return tuple(value)


def _judge(options: Mapping[str, Any], ask: Ask | None) -> Judge:
    if ask is None:
        raise ConfigError("the judge needs a model server", hint='model = "openai:MODEL@URL" under [tool.pmpo.graders]')
    return Judge(ask, str(_needed("judge", options, "model")), str(options.get("rubric", DEFAULT_RUBRIC)))
