"""One table of options, read by the pytest plugin (``--pmpo-base``) and by the command line (``pmpo check --base``).

An option without a default in this table is *not given* until someone gives it, so that the configuration file can
speak. Standard library only: pytest imports this at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Action = Literal["store", "append", "store_true"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of plugin and command line.

    Attributes:
        name: as the command line has it; the plugin puts ``--pmpo-`` before it.
        setting: the setting it overrides; None for what concerns one run only.
        value: what a flag sets its setting to.
        kind: makes the value from the text; argparse reports a ValueError.
    """

    name: str
    help: str
    setting: str | None = None
    action: Action = "store"
    metavar: str | None = None
    kind: Callable[[str], Any] = str
    value: Any = True

    @property
    def dest(self) -> str:
        """Attribute of the parsed namespace."""
        return "pmpo_" + self.name.replace("-", "_")

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``add_argument``, the same for argparse and pytest's ``addoption``."""
        common: dict[str, Any] = {"dest": self.dest, "action": self.action, "help": self.help, "default": None}
        if self.action != "store_true":
            common |= {"metavar": self.metavar, "type": self.kind}
        return common


def _number_or_off(text: str) -> float | bool:
    return False if text.lower() in ("off", "false") else float(text)


def _named_file(text: str) -> tuple[str, str]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise ValueError(f"{text!r} is not NAME=FILE")
    return name, path


SETTINGS = (
    Option(
        "base",
        "compare with this git ref, or with a baseline file (default: the merge base with the pull request's target, "
        "else origin/HEAD, else the last commit)",
        setting="base",
        metavar="REF|FILE",
    ),
    Option(
        "model",
        "judge under this model: a name, org/name[@revision], a folder, a .gguf file, or fake; may be given again",
        setting="models",
        action="append",
        metavar="MODEL",
    ),
    Option("device", "auto, cpu, cuda, cuda:N or mps", setting="device", metavar="DEVICE"),
    Option("dtype", "auto, float32, bfloat16 or float16 (auto: float32 on a CPU)", setting="dtype", metavar="DTYPE"),
    Option("metric", "auto, cross-entropy, preference, choice or response-bank", setting="metric", metavar="METRIC"),
    Option(
        "tolerance",
        "how much worse counts as the same, 0.02 = 2 %% of the base's loss",
        setting="tolerance",
        metavar="SHARE",
        kind=float,
    ),
    Option(
        "hard-break",
        "nats per token that one fixture may lose; off switches the guard off",
        setting="hard_break",
        metavar="NATS",
        kind=_number_or_off,
    ),
    Option("alpha", "error rate of all verdicts together", setting="alpha", metavar="RATE", kind=float),
    Option("strict", "an inconclusive verdict fails", setting="strict", action="store_true"),
    Option(
        "blocking",
        "which failing verdicts fail the build: always, no-proxy (those by cross-entropy, preference or choice only "
        "inform) or never",
        setting="blocking",
        metavar="WHICH",
    ),
    Option("no-cache", "compute every loss anew", setting="cache", action="store_true", value=False),
)
"""Options that override a setting for one run."""

OUTPUTS = (
    Option("json", "write the verdicts as JSON", metavar="FILE"),
    Option("html", "write a report as one HTML page", metavar="FILE"),
    Option("markdown", "write a report as Markdown, for a comment or a job summary", metavar="FILE"),
    Option("sarif", "write the findings as SARIF, for code scanning", metavar="FILE"),
)
"""Files a run can leave behind, by the name of the reporter that writes them."""

RUN = (
    Option(
        "confirm",
        "where a response bank does not cover a prompt, draw and grade what it takes at once, and judge then",
        action="store_true",
    ),
    Option(
        "report",
        "write the report of a named reporter; may be given again",
        action="append",
        metavar="NAME=FILE",
        kind=_named_file,
    ),
    Option("github", "in GitHub Actions: annotate prompts and add to the job's summary", action="store_true"),
    Option("save-baseline", "save the scores of all prompts, for --base FILE", metavar="FILE"),
    Option("show-config", "print every setting and where it comes from, then stop", action="store_true"),
)
"""What concerns one run only."""

OPTIMIZE = (
    Option(
        "optimize",
        "when the prompts are judged, improve them (as pmpo optimize does): patches and reports in pmpo-out",
        action="store_true",
    ),
    Option("optimize-rounds", "the same, with that many rounds a prompt", metavar="N", kind=int),
)
"""Of the plugin alone: the command line has ``pmpo optimize`` with many more."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a command line said.

    Attributes:
        settings: by name, those that were given.
        reports: ``(reporter, file)``, in order.
    """

    settings: Mapping[str, Any]
    reports: tuple[tuple[str, Path], ...] = ()
    github: bool = False
    save_baseline: Path | None = None
    confirm: bool = False
    show_config: bool = False


def given(lookup: Callable[[str], Any], folder: Path) -> Given:
    """Sort out a parsed command line.

    Args:
        lookup: the value of an option by its ``dest``, None where it was not given.
        folder: the working directory; paths on the command line are relative to it.
    """
    baseline = lookup("pmpo_save_baseline")
    return Given(
        dict(_settings(lookup, folder)),
        tuple(_reports(lookup, folder)),
        bool(lookup("pmpo_github")),
        None if baseline is None else folder / baseline,
        bool(lookup("pmpo_confirm")),
        bool(lookup("pmpo_show_config")),
    )


def _settings(lookup: Callable[[str], Any], folder: Path) -> Iterator[tuple[str, Any]]:
    for option in SETTINGS:
        value = lookup(option.dest)
        if value is None or option.setting is None:
            continue
        if option.setting == "base" and (folder / value).is_file():
            yield "baseline", str(folder / value)
        elif option.setting == "models":
            yield "models", tuple(_model(text, folder) for text in value)
        else:
            yield option.setting, option.value if option.action == "store_true" else value


def _model(text: str, folder: Path) -> str:
    """A relative path on the command line starts at the working directory, one in the file at the file's folder."""
    is_path = text.startswith(("./", "../", ".\\", "..\\")) or text.lower().endswith(".gguf")
    return str(folder / text) if is_path and not text.startswith("~") else text


def _reports(lookup: Callable[[str], Any], folder: Path) -> Iterator[tuple[str, Path]]:
    for option in OUTPUTS:
        value = lookup(option.dest)
        if value is not None:
            yield option.name, folder / value
    for name, path in lookup("pmpo_report") or ():
        yield name, folder / path
