"""``[tool.pmpo]`` and the command line → frozen settings, and where each of them came from.

The file is the nearest ``pmpo.toml``, or ``pyproject.toml`` with a ``[tool.pmpo]`` table, from where the run starts up
to the root of the repository. The command line wins over the file (its overrides included), the file over the defaults.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_pmpo.config.record import NAMES, Override, Settings, plain_settings
from pytest_pmpo.config.table import FILES, ConfigFile, as_config_error, read_table

__all__ = ["Config", "ConfigFile", "Override", "Settings", "changed", "find_file", "load", "read_table"]

_INSTEAD = {"base": "baseline", "baseline": "base", "revision": "models"}
"""A setting of the file that no longer holds once the other one is given on the command line."""


@dataclass(frozen=True, slots=True)
class Config:
    """Merged settings of a run.

    Attributes:
        settings: those that hold where no override matches.
        folder: what relative paths of the file are relative to.
        file: where they came from, if there is a file.
        given: settings of the command line by name; they win over overrides too.
    """

    settings: Settings
    folder: Path
    file: ConfigFile | None
    given: Mapping[str, Any]

    def for_path(self, path: str) -> Settings:
        """The settings of one prompt, its overrides applied.

        Args:
            path: of the prompt, relative to ``folder``, POSIX separators; may begin with ``../``.
        """
        values: dict[str, Any] = {}
        for override in self.settings.override:
            if _matches(override.paths, path):
                values.update(override.given)
        values = {key: value for key, value in values.items() if key not in self.given}
        if "models" in values:
            values["revision"] = None
        return replace(self.settings, **values) if values else self.settings

    def grader_for(self, path: str) -> tuple[str, str | Mapping[str, Any]] | None:
        """The glob that names a prompt's grader, and how; None where none does. The last one that matches counts.

        Args:
            path: as for ``for_path``.
        """
        found = [(glob, grader) for glob, grader in self.settings.graders.items() if _matches((glob,), path)]
        return found[-1] if found else None

    def idle(self, paths: Sequence[str]) -> Iterator[str]:
        """One line on each override or grader whose globs match none of ``paths``: its settings count for nothing."""
        for i, override in enumerate(self.settings.override):
            if not any(_matches(override.paths, path) for path in paths):
                yield f"{self._place('override', i)}the override for {', '.join(override.paths)} matches no prompt"
        for glob in self.settings.graders:
            if not any(_matches((glob,), path) for path in paths):
                yield f"{self._place('graders', glob)}the grader for {glob} matches no prompt"

    def loose(self) -> Iterator[str]:
        """One line on each tolerance that was meant as percent, it seems: a loss may double under it."""
        asked = [(f"{self.origin('tolerance')}: ", self.settings.tolerance)]
        for i, override in enumerate(self.settings.override):
            asked.append((self._place("override", i), override.given.get("tolerance", 0.0)))
        for place, value in asked:
            if value >= 1:
                percent = f"{value:g} % is {value / 100:g}"
                yield f"{place}tolerance = {value:g} lets a loss grow by {100 * value:g} %; {percent}"

    def _place(self, *key: str | int) -> str:
        line = None if self.file is None else self.file.line_of(*key)
        return "" if self.file is None else f"{self.file.shown}:{line}: " if line else f"{self.file.shown}: "

    def origin(self, key: str) -> str:
        """Where the value of a setting comes from: ``command line``, ``pyproject.toml:12`` or ``default``."""
        if key in self.given or _INSTEAD.get(key) in self.given:
            return "command line"
        line = None if self.file is None else self.file.line_of(key)
        return "default" if self.file is None or line is None else f"{self.file.shown}:{line}"

    def describe(self) -> Iterator[str]:
        """One line per setting: name, value as TOML would write it, and where it comes from."""
        for key in NAMES:
            if key in ("override", "graders"):
                continue
            yield f"{key} = {_as_toml(getattr(self.settings, key), key)}  ({self.origin(key)})"
        for glob, grader in self.settings.graders.items():
            line = None if self.file is None else self.file.line_of("graders", glob)
            yield f"grader for {glob}: {_as_toml(grader, 'graders')}  ({self.file.shown if self.file else ''}:{line})"
        for i, override in enumerate(self.settings.override):
            line = None if self.file is None else self.file.line_of("override", i)
            shown = ", ".join(f"{key} = {_as_toml(value, key)}" for key, value in override.given.items())
            place = "" if self.file is None else f"  ({self.file.shown}:{line})"
            yield f"override for {', '.join(override.paths)}: {shown}{place}"

    def patterns(self, root: Path) -> tuple[str, ...]:
        """``prompts`` relative to ``root`` (the repository), for the discovery."""
        return tuple(self.below(root, pattern) for pattern in self.settings.prompts)

    def below(self, root: Path, path: str) -> str:
        """A path of the file as one relative to ``root``, POSIX separators."""
        prefix = PurePosixPath(self.folder.relative_to(root).as_posix()) if self.folder != root else PurePosixPath()
        return posixpath.normpath(str(prefix / path))


def find_file(start: Path, top: Path | None) -> ConfigFile | None:
    """The nearest file with settings, from ``start`` up to ``top``; only in ``start`` where ``top`` is None.

    Raises:
        ConfigError: if the file is no TOML, or one folder has two that both hold settings.
    """
    folders = [start]
    if top is not None and start.is_relative_to(top):
        folders += [folder for folder in start.parents if folder.is_relative_to(top)]
    for folder in folders:
        found = [file for name in FILES if (file := ConfigFile.read(folder / name, shown=_shown(folder / name, start)))]
        if len(found) > 1:
            raise found[1].error("settings stand here and in pmpo.toml: keep one of them", ())
        if found:
            return found[0]
    return None


def load(start: Path, top: Path | None, given: Mapping[str, Any], *, options: str = "--pmpo-") -> Config:
    """Find, merge and check the settings.

    Args:
        start: folder the run starts in (pytest's rootdir, or the working directory); absolute.
        top: root of the repository, or None.
        given: settings of the command line, by name; paths among them absolute.
        options: what options begin with, for errors.

    Raises:
        ConfigError: naming file, line and the near miss of an unknown key, or the option.
    """
    file = find_file(start, top)
    values: dict[str, Any] = {} if file is None else dict(file.table)
    for key, other in _INSTEAD.items():
        if other in given:
            values.pop(key, None)
    if "models" in given:
        values.pop("model", None)
    settings = _checked({**values, **given}, file, given, options)
    folder = start if file is None else file.path.parent
    return Config(settings, folder, file, dict(given))


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some values replaced by a caller's.

    Raises:
        ConfigError: naming a value that cannot be used.
    """
    return _checked({**_given_values(settings), **changes}, None, changes, "")


def _given_values(settings: Settings) -> dict[str, Any]:
    """As they could stand in a file."""
    values = {name: getattr(settings, name) for name in NAMES}
    values["override"] = [{"paths": entry.paths, **_off(entry.given)} for entry in settings.override]
    return {name: value for name, value in _off(values).items() if value is not None}


def _off(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: False if key == "hard_break" and value is None else value for key, value in values.items()}


def _checked(values: Mapping[str, Any], file: ConfigFile | None, given: Mapping[str, Any], options: str) -> Settings:
    settings = plain_settings(values)
    if settings is not None:
        return settings
    from pydantic import ValidationError

    from pytest_pmpo.config.settings import Settings as Model

    try:
        return Model.model_validate(values).to_record()
    except ValidationError as error:
        raise as_config_error(error, file, given, options) from None


def _matches(globs: tuple[str, ...], path: str) -> bool:
    from pathspec import GitIgnoreSpec  # only a file with overrides pays for it

    return GitIgnoreSpec.from_lines(globs).match_file(path)


def _shown(path: Path, start: Path) -> str:
    """As a person in ``start`` would write it."""
    if path.is_relative_to(start):
        return path.relative_to(start).as_posix()
    ups = start.relative_to(path.parent).parts
    return posixpath.join(*([".."] * len(ups)), path.name)


def _as_toml(value: object, key: str) -> str:
    if value is None:
        return "false" if key == "hard_break" else "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_as_toml(item, key) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name} = {_as_toml(item, name)}' for name, item in value.items())}}}"
    return f'"{value}"' if isinstance(value, str) else str(value)
