"""Runs git to read from a repository."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from pytest_pmpo.errors import SourceError
from pytest_pmpo.prompts.source.files import find_root, git_folder

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
        self._command = (_executable(), *_SETTINGS)
        self._environment = {**os.environ, **_environment(root)}

    def try_run(self, *arguments: str) -> tuple[int, bytes, str]:
        """Exit status, output and error text of a command.

        Raises:
            SourceError: git refuses the repository because somebody else owns it.
        """
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=self._root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        message = done.stderr.decode("utf-8", "replace")
        if done.returncode and "dubious ownership" in message:
            top = find_root(self._root) or self._root
            raise SourceError(
                "git refuses this repository: its files belong to another user",
                hint=shlex.join(["git", "config", "--global", "--add", "safe.directory", str(top)]),
            )
        return done.returncode, done.stdout, message

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

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that goes on running, with ``stdin`` and ``stdout``; the caller ends it."""
        return subprocess.Popen(
            [*self._command, *arguments],
            cwd=self._root,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


def _executable() -> str:
    found = shutil.which("git")
    # Windows looks in the current folder first, and that one holds what a pull request brings
    if found is None or (os.name == "nt" and Path(found).parent.resolve() == Path.cwd()):
        raise GitMissingError("git is not installed", hint="install git, or run without a base")
    return found


def _environment(root: Path) -> dict[str, str]:
    """Variables for git. Those git sets for its hooks point at the repository of the hook; ours is at ``root``.

    They can only be overridden, not unset, and naming ``GIT_DIR`` would switch off git's check of who owns the
    repository; so each is set only where the surroundings set it already.
    """
    environment = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LANGUAGE": "C", "LC_ALL": "C"}
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
