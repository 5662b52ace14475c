"""Runs git to read from a repository."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, Any

from pytest_pmpo.errors import SourceError
from pytest_pmpo.prompts.source.files import find_root, git_folder

if TYPE_CHECKING:
    from git.cmd import Git as PythonGit

# read-only, whatever the repository's own configuration says
_SETTINGS = (
    "--no-pager",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.quotePath=false",
    "-c",
    "log.showSignature=false",
)
_REF = re.compile(r"(?![-^./])[^\x00-\x20\x7f:?*\[\\]+\Z")


class GitMissingError(SourceError):
    """There is no git executable."""


def check_ref(ref: str) -> str:
    """``ref``, if it can be nothing but the name of a revision (``main``, ``v1.2``, ``HEAD~3``, an object id).

    Raises:
        SourceError: it could be taken for an option, a path or a range.
    """
    if not _REF.match(ref) or ".." in ref:
        raise SourceError(f"{ref!r} does not name a commit", hint="give a branch, a tag or a commit id")
    return ref


class Git:
    """git in one folder of a working tree.

    Args:
        root: the folder commands run in; paths they take and give are relative to it.

    Raises:
        GitMissingError: there is no git executable.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            from git.cmd import Git as PythonGit  # slow to import: runs `git version`
        except ImportError as error:
            raise GitMissingError("git is not installed", hint="install git, or run without a base") from error
        self._git: PythonGit = PythonGit(str(root))
        self._git.update_environment(**_environment(root))

    def try_run(self, *arguments: str) -> tuple[int, bytes, str]:
        """Exit status, output and error text of a command.

        Raises:
            SourceError: git refuses the repository because somebody else owns it.
            GitMissingError: there is no git executable.
        """
        status, out, err = self._execute(arguments, with_extended_output=True, with_exceptions=False)
        message = err if isinstance(err, str) else bytes(err).decode("utf-8", "replace")
        if status and "dubious ownership" in message:
            top = find_root(self._root) or self._root
            raise SourceError(
                "git refuses this repository: its files belong to another user",
                hint=shlex.join(["git", "config", "--global", "--add", "safe.directory", str(top)]),
            )
        return int(status), out, message

    def run(self, *arguments: str) -> bytes:
        """Output of a command.

        Raises:
            SourceError: the command failed.
        """
        status, out, message = self.try_run(*arguments)
        if status:
            detail = message.strip().removeprefix("fatal: ").splitlines()[:1]
            raise SourceError(f"git {arguments[0]} failed: {detail[0] if detail else f'exit status {status}'}")
        return out

    def line(self, *arguments: str) -> str | None:
        """First line of a command's output, or None if it failed or said nothing."""
        status, out, _ = self.try_run(*arguments)
        lines = out.decode("utf-8", "surrogateescape").splitlines()
        return lines[0] if status == 0 and lines else None

    def commit(self, ref: str) -> str | None:
        """The id of the commit ``ref`` (checked) means, or None."""
        return self.line("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")

    def start(self, *arguments: str) -> Any:
        """A command that goes on running, with ``stdin`` and ``stdout``. It ends when the object is dropped."""
        return self._execute(arguments, as_process=True, istream=PIPE)

    def _execute(self, arguments: tuple[str, ...], **options: Any) -> Any:
        from git.exc import GitCommandNotFound

        command = [self._git.GIT_PYTHON_GIT_EXECUTABLE or "git", *_SETTINGS, *arguments]
        try:
            return self._git.execute(command, strip_newline_in_stdout=False, stdout_as_string=False, **options)
        except GitCommandNotFound as error:
            raise GitMissingError("git is not installed", hint="install git, or run without a base") from error


def _environment(root: Path) -> dict[str, str]:
    """Variables for git. Those git sets for its hooks point at the repository of the hook; ours is at ``root``.

    They can only be overridden, not unset, and naming ``GIT_DIR`` would switch off git's check of who owns the
    repository; so each is set only where the surroundings set it already.
    """
    environment = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    top = find_root(root)
    folder = git_folder(top) if top is not None else None
    if top is None or folder is None:
        return environment
    try:
        common = (folder / (folder / "commondir").read_text("utf-8").strip()).resolve()
    except OSError:
        common = folder
    here = {
        "GIT_DIR": str(folder),
        "GIT_WORK_TREE": str(top),
        "GIT_COMMON_DIR": str(common),
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(common / "objects"),
        "GIT_NAMESPACE": "",
        "GIT_PREFIX": "",
    }
    set_already = {name for name in here if name in os.environ}
    if "GIT_DIR" in set_already:
        set_already.add("GIT_WORK_TREE")
    return environment | {name: here[name] for name in set_already}
