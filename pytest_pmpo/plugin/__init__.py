"""The pytest plugin: options, and whether this run asks for prompts. Everything else loads when it does.

Prompts are judged when ``--pmpo`` is given, when the ini file says ``pmpo = true``, when an output of ours is asked
for, or when a prompt file is named on the command line. Otherwise nothing is collected, imported or run.

==============================================  ==========================================================
``pytest --pmpo``                               the tests, then every configured prompt, whatever ``testpaths`` says
``pytest --pmpo prompts/``                      the configured prompts in that folder (and any tests there)
``pytest --pmpo tests/test_x.py``               that test, no prompts
``pytest prompts/triage.prompt.yml``            that prompt, without ``--pmpo`` too
==============================================  ==========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_pmpo import hookspecs
from pytest_pmpo.options import OPTIMIZE, OUTPUTS, RUN, SETTINGS
from pytest_pmpo.plugin.paths import explicit_paths, looks_like_prompt

if TYPE_CHECKING:
    from pytest_pmpo.testing import Pmpo


def pytest_addoption(parser: pytest.Parser) -> None:
    """One group, from the table of options."""
    group = parser.getgroup("pmpo", "gate for prompt changes (pytest-pmpo)")
    group.addoption("--pmpo", action="store_true", default=False, help="judge the prompts that [tool.pmpo] names")
    for option in (*SETTINGS, *OUTPUTS, *RUN, *OPTIMIZE):
        group.addoption(f"--pmpo-{option.name}", **option.arguments())
    parser.addini("pmpo", "judge prompts in every run, as --pmpo does", type="bool", default=False)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Extension points for conftest files and other plugins."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the rest of the plugin if this run asks for it."""
    config.addinivalue_line("markers", "pmpo: a prompt judged by pytest-pmpo (set on its items, for -m)")
    if _asked(config):
        from pytest_pmpo.plugin.gate import activate

        activate(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Whoever types one of our settings and not ``--pmpo`` would see a green run that has judged nothing."""
    if _asked(config):
        return None
    typed = [argument for argument in map(str, config.invocation_params.args) if argument.startswith("--pmpo-")]
    return f"pmpo: no prompt is judged: {typed[0].partition('=')[0]} needs --pmpo beside it" if typed else None


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """``--pmpo-show-config`` prints and stops, as ``--fixtures`` does."""
    if not config.getoption("pmpo_show_config"):
        return None
    from pytest_pmpo.plugin.gate import show_config

    return show_config(config)


@pytest.fixture
def pmpo(request: pytest.FixtureRequest) -> Pmpo:
    """Losses and verdicts for tests written by hand: ``pmpo.loss(...)``, ``pmpo.assert_no_regression(...)``."""
    from pytest_pmpo.plugin.gate import python_api

    return python_api(request.config)


def _asked(config: pytest.Config) -> bool:
    if config.getoption("pmpo") or config.getini("pmpo"):
        return True
    if any(config.getoption(option.dest) is not None for option in (*OUTPUTS, *RUN, *OPTIMIZE)):
        return True
    return any(looks_like_prompt(path) for path in explicit_paths(config))
