"""The documentation names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_pmpo import hookspecs
from pytest_pmpo.config.settings import Override, Settings
from pytest_pmpo.options import OPTIMIZE, OUTPUTS, RUN, SETTINGS

PAGE = (Path(__file__).parents[2] / "docs/pytest.md").read_text("utf-8")


def test_every_option_is_documented_and_every_documented_option_exists():
    """In both directions."""
    named = set(re.findall(r"--pmpo-[a-z-]+", PAGE))
    assert named == {f"--pmpo-{option.name}" for option in (*SETTINGS, *OUTPUTS, *RUN, *OPTIMIZE)}


def test_every_setting_is_documented():
    """The keys of the table, and those an override may hold."""
    settings, _, overrides = PAGE.partition("For some prompts only")
    assert [key for key in Settings.model_fields if f"`{key}`" not in settings and key != "override"] == []
    assert [key for key in Override.model_fields if f"`{key}`" not in overrides] == []


def test_every_hook_is_documented():
    """The extension points."""
    hooks = [name for name in vars(hookspecs) if name.startswith("pytest_pmpo_")]
    assert [name for name in hooks if f"`{name}(" not in PAGE] == []
