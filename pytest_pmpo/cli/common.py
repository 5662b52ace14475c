"""What several commands share: options of the settings, and the project around the working directory."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from pytest_pmpo.app.extensions import Extensions, bare_manager
from pytest_pmpo.app.progress import ProgressLine
from pytest_pmpo.app.project import Project
from pytest_pmpo.errors import ConfigError, SourceError
from pytest_pmpo.options import SETTINGS, Given, Option, given


def add_options(parser: argparse.ArgumentParser, options: Iterable[Option] = SETTINGS) -> None:
    """Options of the common table, without the plugin's prefix."""
    for option in options:
        parser.add_argument(f"--{option.name}", **option.arguments())


def given_of(arguments: argparse.Namespace) -> Given:
    """What the command line said."""
    return given(lambda dest: getattr(arguments, dest, None), Path.cwd())


def open_project(arguments: argparse.Namespace) -> Project:
    """The project around the working directory.

    Raises:
        ConfigError: see ``config.load``.
    """
    extensions = Extensions(bare_manager().hook)
    return Project.open(Path.cwd(), given_of(arguments).settings, extensions, options="--")


def chosen_paths(project: Project, named: Iterable[str]) -> tuple[str, ...]:
    """Prompt files to work on: those named (a folder stands for the configured prompts in it), else all configured.

    Raises:
        ConfigError: none is named, and there are none; a gate that has nothing to look at is no success.
        SourceError: a path that does not exist, or a folder without configured prompts.
    """
    named = tuple(named)
    if not named:
        found = project.discovered()
        if not found:
            folder = project.config.settings.prompts[0]
            raise ConfigError(
                f"no prompts: there is no {folder!r} in {project.config.folder}",
                hint="name yours in [tool.pmpo] prompts, or on the command line",
            )
        return found
    chosen: list[str] = []
    for name in named:
        place = Path.cwd() / name
        path = project.relative(place)
        if place.is_dir():
            below = [found for found in project.discovered() if (project.root / found).is_relative_to(place)]
            if not below:
                raise SourceError(f"there are no configured prompts in {name}")
            chosen += below
        elif place.is_file():
            chosen.append(path)
        else:
            raise SourceError(f"there is no file {name}")
    return tuple(dict.fromkeys(chosen))


def notify(line: str) -> None:
    """Progress in words, on standard error: standard output is for results."""
    print(line, file=sys.stderr, flush=True)


def progress() -> ProgressLine | None:
    """A progress line on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        return None
    return ProgressLine(lambda line: print(f"\r\x1b[K{line[: width() - 1]}", end="", file=sys.stderr, flush=True))


def width() -> int:
    """Columns of the terminal, 80 where there is none."""
    return shutil.get_terminal_size().columns
