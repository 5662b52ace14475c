"""Installed but not asked for: nothing is collected, imported or run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "transformers", "pydantic", "git", "yaml", "jinja2", "numpy", "scipy", "rich", "pathspec", "sqlite3")

PROBE = f"""
import subprocess, sys
import pytest

started = []
class Popen(subprocess.Popen):
    def __init__(self, *arguments, **keywords):
        started.append(arguments)
        super().__init__(*arguments, **keywords)
subprocess.Popen = Popen

class Probe:
    def pytest_unconfigure(self, config):
        assert config.pluginmanager.hasplugin("pmpo"), "the plugin is not installed"
        loaded = sorted(name for name in {HEAVY!r} if name in sys.modules)
        ours = sorted(name for name in sys.modules if name.startswith("pytest_pmpo"))
        print("LOADED", loaded, "STARTED", started, "OURS", ours)

raise SystemExit(pytest.main(sys.argv[1:], plugins=[Probe()]))
"""


def probe(folder: Path, *arguments: str) -> str:
    """What a pytest of its own process had loaded and started when it ended."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "-p", "no:cacheprovider", *_other_plugins_off(), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert found, done.stdout + done.stderr
    return found[0]


def _other_plugins_off() -> list[str]:
    """Other plugins of this environment may import what they like."""
    from importlib.metadata import entry_points

    names = {entry.name for entry in entry_points(group="pytest11")} - {"pmpo"}
    return [argument for name in sorted(names) for argument in ("-p", f"no:{name}")]


def test_an_idle_plugin_loads_no_library_and_starts_no_process(tmp_path: Path):
    """Not in a run of tests, beside prompt files that nobody asked for."""
    (tmp_path / "test_x.py").write_text("def test_x():\n    pass\n")
    (tmp_path / "x.prompt.yml").write_text("messages: [")
    said = probe(tmp_path)
    assert said.startswith("LOADED [] STARTED [] OURS ")


def test_an_idle_plugin_loads_its_options_and_hooks_alone(tmp_path: Path):
    """Its own modules too wait until they are needed."""
    ours = probe(tmp_path, "--collect-only").partition("OURS ")[2]
    assert ours == str(
        [
            "pytest_pmpo",
            "pytest_pmpo.hookspecs",
            "pytest_pmpo.options",
            "pytest_pmpo.plugin",
            "pytest_pmpo.plugin.paths",
        ]
    )


def test_the_public_names_are_loaded_when_used():
    """``import pytest_pmpo`` costs nothing; every public name is there."""
    code = (
        "import sys, pytest_pmpo\n"
        "assert not any(name.startswith('pytest_pmpo.') for name in sys.modules)\n"
        "assert all(getattr(pytest_pmpo, name) for name in pytest_pmpo.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
