"""Files a run leaves behind: reports and a saved baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_pmpo.app.check import Checker
from pytest_pmpo.app.extensions import Extensions
from pytest_pmpo.app.header import age
from pytest_pmpo.app.results import Results
from pytest_pmpo.errors import ConfigError, PmpoError
from pytest_pmpo.gate import baseline
from pytest_pmpo.prompts.source import NoBase
from pytest_pmpo.report.records import BaseFacts, Report, RunInfo
from pytest_pmpo.report.text import count, plain


def make_report(checker: Checker, results: Results) -> Report:
    """Everything the reporters are given."""
    from pytest_pmpo.app.validity import cited

    return results.report(replace(run_info(checker), validity=cited(checker, results.results)))


def run_info(checker: Checker) -> RunInfo:
    """The facts of the run that are known without its results."""
    file = checker.project.config.settings.baseline
    if file is not None:
        return RunInfo(base=BaseFacts(ref=file, how="saved baseline"))
    try:
        base = checker.base
    except PmpoError as error:
        return RunInfo(no_base=error.message)
    if isinstance(base, NoBase):
        return RunInfo(no_base=base.reason)
    return RunInfo(base=BaseFacts(base.commit, base.ref, base.how, base.date.isoformat(), age(base.age())))


def check_reports(reports: Iterable[tuple[str, Path]], extensions: Extensions) -> None:
    """Refuse unknown reporters and unusable places before anything is scored.

    Raises:
        ConfigError: naming the reporter, or the folder that is not there.
    """
    for name, path in reports:
        extensions.reporter(name)
        require_folder(path)


def require_folder(path: Path) -> None:
    """Refuse to write where there is no folder: a mistyped path should not cost a whole run.

    Raises:
        ConfigError: naming it.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, not a file")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} to write {path.name} into")


def write_reports(reports: Iterable[tuple[str, Path]], report: Report, extensions: Extensions) -> None:
    """Write each report.

    Raises:
        ConfigError: if a file cannot be written.
    """
    for name, path in reports:
        text = extensions.reporter(name)(report)
        try:
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error


def note_lines(report: Report, verbosity: int) -> list[str]:
    """What was read and could not be scored or used: counted always, listed above verbosity 0; nothing below it."""
    if not report.notes or verbosity < 0:
        return []
    if verbosity > 0:
        return [f"  note: {plain(note)}" for note in report.notes]
    return [f"  {count(len(report.notes), 'note')} on what was read; -v shows all"]


def tell_github(report: Report, environ: Mapping[str, str]) -> str:
    """Add the run to the step's summary, and give the annotations to print; nothing outside GitHub Actions.

    Raises:
        ConfigError: if the summary cannot be written.
    """
    from pytest_pmpo.report import github

    if not github.in_actions(environ):
        return ""
    path = environ.get("GITHUB_STEP_SUMMARY")
    if path:
        try:
            github.append_step_summary(report, Path(path))
        except OSError as error:
            raise ConfigError(f"cannot write the step summary: {error.strerror or error}") from error
    return github.render(report)


def save_baseline(path: Path, checker: Checker, results: Results) -> int:
    """Save the head's numbers of every discovered prompt; how many there are.

    Raises:
        BaselineError: if a prompt is missing, or the file cannot be written.
    """
    project = checker.project
    expected: list[tuple[str, str]] = []
    for file in project.discovered():
        expected += [(task.label, task.model_name) for task in project.tasks(file)]
    baseline.save(path, results.baseline(expected))
    return len(expected)
