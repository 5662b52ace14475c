"""The table of settings in a TOML file, and pydantic's complaints about it as errors with file, line and near miss."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_pmpo.config.toml_lines import find_line
from pytest_pmpo.errors import ConfigError, Location

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

FILES = ("pmpo.toml", "pyproject.toml")
_PLAINER = {
    "too_short": "should not be empty",
    "string_too_short": "should not be empty",
    "dict_type": "should be a table",
    "bool_type": "should be true or false",
    "missing": "is missing",
}
_CHOICE = re.compile(r"'([^']+)'")
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that holds settings.

    Attributes:
        shown: the path as messages print it.
        table: the settings as TOML gives them.
        text: of the whole file; lines are looked up in it when an error needs one.
    """

    path: Path
    shown: str
    table: Mapping[str, Any]
    text: str

    @classmethod
    def read(cls, path: Path, *, shown: str) -> Self | None:
        """The file, or None where there is none or it holds no settings of ours.

        Raises:
            ConfigError: if it cannot be read or is no TOML.
        """
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", location=Location(shown)) from error
        table = read_table(data, shown)
        return None if table is None else cls(path, shown, table, data.decode())

    def line_of(self, *keys: str | int) -> int | None:
        """The line of a setting, None where the file does not set it."""
        path = self._prefix(keys)
        found = find_line(self.text, path)
        return None if found is None or not _holds(self.table, keys) else found

    def error(self, message: str, keys: Sequence[str | int], hint: str | None = None) -> ConfigError:
        """An error at the place of a setting (of the table, where ``keys`` is empty)."""
        line = find_line(self.text, self._prefix(keys))
        return ConfigError(message, location=Location(self.shown, line), hint=hint)

    def _prefix(self, keys: Sequence[str | int]) -> tuple[str | int, ...]:
        # "model" is the short form of "models"
        if keys[:1] == ("models",) and "models" not in self.table:
            keys = ("model", *keys[1:])
        return tuple(keys) if self.path.name == "pmpo.toml" else ("tool", "pmpo", *keys)


def read_table(data: bytes, shown: str) -> Mapping[str, Any] | None:
    """The settings in the bytes of a ``pmpo.toml`` or ``pyproject.toml``; None where the latter has no ``[tool.pmpo]``.

    Raises:
        ConfigError: no UTF-8, no TOML, or ``tool.pmpo`` is not a table.
    """
    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("the file is not UTF-8", location=Location(shown, line)) from error
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _AT_LINE.search(message)
        line_number = int(at.group(1)) if at else None
        raise ConfigError(
            f"the file is not valid TOML: {_AT_LINE.sub('', message)}", location=Location(shown, line_number)
        ) from error
    if shown.rpartition("/")[2] == "pmpo.toml":
        return document
    tool = document.get("tool", {})
    table = tool.get("pmpo") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        line_number = find_line(data.decode(), ("tool", "pmpo"))
        raise ConfigError("tool.pmpo is not a table", location=Location(shown, line_number))
    return table


def as_config_error(
    error: ValidationError, file: ConfigFile | None, given: Mapping[str, Any], options: str
) -> ConfigError:
    """pydantic's list of complaints as one error, in the order of the file."""
    errors = [
        _given_error(entry, given, options) if entry["loc"] and entry["loc"][0] in given else _file_error(entry, file)
        for entry in error.errors(include_url=False, include_context=False)
    ]
    errors.sort(key=lambda e: (e.location is not None, e.location.line or 0 if e.location else 0))
    first, rest = errors[0], errors[1:]
    if not rest:
        return first
    lines = [_with_hint(other, str(other).partition("\n  hint: ")[0]) for other in rest]
    return ConfigError("\n".join([_with_hint(first, first.message), *lines]), location=first.location)


def _with_hint(error: ConfigError, text: str) -> str:
    return text if error.hint is None else f"{text} ({error.hint})"


def _given_error(entry: ErrorDetails, given: Mapping[str, Any], options: str) -> ConfigError:
    name = str(entry["loc"][0])
    option = options + name.removesuffix("s").replace("_", "-")
    message = f"{option} {_plain(entry['type'], entry['msg'])}, not {_quoted(given[name])}"
    return ConfigError(message, hint=_near_choice(entry))


def _file_error(entry: ErrorDetails, file: ConfigFile | None) -> ConfigError:
    kind, message, hint = entry["type"], entry["msg"], _near_choice(entry) or _as_list(entry)
    if file is None:
        return ConfigError(_plain(kind, message), hint=hint)
    keys = _existing(file.table, entry["loc"])
    name = ".".join(str(key) for key in keys if isinstance(key, str))
    if kind == "missing":
        return file.error(f"{'.'.join(filter(None, (name, str(entry['loc'][-1]))))} {_PLAINER[kind]}", keys)
    if name == "model" and kind == "tuple_type":
        return file.error("model: should be a name, or a list of names", keys)
    if kind == "extra_forbidden":
        return file.error(f"unknown setting {name!r}", keys, near_miss(str(keys[-1]), _known(keys[:-1])))
    return file.error(f"{name}: {_plain(kind, message)}" if name else _plain(kind, message), keys, hint)


def _near_choice(entry: ErrorDetails) -> str | None:
    """A hint for a word that is none of a few: the one that was probably meant."""
    if entry["type"] != "literal_error" or not isinstance(entry["input"], str):
        return None
    close = get_close_matches(entry["input"], _CHOICE.findall(entry["msg"]), n=1)
    return f"did you mean {close[0]!r}?" if close else None


def _as_list(entry: ErrorDetails) -> str | None:
    """A hint for a text where a list of one belongs."""
    one = entry["type"] == "tuple_type" and isinstance(entry["input"], str)
    return f"write [{entry['input']!r}]" if one else None


def near_miss(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown key: the one that was probably meant, else all there are."""
    known = sorted(known)
    close = get_close_matches(name.replace("-", "_"), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known settings: {', '.join(known)}"


def _known(parents: Sequence[str | int]) -> list[str]:
    from pytest_pmpo.config.settings import Override, Settings

    fields = Override.model_fields if "override" in parents else Settings.model_fields
    return [*fields, "model"]


def _existing(table: Mapping[str, Any], loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """The part of pydantic's location that is in the file; unions and validators add steps of their own."""
    keys: list[str | int] = []
    at: Any = table
    for step in loc:
        if step == "models" and isinstance(at, dict) and "models" not in at and "model" in at:
            step = "model"
        if not _has(at, step):
            break
        at = at[step]
        keys.append(step)
    return tuple(keys)


def _holds(table: Mapping[str, Any], keys: Sequence[str | int]) -> bool:
    if keys[:1] == ("models",) and "models" not in table:
        keys = ("model", *keys[1:])
    return len(_existing(table, keys)) == len(keys)


def _has(at: Any, step: str | int) -> bool:
    if isinstance(at, dict):
        return step in at
    return isinstance(at, list) and isinstance(step, int) and step < len(at)


def _plain(kind: str, message: str) -> str:
    if kind in _PLAINER:
        return _PLAINER[kind]
    message = message.removeprefix("Value error, ").replace("Input should", "should").replace("valid tuple", "list")
    return message[:1].lower() + message[1:]


def _quoted(value: object) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)
