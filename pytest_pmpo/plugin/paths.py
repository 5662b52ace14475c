"""What the command line names, and whether it looks like a prompt. Standard library only: runs at every start."""

from __future__ import annotations

import os

import pytest

_PROMPT_SUFFIXES = (".prompt.yml", ".prompt.yaml", ".prompty", ".prompt")
_PROMPT_STEMS = ("promptfooconfig.",)
_PLAIN_SUFFIXES = (".md", ".txt", ".j2", ".jinja", ".jinja2", ".yaml", ".yml", ".json")
_FIXTURES = ("yaml", "yml", "jsonl", "json", "csv")


def explicit_paths(config: pytest.Config) -> list[str]:
    """Absolute paths of the command line's arguments; none where pytest chose the arguments itself."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return []
    folder = config.invocation_params.dir
    return [os.path.normpath(folder / argument.split("::")[0]) for argument in config.args]


def looks_like_prompt(path: str) -> bool:
    """By name alone, or by a file of fixtures beside it; a ``README.md`` is no prompt and a ``notes.txt`` neither."""
    folder, name = os.path.split(path)
    if name.endswith(_PROMPT_SUFFIXES) or name.startswith(_PROMPT_STEMS):
        return True
    if not name.endswith(_PLAIN_SUFFIXES):
        return False
    stems = {name.rsplit(".", 1)[0], name.rsplit(".", 2)[0]}
    beside = (os.path.join(folder, f"{stem}.fixtures.{suffix}") for stem in stems for suffix in _FIXTURES)
    return any(os.path.isfile(path) for path in beside)
