"""``pmpo report``: a Markdown, HTML or other report out of the JSON of an earlier run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_pmpo.app.extensions import Extensions, bare_manager
from pytest_pmpo.app.outputs import check_reports, write_reports
from pytest_pmpo.cli import OK
from pytest_pmpo.cli.common import add_options, given_of
from pytest_pmpo.errors import ConfigError
from pytest_pmpo.options import OUTPUTS, RUN
from pytest_pmpo.report import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The JSON, and which reports to make of it."""
    parser.add_argument("result", metavar="JSON", help="file that --json (or --pmpo-json) wrote; - is standard input")
    parser.add_argument("--format", metavar="NAME", help="print this report to standard output")
    add_options(parser, (*OUTPUTS, *(option for option in RUN if option.name == "report")))


def run(arguments: argparse.Namespace) -> int:
    """Read, render, write. Judges nothing: the exit code says only whether that went well."""
    extensions, given = Extensions(bare_manager().hook), given_of(arguments)
    if not given.reports and arguments.format is None:
        files = ", ".join(f"--{option.name} FILE" for option in OUTPUTS)
        names = ", ".join(extensions.reporters())
        raise ConfigError("no report asked for", hint=f"{files}; or --format NAME, one of {names}, to print it")
    check_reports(given.reports, extensions)
    report = json.parse(_read(arguments.result), arguments.result)
    write_reports(given.reports, report, extensions)
    if arguments.format is not None:
        sys.stdout.write(extensions.reporter(arguments.format)(report))
    return OK


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror or error}") from error
