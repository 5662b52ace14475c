"""The user's repository through GitPython: commands that ask nothing, run no hooks, show no credentials, and worktrees.

This is the one room that speaks GitPython; what is proposed with it is the business of ``proposal.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from git import GitCommandError, GitCommandNotFound, InvalidGitRepositoryError, NoSuchPathError, Repo

from pytest_pmpo.errors import ProposalError

NETWORK_SECONDS = 120
"""A push or fetch that takes longer is ended."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


class Checkout:
    """A work tree of a repository.

    Args:
        root: the folder prompt paths are relative to; may lie below the repository's top.

    Raises:
        ProposalError: if there is no repository or no git.
    """

    def __init__(self, root: Path) -> None:
        try:
            self._repo = Repo(root, search_parent_directories=True)
            top = self._repo.working_tree_dir
        except (InvalidGitRepositoryError, NoSuchPathError) as error:
            raise ProposalError(
                f"{root} is not in a git repository", hint="apply the patch file by hand instead"
            ) from error
        if top is None:
            raise ProposalError(f"{root} is a bare repository: there is no work tree to propose a change to")
        self.top = Path(top)
        self.root = root.resolve()
        self._repo.git.update_environment(**_ENVIRONMENT)

    def path_from_top(self, path: str) -> str:
        """A prompt's path relative to the repository's top."""
        full = self.root / PurePosixPath(path)
        try:
            return full.relative_to(self.top.resolve()).as_posix()
        except ValueError as error:
            raise ProposalError(f"{path} lies outside the repository {self.top}") from error

    def get(self, *arguments: str) -> str | None:
        """What git prints, or None where it says no."""
        try:
            return self.run(*arguments, what="")
        except ProposalError:
            return None

    def run(self, *arguments: str, what: str, hint: str | None = None, seconds: float | None = None) -> str:
        """What a command prints.

        Args:
            what: what has failed if it does, for the error.
            seconds: after which it is ended.

        Raises:
            ProposalError: with what git says, credentials left out.
        """
        command = ["git", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", *arguments]
        try:
            printed: Any = self._repo.git.execute(command, kill_after_timeout=seconds)
        except GitCommandNotFound as error:
            raise ProposalError("git is not installed") from error
        except GitCommandError as error:
            said = _CREDENTIALS.sub("", " ".join(f"{error.stdout} {error.stderr}".replace("stderr:", "").split()))
            raise ProposalError(f"{what}: {said[:500].strip(chr(39)).strip()}", hint=hint) from error
        return str(printed)

    def content(self, commit: str, where: str) -> bytes | None:
        """A file of a commit as it would be checked out, or None where it is not there.

        Args:
            where: from the repository's top.
        """
        if self.get("cat-file", "-e", f"{commit}:{where}") is None:
            return None
        data: bytes = self._repo.git.cat_file(
            "--filters", f"{commit}:{where}", stdout_as_string=False, strip_newline_in_stdout=False
        )
        return data

    @contextmanager
    def worktree(self, base: str) -> Iterator[Checkout]:
        """A worktree with an index of ``base`` and no files; gone afterwards, whatever happens."""
        folder = Path(tempfile.mkdtemp(prefix="pmpo-"))
        place = folder / "tree"
        try:
            self.run(
                "worktree",
                "add",
                "--quiet",
                "--detach",
                "--no-checkout",
                "--",
                str(place),
                base,
                what="a temporary worktree cannot be made",
            )
            tree = Checkout(place)
            tree.run("read-tree", base, what="the commit cannot be read")
            yield tree
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self.get("worktree", "prune")
