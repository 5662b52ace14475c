"""Which commit the working tree is compared with.

In this order: the ref that was asked for; the target of the pull request; the remote's default branch; the last commit.
Of a branch it is the merge base with ``HEAD`` that counts: what others changed there since is not this change's doing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from pytest_pmpo.errors import BaseUnavailableError, SourceError
from pytest_pmpo.prompts.source import ci
from pytest_pmpo.prompts.source.command import Git, GitMissingError, check_ref
from pytest_pmpo.prompts.source.files import find_root

_OBJECT_ID = re.compile(r"[0-9a-f]{7,64}\Z")
_EXPRESSION = re.compile(r"[~^@]|\AHEAD\Z")  # HEAD~3, main@{1}: only meaningful where the history is


@dataclass(frozen=True, slots=True)
class Base:
    """The commit to compare with.

    Attributes:
        commit: its id; ``short``: the id as people write it.
        ref: the name it was found through.
        date: when it was committed.
        how: why it is this one, to print behind ``short``.
    """

    commit: str
    short: str
    ref: str
    date: datetime
    how: str

    def age(self, now: datetime | None = None) -> timedelta:
        """Time since it was committed, never negative."""
        return max(timedelta(0), (datetime.now(UTC) if now is None else now) - self.date)


@dataclass(frozen=True, slots=True)
class NoBase:
    """There is no commit to compare with, for a reason to print. Every prompt is new then."""

    reason: str


def resolve_base(root: Path, requested: str | None, environ: Mapping[str, str]) -> Base | None:
    """``find_base`` for those who do not ask why there is none."""
    found = find_base(root, requested, environ)
    return found if isinstance(found, Base) else None


def find_base(root: Path, requested: str | None, environ: Mapping[str, str]) -> Base | NoBase:
    """The commit the working tree at ``root`` is compared with.

    Args:
        requested: a branch, tag or commit the user named; looked for at the remote too.
        environ: the variables of the job, see ``ci.py``.

    Raises:
        BaseUnavailableError: there should be a base, but it is not in this clone; the hint is the command that gets it.
            Also where a pull request runs without a clone or without git.
        SourceError: ``requested`` is not a name of a commit, or git does not work here.
    """
    if find_root(root) is None:
        return _without(requested, environ, "this is not a git repository")
    try:
        return _find(root, requested, environ)
    except GitMissingError as error:
        return _without(requested, environ, error.message)


def _find(root: Path, requested: str | None, environ: Mapping[str, str]) -> Base | NoBase:
    finder = _Finder(Git(root))
    if requested is not None:
        return finder.asked_for(check_ref(requested))
    if finder.head is None:
        return NoBase("the repository has no commit yet")
    target = ci.target(environ)
    if target is not None:
        return finder.pull_request(target)
    base = finder.default_branch() or finder.base(finder.head, "HEAD", "the last commit")
    if base.commit == finder.head and environ.get("CI"):
        # a clean checkout differs from it in nothing: to be said where nobody has edits of their own
        return replace(base, how=f"{base.how}; to judge a push, name the base it had, such as HEAD~1")
    return base


def _without(requested: str | None, environ: Mapping[str, str], reason: str) -> NoBase:
    if requested is not None:
        raise SourceError(f"there is no base {requested!r}: {reason}")
    target = ci.target(environ)
    if target is not None:  # a pull request has a base; a gate that cannot see it must not pass everything as new
        raise BaseUnavailableError(
            f"{target.branch} is the target of the pull request ({target.service}), but {reason}",
            hint="give the job a git clone and git itself, or compare with a saved baseline",
        )
    return NoBase(reason)


class _Finder:
    """The steps of ``find_base`` in one repository."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._known: dict[str, tuple[str, datetime]] = {}
        self.head = self._look_at("HEAD")

    @cached_property
    def _remotes(self) -> list[str]:
        return self._git.run("remote").decode("utf-8", "replace").split()

    @property
    def _remote(self) -> str:
        return self._remotes[0] if len(self._remotes) == 1 else "origin"

    def asked_for(self, ref: str) -> Base:
        """The merge base of HEAD with what the user named, here or at the remote."""
        for name in (ref, f"refs/remotes/{self._remote}/{ref}"):
            tip = self._git.commit(name)
            if tip is not None:
                base = self._merge_base(tip)
                if base is None and self.head is not None and self._shallow():
                    raise self._unavailable(ref, f"{ref!r} and HEAD have no common commit")
                how = f"asked for, merge base with {ref}" if base not in (None, tip) else "asked for"
                return self.base(base or tip, ref, how)
        raise self._unavailable(ref, f"there is no commit {ref!r}")

    def pull_request(self, target: ci.Target) -> Base:
        """The merge base of HEAD with the target branch, or what the service says of it."""
        branch, name = check_ref(target.branch), f"{self._remote}/{target.branch}"
        how = f"target of the pull request ({target.service})"
        for ref in (f"refs/remotes/{name}", f"refs/heads/{branch}"):
            tip = self._git.commit(ref)
            base = None if tip is None else self._merge_base(tip)
            if base is not None:
                return self.base(base, name, f"merge base with {name}, {how}")
        told = self._git.commit(check_ref(target.base)) if target.base else None
        if told is not None:
            return self.base(told, name, f"merge base with {name} as {target.service} gives it")
        parent = self._git.commit("HEAD^1") if target.merged and self._git.commit("HEAD^2") else None
        if parent is not None:
            return self.base(parent, name, f"first parent of the merge commit, {how}")
        raise self._unavailable(branch, f"{name} is the {how}")

    def default_branch(self) -> Base | None:
        """The merge base of HEAD with the remote's default branch, where it is known."""
        ref, tip = self._default_ref()
        if not ref:
            return None
        name = ref.removeprefix("refs/remotes/")
        base = self._merge_base(tip)
        if base is None:
            if self._shallow():
                raise self._unavailable(name.removeprefix(f"{self._remote}/"), f"{name} and HEAD have no common commit")
            return None
        if base == self.head:
            return self.base(base, "HEAD", f"the last commit, which is in {name}")
        return self.base(base, name, f"merge base with {name}")

    def base(self, commit: str, ref: str, how: str) -> Base:
        """The record of ``commit``."""
        if commit not in self._known and self._look_at(commit) is None:
            raise SourceError(f"the commit {commit[:10]} cannot be read in this clone", hint="git fetch --refetch")
        short, date = self._known[commit]
        return Base(commit, short, ref, date, how)

    def _look_at(self, ref: str) -> str | None:
        """The id of a commit, or None; its short id and its date are kept."""
        line = self._git.line("log", "-1", "--no-show-signature", "--format=%H%x00%h%x00%cI", ref, "--")
        if line is None:
            return None
        commit, short, date = line.split("\0")
        self._known[commit] = short, datetime.fromisoformat(date)
        return commit

    def _default_ref(self) -> tuple[str, str]:
        """The remote's default branch and its commit: the one it tells, else ``main`` or ``master``; else nothing."""
        names = [f"refs/remotes/**/{name}" for name in ("HEAD", "main", "master")]
        listed = self._git.run("for-each-ref", "--format=%(refname)%00%(objectname)%00%(symref)", *names)
        refs = [line.split("\0") for line in listed.decode("utf-8", "surrogateescape").splitlines()]
        if not refs:
            return "", ""
        ours = {ref.removeprefix(f"refs/remotes/{self._remote}/"): (target or ref, tip) for ref, tip, target in refs}
        if "HEAD" in ours:
            return ours["HEAD"]
        there = [ours[name] for name in ("main", "master") if name in ours]
        return there[0] if len(there) == 1 else ("", "")

    def _merge_base(self, tip: str) -> str | None:
        return None if self.head is None else self._git.line("merge-base", tip, self.head)

    def _shallow(self) -> bool:
        return self._git.line("rev-parse", "--is-shallow-repository") == "true"

    def _near(self, ref: str) -> str | None:
        """The branch or tag that may have been meant."""
        listed = self._git.run(
            "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags", "refs/remotes"
        )
        if ref.endswith(".json"):
            return "if a saved baseline is meant: there is no file of that name"
        close = get_close_matches(ref, listed.decode("utf-8", "replace").splitlines(), n=1)
        return f"did you mean {close[0]!r}?" if close else None

    def _unavailable(self, ref: str, what: str) -> SourceError:
        """The error that says what to fetch. Branch names may hold anything, so the command is quoted for a shell."""
        shallow = self._shallow()
        if not self._remotes or (not shallow and _EXPRESSION.search(ref)):
            return SourceError(f"{what} in this clone", hint=self._near(ref))
        branch = ref.removeprefix(f"{self._remote}/")
        wanted = [f"+refs/heads/{branch}:refs/remotes/{self._remote}/{branch}"]
        if _OBJECT_ID.match(ref):
            wanted = [ref]
        elif _EXPRESSION.search(ref):
            wanted = []
        command = ["git", "fetch", "--no-tags", *(["--unshallow"] if shallow else []), self._remote, *wanted]
        why = "this clone is shallow" if shallow else "it was not fetched"
        return BaseUnavailableError(
            f"{what}, but the base commit is not in this clone ({why})", hint=shlex.join(command)
        )
