"""``pmpo lint``: mistakes in prompts and fixtures, found without a model."""

from __future__ import annotations

import argparse
from collections import Counter

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.lint import lint_files
from pytest_pmpo.cli import FOUND, OK
from pytest_pmpo.cli.common import add_options, chosen_paths, open_project
from pytest_pmpo.options import SETTINGS
from pytest_pmpo.prompts.lint import RULES, LintOptions, line
from pytest_pmpo.report.text import visible_characters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which prompts, which rules, and what fails."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="prompt files or folders (default: all configured)")
    parser.add_argument("--strict", action="store_true", help="warnings fail too")
    parser.add_argument("--ignore", action="append", default=[], metavar="RULE", help="leave a rule out")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="token budget of a prompt with its longest fixture")
    parser.add_argument("--rules", action="store_true", help="list the rules, then stop")
    add_options(parser, (option for option in SETTINGS if option.setting == "base"))


def run(arguments: argparse.Namespace) -> int:
    """Print findings as ``path:line: severity: message [rule]``."""
    if arguments.rules:
        room = max(map(len, RULES))
        print(*(f"{rule:<{room}}  {what}" for rule, what in RULES.items()), sep="\n")
        return OK
    project = open_project(arguments)
    options = LintOptions(max_tokens=arguments.max_tokens, ignore=frozenset(arguments.ignore))
    counts: Counter[str] = Counter()
    for finding in lint_files(Checker(project), chosen_paths(project, arguments.paths), options):
        print(visible_characters(line(finding)))
        counts[finding.severity] += 1
    print(
        ", ".join(f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts.items())
        or "no findings"
    )
    return FOUND if counts["error"] or (arguments.strict and counts["warning"]) else OK
