"""A winner as a branch with one commit, in the user's repository but not in their work tree or index.

The commit is made in a temporary worktree that holds this one file. The user's hooks do not run, nothing is asked for
on the terminal, and the branch is moved last and only from the value it was seen to have. A suggestion branch is
updated and not duplicated: it is ours if its tip carries our trailer for the same prompt; any other branch is left
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_pmpo.errors import Location, ProposalError
from pytest_pmpo.optimize.checkout import NETWORK_SECONDS, Checkout
from pytest_pmpo.optimize.message import TRAILER, trailer_value

_NO_OBJECT = "0" * 40


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
        self._git = Checkout(root)

    def path_from_top(self, path: str) -> str:
        """A prompt's path relative to the repository's top."""
        return self._git.path_from_top(path)

    def check_patch(self, patch: Path) -> None:
        """Ask git whether the patch applies to the work tree as it is.

        Raises:
            ProposalError: with what git says.
        """
        self._git.run("apply", "--check", "--", str(patch.resolve()), what="git does not accept the patch")

    def commit(
        self,
        path: str,
        data: bytes,
        base_data: bytes,
        message: str,
        branch: str,
        *,
        signoff: bool | None = None,
        beside: Mapping[str, bytes] | None = None,
    ) -> Suggestion:
        """Put ``data`` at ``path`` on ``branch``, one commit above ``HEAD``.

        Args:
            path: the prompt's, relative to ``root``.
            base_data: the file as the optimization read it.
            signoff: add a Signed-off-by line; None does what ``format.signOff`` says.
            beside: further files of the same commit and what they shall hold, by path relative to ``root``.

        Raises:
            ProposalError: the file is dirty, untracked, a link or changed meanwhile; the branch is someone else's or
                checked out; git has no name and e-mail for the commit.
        """
        where = self.path_from_top(path)
        base = self._head()
        self._require_clean(where, path, base_data)
        files = {where: data, **{self.path_from_top(name): held for name, held in (beside or {}).items()}}
        reference = self._reference(branch)
        old = self._tip(reference)
        if old is not None:
            self._require_ours(old, branch, path)
            if self._same(old, base, files):
                return Suggestion(branch, old, base, path, existed=True, unchanged=True)
        self._require_not_checked_out(reference, branch)
        if signoff is None:
            signoff = self._git.get("config", "--type=bool", "--get", "format.signOff") == "true"
        commit = self._commit_apart(base, files, message, signoff)
        self._git.run(
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
            self._git.run(
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
        self._git.run(
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
        return self._git.get("remote", "get-url", "--push", "--", remote) or ""

    def default_branch(self, remote: str = "origin") -> str | None:
        """The branch a pull request goes into: the one that is checked out, if the remote has it, else its default."""
        name = self._git.get("symbolic-ref", "-q", "--short", "HEAD")
        if name and self._git.get("rev-parse", "-q", "--verify", f"refs/remotes/{remote}/{name}"):
            return name
        head = self._git.get("symbolic-ref", "-q", f"refs/remotes/{remote}/HEAD")
        return head.removeprefix(f"refs/remotes/{remote}/") if head else name

    def committed(self, path: str) -> bytes | None:
        """A file as ``HEAD`` has it, by its path relative to ``root``; None where it is not there, or is a link."""
        head, where = self._head(), self.path_from_top(path)
        listed = self._git.get("ls-tree", "--full-tree", head, "--", where) or ""
        return self._git.content(head, where) if listed.startswith("100") else None

    def _head(self) -> str:
        head = self._git.get("rev-parse", "-q", "--verify", "HEAD^{commit}")
        if head is None:
            raise ProposalError("the repository has no commit yet", hint="commit the prompt first")
        return head

    def _require_clean(self, where: str, path: str, base_data: bytes) -> None:
        location = Location(path)
        file = self._git.top / where
        if file.is_symlink():
            raise ProposalError("the prompt file is a symbolic link", location=location)
        if not file.is_file() or file.read_bytes() != base_data:
            raise ProposalError(
                "the file has changed since the optimization read it", location=location, hint="run it again"
            )
        if self._git.get("ls-files", "--error-unmatch", "--", where) is None:
            raise ProposalError("git does not track this file", location=location, hint="commit it first")
        if self._git.run("status", "--porcelain=v1", "--", where, what="git status failed"):
            raise ProposalError(
                "the file has changes that are not committed", location=location, hint="commit or stash them first"
            )

    def _reference(self, branch: str) -> str:
        if branch.startswith("-") or self._git.get("check-ref-format", "--branch", branch) is None:
            raise ProposalError(f"{branch!r} is no name for a branch")
        return f"refs/heads/{branch}"

    def _tip(self, reference: str) -> str | None:
        return self._git.get("rev-parse", "-q", "--verify", f"{reference}^{{commit}}")

    def _require_ours(self, commit: str, branch: str, path: str) -> None:
        named = self._git.get("show", "-s", f"--format=%(trailers:key={TRAILER},valueonly)", commit, "--") or ""
        if trailer_value(path) not in [line.strip() for line in named.splitlines()]:
            raise ProposalError(
                f"the branch {branch} exists and its last commit is not a suggestion for {path}",
                hint="give another branch name, or delete that branch",
            )

    def _require_not_checked_out(self, reference: str, branch: str) -> None:
        listed = self._git.run("worktree", "list", "--porcelain", what="git worktree list failed")
        if f"branch {reference}" in listed.splitlines():
            raise ProposalError(f"the branch {branch} is checked out", hint="switch to another branch first")

    def _require_remote(self, remote: str) -> None:
        known = (self._git.get("remote") or "").splitlines()
        if remote not in known:
            raise ProposalError(
                f"there is no remote {remote!r}", hint=f"known: {', '.join(known)}" if known else "git remote add …"
            )

    def _same(self, tip: str, base: str, files: Mapping[str, bytes]) -> bool:
        """Whether the branch is one commit above ``base`` and differs from it in these files' new contents alone."""
        if self._git.get("rev-parse", "-q", "--verify", f"{tip}^1") != base:
            return False
        changed = (self._git.get("diff-tree", "-r", "--name-only", "-z", base, tip) or "").strip("\0").split("\0")
        return set(changed) == set(files) and all(self._git.content(tip, where) == files[where] for where in files)

    def _commit_apart(self, base: str, files: Mapping[str, bytes], message: str, signoff: bool) -> str:
        with self._git.worktree(base) as tree:
            for where, data in files.items():
                file = tree.top / where
                file.parent.mkdir(parents=True, exist_ok=True)
                tree.run("checkout", base, "--", where, what=f"{where} cannot be checked out")
                file.write_bytes(data)
                tree.run("add", "--", where, what=f"{where} cannot be added")
            tree.run(
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
            return tree.run("rev-parse", "HEAD", what="the commit cannot be read").strip()

    def _remote_tip(self, remote: str, reference: str) -> str | None:
        listed = self._git.run(
            "ls-remote",
            "--",
            remote,
            reference,
            what=f"{remote} cannot be reached",
            seconds=NETWORK_SECONDS,
        )
        return listed.split()[0] if listed.strip() else None
