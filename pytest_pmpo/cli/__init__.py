"""The ``pmpo`` command: the same use cases as the pytest plugin, without pytest.

Exit codes: 0 all is well; 1 a prompt got worse, or lint found something; 2 something could not be judged (a broken
file, a missing model or base, a mistake in the settings or on the command line); 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from typing import Protocol

import pytest_pmpo
from pytest_pmpo.errors import PmpoError

OK, FOUND, TROUBLE, INTERRUPTED = 0, 1, 2, 130


class CommandModule(Protocol):
    """What the module of a command offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it, and give an exit code.

        Raises:
            PmpoError: shown as one message, exit code 2.
        """
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand; its module is imported when it is called."""

    name: str
    help: str
    module: str


COMMANDS = (
    Command("check", "judge the prompts against their base", "pytest_pmpo.cli.check"),
    Command("lint", "find mistakes in prompts and fixtures, without a model", "pytest_pmpo.cli.lint"),
    Command("rank", "rank the variants of a prompt by their loss on the same fixtures", "pytest_pmpo.cli.rank"),
    Command(
        "bank", "keep graded responses, the gate's best metric: build, top-up, grade, show", "pytest_pmpo.cli.bank"
    ),
    Command("optimize", "improve a prompt, prove it, hand over a patch", "pytest_pmpo.cli.optimize"),
    Command("report", "make a report out of a JSON result", "pytest_pmpo.cli.report"),
    Command("doctor", "show what is installed, the models, the cache and the base", "pytest_pmpo.cli.doctor"),
    Command("fetch", "download and convert the models, so that later runs need no network", "pytest_pmpo.cli.fetch"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; the border where every exception ends as a message and an exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Δ should show ?, not a traceback
    try:
        return _run(arguments)
    except PmpoError as error:
        _say(str(error), arguments)
        return TROUBLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has left; the interpreter would complain about it when it flushes
        return OK
    except Exception as error:  # noqa: BLE001  # the border: a bug of ours is one line, not a page
        _say(f"internal error: {type(error).__name__}: {error}\n  hint: --debug shows where", arguments)
        return TROUBLE


def _run(arguments: Sequence[str]) -> int:
    first = next((argument for argument in arguments if not argument.startswith("-")), None)
    parser = argparse.ArgumentParser(
        "pmpo",
        description="Gate prompt changes by the loss of the right answers under an open language model.",
        epilog="Exit codes: 0 all is well, 1 something got worse or was found, 2 something could not be judged.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-pmpo {pytest_pmpo.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    module: CommandModule | None = None
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=f"{_sentence(command.help)}.")
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if command.name == first:
            module = import_module(command.module)
            module.add_arguments(subparser)
    namespace = parser.parse_args(arguments)
    if module is None:  # no command at all: argparse has refused everything else
        parser.print_help(sys.stderr)
        return TROUBLE
    return module.run(namespace)


def _say(message: str, arguments: Sequence[str]) -> None:
    print(f"pmpo: {message}", file=sys.stderr)
    if "--debug" in arguments:
        import traceback

        traceback.print_exc()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
