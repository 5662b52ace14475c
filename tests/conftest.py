"""Shared by all tests: pytester for tests of the plugin, and an environment no machine's settings leak into."""

from __future__ import annotations

import json
import signal
import subprocess
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest

pytest_plugins = ["pytester"]

_LEAKING = (
    *("GITHUB_BASE_REF", "GITHUB_HEAD_REF", "GITHUB_REF", "GITHUB_EVENT_NAME", "GITHUB_EVENT_PATH", "GITHUB_ACTIONS"),
    *("CI", "BUILD_NUMBER", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CI_MERGE_REQUEST_DIFF_BASE_SHA"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "PYTEST_ADDOPTS", "PY_COLORS", "FORCE_COLOR", "NO_COLOR"),
)
"""Variables that say which base to take, where git works, or how pytest prints."""


def pytest_configure() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored, and every child would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No variables of the surrounding job, a git without the user's configuration, and a loss cache of the test's own.

    Gives the cache's folder.
    """
    for name in _LEAKING:
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path_factory.mktemp("cache")
    identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
    for name, value in {
        **identity,
        "GIT_CONFIG_GLOBAL": str(cache / "no-git-config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "PMPO_CACHE_DIR": str(cache),
        "COLUMNS": "100",
    }.items():
        monkeypatch.setenv(name, value)
    return cache


_WHO = {"NAME": "Test", "EMAIL": "test@example.invalid"}

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


_LIBRARIES = ("yaml", "numpy", "scipy.stats", "git", "pathspec", "jinja2.sandbox", "pydantic", "rich.cells", "sqlite3")
_ROOMS = ("prompts", "gate", "report", "app", "plugin", "scoring.metrics")


def _keep_modules() -> None:
    """Import what a run of the plugin would. pytester forgets what is imported while it is there, and a second import
    makes classes that are not those of the first; extension modules (yaml's, numpy's) do not survive it at all."""
    for name in _LIBRARIES:
        import_module(name)
    for room in _ROOMS:
        package = import_module(f"pytest_pmpo.{room}")
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)


@pytest.fixture
def repo(clean_environment: Path, request: pytest.FixtureRequest) -> Repo:
    """The repository, on branch main, clean; the working directory."""
    _keep_modules()
    made = Repo(request.getfixturevalue("pytester"))
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
