"""The ``pmpo`` command: the same use cases as the pytest plugin, without pytest.

Exit codes: 0 all is well; 1 a prompt got worse, or lint found something; 2 something could not be judged (a broken
file, a missing model or base, a mistake in the settings or on the command line); 130 stopped by Ctrl-C; 141 the reader
of the output left before its end.
"""

from __future__ import annotations

import argparse
import re
import sys
from codecs import register_error
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from typing import Protocol

import pytest_pmpo
from pytest_pmpo.errors import PmpoError

OK, FOUND, TROUBLE, INTERRUPTED, UNHEARD = 0, 1, 2, 130, 141

_SIGNS = {
    "−": "-", "–": "-", "→": "->", "Δ": "diff", "×": "x", "…": "...", "≥": ">=", "∞": "inf", "±": "+-", "²": "^2",
    "↵": "\\n", "⇥": "\\t", "␍": "\\r", "⟨": "<", "⟩": ">", "•": "*", "·": "*",
}  # fmt: skip
"""What stands for the signs of our own lines where a terminal's encoding has none of them."""


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
            stream.reconfigure(errors="pmpo")
    try:
        return _run(arguments)
    except PmpoError as error:
        _say(str(error), arguments)
        return TROUBLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has left; the interpreter would complain about it when it flushes
        return UNHEARD
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
    chosen = parser
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=f"{_sentence(command.help)}.")
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if command.name == first:
            module, chosen = import_module(command.module), subparser
            module.add_arguments(subparser)
    namespace, unknown = parser.parse_known_args(arguments)
    if unknown:
        chosen.error(_unknown(unknown, chosen))
    if module is None:  # no command at all: argparse has refused everything else
        parser.print_help(sys.stderr)
        return TROUBLE
    return module.run(namespace)


def _unknown(arguments: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """What argparse says of arguments that mean nothing, with the option that may have been meant."""
    options = re.findall(r"--[a-z][a-z-]*", parser.format_usage())
    mistyped = next((each.partition("=")[0] for each in arguments if each.startswith("--")), "")
    close = get_close_matches(mistyped, options, n=1)
    return f"unrecognized arguments: {' '.join(arguments)}" + (f" (did you mean {close[0]}?)" if close else "")


def _say(message: str, arguments: Sequence[str]) -> None:
    print(f"pmpo: {message}", file=sys.stderr)
    if "--debug" in arguments:
        import traceback

        traceback.print_exc()


def _plain_signs(error: UnicodeError) -> tuple[str, int]:
    """What a terminal shows that lacks a character: a minus must not become ``?``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_SIGNS.get(sign, "?") for sign in missing), error.end


register_error("pmpo", _plain_signs)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
