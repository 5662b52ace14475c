"""``--pmpo-show-config``: every setting and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Repo


def test_settings_are_printed_with_their_origin_and_nothing_runs(repo: Repo):
    """Default, file with line, command line."""
    result = repo.run("--pmpo-show-config", "--pmpo-tolerance=0.3")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            'models = [[]"fake"]  (pyproject.toml:2)',
            "tolerance = 0.3  (command line)",
            "strict = false  (default)",
        ]
    )
    result.stdout.no_fnmatch_line("*test session starts*")


def test_a_mistake_in_the_file_is_a_usage_error(repo: Repo):
    """There is nothing to show then."""
    repo.settings("alpha = 2\n")
    result = repo.run("--pmpo-show-config")
    assert result.ret == 4
    assert "pyproject.toml:3: alpha: should be less than or equal to 0.5" in result.stderr.str()
