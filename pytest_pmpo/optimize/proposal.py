"""A winner as a branch with one commit, in the user's repository but not in their work tree or index.

The commit is made in a temporary worktree that holds this one file. The user's hooks do not run, nothing is asked for
on the terminal, and the branch is moved last and only from the value it was seen to have. A suggestion branch is
updated and not duplicated: it is ours if its tip carries our trailer for the same prompt; any other branch is left
alone.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from git import GitCommandError, GitCommandNotFound, InvalidGitRepositoryError, NoSuchPathError, Repo

from pytest_pmpo.errors import Location, ProposalError
from pytest_pmpo.optimize.message import TRAILER

NETWORK_SECONDS = 120
"""A push or fetch that takes longer is ended."""

_NO_OBJECT = "0" * 40
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A branch that holds a winner.

    Attributes:
        commit: its tip; ``base``: the commit it changes.
        existed: the branch was there before, and ours.
        unchanged: the branch already held exactly this.
    """

    branch: str
    commit: str
    base: str
    path: str
    existed: bool
    unchanged: bool = False


class Repository:
    """The git repository a prompt lives in.

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

    def check_patch(self, patch: Path) -> None:
        """Ask git whether the patch applies to the work tree as it is.

        Raises:
            ProposalError: with what git says.
        """
        self._run(self._repo, "apply", "--check", "--", str(patch.resolve()), what="git does not accept the patch")

    def commit(
        self, path: str, data: bytes, base_data: bytes, message: str, branch: str, *, signoff: bool | None = None
    ) -> Suggestion:
        """Put ``data`` at ``path`` on ``branch``, one commit above ``HEAD``.

        Args:
            path: the prompt's, relative to ``root``.
            base_data: the file as the optimization read it.
            signoff: add a Signed-off-by line; None does what ``format.signOff`` says.

        Raises:
            ProposalError: the file is dirty, untracked, a link or changed meanwhile; the branch is someone else's or
                checked out; git has no name and e-mail for the commit.
        """
        where = self.path_from_top(path)
        base = self._head()
        self._require_clean(where, path, base_data)
        reference = self._reference(branch)
        old = self._tip(reference)
        if old is not None:
            self._require_ours(old, branch, path)
            if self._same(old, base, where, data):
                return Suggestion(branch, old, base, path, existed=True, unchanged=True)
        self._require_not_checked_out(reference, branch)
        if signoff is None:
            signoff = self._get("config", "--type=bool", "--get", "format.signOff") == "true"
        commit = self._commit_apart(base, where, data, message, signoff)
        self._run(
            self._repo,
            "update-ref",
            "-m",
            "pmpo: suggestion",
            reference,
            commit,
            old or _NO_OBJECT,
            what=f"the branch {branch} moved while the commit was made",
        )
        return Suggestion(branch, commit, base, path, existed=old is not None)

    def push(self, suggestion: Suggestion, remote: str = "origin", options: Sequence[str] = ()) -> bool:
        """Send the branch; True if the remote did not have it already.

        A branch of that name on the remote is replaced only if its tip is ours, and only if it has not moved since it
        was looked at.

        Raises:
            ProposalError: with what the remote said. The local branch stays.
        """
        self._require_remote(remote)
        reference = self._reference(suggestion.branch)
        there = self._remote_tip(remote, reference)
        if there == suggestion.commit and not options:
            return False
        if there is not None and there != suggestion.commit:
            self._run(
                self._repo,
                "fetch",
                "--no-tags",
                "--no-write-fetch-head",
                "--",
                remote,
                there,
                what=f"the branch {suggestion.branch} of {remote} cannot be looked at",
                seconds=NETWORK_SECONDS,
            )
            self._require_ours(there, f"{suggestion.branch} of {remote}", suggestion.path)
        self._run(
            self._repo,
            "push",
            "--porcelain",
            *(f"--push-option={option}" for option in options),
            f"--force-with-lease={reference}:{there or ''}",
            "--",
            remote,
            f"{suggestion.commit}:{reference}",
            what=f"{remote} did not take the branch {suggestion.branch}",
            seconds=NETWORK_SECONDS,
            hint=f"the branch is kept here; push it by hand with: git push {remote} {suggestion.branch}",
        )
        return True

    def remote_url(self, remote: str = "origin") -> str:
        """The URL a remote is pushed to.

        Raises:
            ProposalError: if there is no such remote.
        """
        self._require_remote(remote)
        return self._get("remote", "get-url", "--push", "--", remote) or ""

    def default_branch(self, remote: str = "origin") -> str | None:
        """The branch a pull request goes into: the one that is checked out, if the remote has it, else its default."""
        name = self._get("symbolic-ref", "-q", "--short", "HEAD")
        if name and self._get("rev-parse", "-q", "--verify", f"refs/remotes/{remote}/{name}"):
            return name
        head = self._get("symbolic-ref", "-q", f"refs/remotes/{remote}/HEAD")
        return head.removeprefix(f"refs/remotes/{remote}/") if head else name

    def _head(self) -> str:
        head = self._get("rev-parse", "-q", "--verify", "HEAD^{commit}")
        if head is None:
            raise ProposalError("the repository has no commit yet", hint="commit the prompt first")
        return head

    def _require_clean(self, where: str, path: str, base_data: bytes) -> None:
        location = Location(path)
        file = self.top / where
        if file.is_symlink():
            raise ProposalError("the prompt file is a symbolic link", location=location)
        if not file.is_file() or file.read_bytes() != base_data:
            raise ProposalError(
                "the file has changed since the optimization read it", location=location, hint="run it again"
            )
        if self._get("ls-files", "--error-unmatch", "--", where) is None:
            raise ProposalError("git does not track this file", location=location, hint="commit it first")
        if self._run(self._repo, "status", "--porcelain=v1", "--", where, what="git status failed"):
            raise ProposalError(
                "the file has changes that are not committed", location=location, hint="commit or stash them first"
            )

    def _reference(self, branch: str) -> str:
        if branch.startswith("-") or self._get("check-ref-format", "--branch", branch) is None:
            raise ProposalError(f"{branch!r} is no name for a branch")
        return f"refs/heads/{branch}"

    def _tip(self, reference: str) -> str | None:
        return self._get("rev-parse", "-q", "--verify", f"{reference}^{{commit}}")

    def _require_ours(self, commit: str, branch: str, path: str) -> None:
        named = self._get("show", "-s", f"--format=%(trailers:key={TRAILER},valueonly)", commit, "--") or ""
        if path not in [line.strip() for line in named.splitlines()]:
            raise ProposalError(
                f"the branch {branch} exists and its last commit is not a suggestion for {path}",
                hint="give another branch name, or delete that branch",
            )

    def _require_not_checked_out(self, reference: str, branch: str) -> None:
        listed = self._run(self._repo, "worktree", "list", "--porcelain", what="git worktree list failed")
        if f"branch {reference}" in listed.splitlines():
            raise ProposalError(f"the branch {branch} is checked out", hint="switch to another branch first")

    def _require_remote(self, remote: str) -> None:
        known = (self._get("remote") or "").splitlines()
        if remote not in known:
            raise ProposalError(
                f"there is no remote {remote!r}", hint=f"known: {', '.join(known)}" if known else "git remote add …"
            )

    def _same(self, tip: str, base: str, where: str, data: bytes) -> bool:
        """Whether the branch is one commit above ``base`` and differs from it in this file's new content alone."""
        if self._get("rev-parse", "-q", "--verify", f"{tip}^1") != base:
            return False
        changed = self._get("diff-tree", "-r", "--name-only", "-z", base, tip)
        if (changed or "").strip("\0") != where:
            return False
        blob: bytes = self._repo.git.cat_file(
            "--filters", f"{tip}:{where}", stdout_as_string=False, strip_newline_in_stdout=False
        )
        return blob == data

    def _commit_apart(self, base: str, where: str, data: bytes, message: str, signoff: bool) -> str:
        with self._worktree(base) as tree:
            file = Path(str(tree.working_tree_dir)) / where
            file.parent.mkdir(parents=True, exist_ok=True)
            self._run(tree, "checkout", base, "--", where, what=f"{where} cannot be checked out")
            file.write_bytes(data)
            self._run(tree, "add", "--", where, what=f"{where} cannot be added")
            self._run(
                tree,
                "commit",
                "--quiet",
                "--no-verify",
                "--cleanup=verbatim",
                *(["--signoff"] if signoff else []),
                "-m",
                message,
                what="the commit cannot be made",
                hint="git needs a name and an e-mail: git config user.name …; git config user.email …",
            )
            return str(tree.head.commit.hexsha)

    @contextmanager
    def _worktree(self, base: str) -> Iterator[Repo]:
        """A worktree with an index of ``base`` and no files; gone afterwards, whatever happens."""
        folder = Path(tempfile.mkdtemp(prefix="pmpo-"))
        place = folder / "tree"
        try:
            self._run(
                self._repo,
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
            tree = Repo(place)
            tree.git.update_environment(**_ENVIRONMENT)
            self._run(tree, "read-tree", base, what="the commit cannot be read")
            yield tree
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._get("worktree", "prune")

    def _remote_tip(self, remote: str, reference: str) -> str | None:
        listed = self._run(
            self._repo,
            "ls-remote",
            "--",
            remote,
            reference,
            what=f"{remote} cannot be reached",
            seconds=NETWORK_SECONDS,
        )
        return listed.split()[0] if listed.strip() else None

    def _get(self, *arguments: str) -> str | None:
        """What git prints, or None where it says no."""
        try:
            return self._run(self._repo, *arguments, what="")
        except ProposalError:
            return None

    def _run(
        self, repo: Repo, *arguments: str, what: str, hint: str | None = None, seconds: float | None = None
    ) -> str:
        command = ["git", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", *arguments]
        try:
            printed: Any = repo.git.execute(command, kill_after_timeout=seconds)
        except GitCommandNotFound as error:
            raise ProposalError("git is not installed") from error
        except GitCommandError as error:
            said = _CREDENTIALS.sub("", " ".join(f"{error.stdout} {error.stderr}".replace("stderr:", "").split()))
            raise ProposalError(f"{what}: {said[:500].strip(chr(39)).strip()}", hint=hint) from error
        return str(printed)
