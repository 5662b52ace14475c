"""A small repository with prompts, and pytest runs in it."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import git  # noqa: F401
import numpy as np  # noqa: F401
import pathspec  # noqa: F401
import pytest
import scipy.stats  # noqa: F401

# pytester forgets what a run in this process imports; extension modules (yaml's) do not survive a second import
import pytest_pmpo.app.builtin
import pytest_pmpo.gate.statistics
import pytest_pmpo.plugin.gate
import pytest_pmpo.prompts.formats.registry
import pytest_pmpo.prompts.rowmodel
import pytest_pmpo.scoring.backends.fake  # noqa: F401

SPAM = """\
name: spam
messages:
  - role: system
    content: |
      Is the message spam or ham? Answer spam or ham.
      Examples of answers: spam, ham, spam, ham.
  - role: user
    content: "{{message}}"
testData:
  - {message: Win a prize now, expected: spam}
  - {message: Lunch at noon, expected: ham}
  - {message: Cheap pills, expected: spam}
  - {message: See you tomorrow, expected: ham}
  - {message: Claim your reward, expected: spam}
  - {message: The meeting moved to three, expected: ham}
"""

WORSE = ("      Examples of answers: spam, ham, spam, ham.\n", "      Just decide.\n")
BETTER = ("Is the message spam or ham?", "Is the message ham, spam, ham or spam, ham or spam, ham, spam or ham?")

GREETING = "Greet {{ name }}. Say: hello {{ name }}, hello {{ name }}\n"
GREETING_FIXTURES = """\
- vars: {name: Ada}
  expected: hello Ada
  tags: [short]
- vars: {name: Grace}
  expected: hello Grace
- vars: {name: Alan}
  expected: hello Alan
"""

SETTINGS = '[tool.pmpo]\nmodel = "fake"\n'


class Repo:
    """A git repository made for one test, with one passing test and two prompts, committed."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path

    def write(self, name: str, content: str | bytes) -> None:
        """A file, its folder made."""
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text in a file; it must be there."""
        text = (self.path / name).read_text("utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def git(self, *arguments: str) -> str:
        """Run git here."""
        done = subprocess.run(["git", *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message: str = "change") -> None:
        """Everything as it is now."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def run(self, *arguments: str) -> pytest.RunResult:
        """``pytest`` in this process."""
        return self.pytester.runpytest_inprocess(*arguments)

    def ids(self, *arguments: str) -> list[str]:
        """What ``pytest --collect-only`` collects."""
        result = self.run("--collect-only", "-q", *arguments)
        return [line for line in result.outlines if "::" in line]

    def settings(self, text: str) -> None:
        """More lines of ``[tool.pmpo]``."""
        self.write("pyproject.toml", SETTINGS + text)

    def worsen(self) -> None:
        """Take from the spam prompt what made the answers likely."""
        self.edit("prompts/spam.prompt.yml", *WORSE)

    def improve(self) -> None:
        """Give the spam prompt more of it."""
        self.edit("prompts/spam.prompt.yml", *BETTER)

    def json(self, name: str = "out.json") -> dict[str, Any]:
        """A JSON report."""
        run: dict[str, Any] = json.loads((self.path / name).read_text("utf-8"))["run"]
        return run


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """pytest finds the plugin by its entry point, so the package has to be installed."""
    names = [entry.value for entry in metadata.entry_points(group="pytest11")]
    if "pytest_pmpo.plugin" not in names:
        pytest.skip("the package is not installed: pip install -e .")


@pytest.fixture
def repo(pytester: pytest.Pytester, clean_environment: Path) -> Repo:
    """The repository, on branch main, clean."""
    made = Repo(pytester)
    made.write("pyproject.toml", SETTINGS)
    made.write("pytest.ini", "[pytest]\ntestpaths = tests\n")
    made.write("prompts/spam.prompt.yml", SPAM)
    made.write("prompts/greeting.md", GREETING)
    made.write("prompts/greeting.fixtures.yaml", GREETING_FIXTURES)
    made.write("tests/test_unit.py", "def test_unit():\n    pass\n")
    made.write(".gitignore", "__pycache__\n.pytest_cache\n")
    made.git("init", "-q", "-b", "main")
    made.commit("first")
    return made


@pytest.fixture(params=[(), ("-n", "2")], ids=["bare", "xdist"])
def workers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Arguments for a run in one process, and for one under pytest-xdist."""
    if request.param and not request.config.pluginmanager.hasplugin("xdist"):
        pytest.skip("pytest-xdist is not installed")
    arguments: tuple[str, ...] = request.param
    return arguments
