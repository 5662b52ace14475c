"""A finished run → what the user asked to have of it: the patch always, then a branch, a push, a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pytest_pmpo.errors import ProposalError
from pytest_pmpo.optimize.bank_objective import grown
from pytest_pmpo.optimize.message import commit_message, title
from pytest_pmpo.optimize.patch import make_patch
from pytest_pmpo.optimize.proposal import Repository, Suggestion
from pytest_pmpo.optimize.publish import (
    Opened,
    PullRequestText,
    detect_service,
    gitlab_options,
    open_on_github,
    parse_remote,
)
from pytest_pmpo.optimize.records import OptimizeResult


@dataclass(frozen=True, slots=True)
class HandOver:
    """What is wanted beside the patch. A push implies a branch, a pull request a push.

    Attributes:
        name: of the branch; None makes ``pmpo/NAME`` of the prompt's file name.
        base: branch a pull request goes into; None takes the one that is checked out.
        signoff: None does what git's ``format.signOff`` says.
    """

    branch: bool = False
    push: bool = False
    open_pr: bool = False
    name: str | None = None
    remote: str = "origin"
    base: str | None = None
    signoff: bool | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was handed over. ``opened`` is None for GitLab, which answers with an address on the terminal alone.

    Attributes:
        bank: whether the branch carries the responses the run has drawn, so that the gate can judge it there.
    """

    patch: Path | None
    suggestion: Suggestion | None = None
    pushed: bool = False
    opened: Opened | None = None
    bank: bool = False


def write_patch(result: OptimizeResult, root: Path, folder: Path, name: str | None = None) -> Path | None:
    """``folder/NAME.patch``, accepted by git where there is a repository; None where nothing was won.

    Raises:
        ProposalError: if it cannot be written or git does not accept it.
    """
    if result.data is None:
        return None
    repository = _repository(root)
    path = result.path if repository is None else repository.path_from_top(result.path)
    target = folder / f"{name or short_name(result.path)}.patch"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(make_patch(path, result.base_data, result.data))
    except OSError as error:
        target.unlink(missing_ok=True)  # half a patch is worse than none
        raise ProposalError(f"the patch {target} cannot be written: {error.strerror}") from error
    if repository is not None:
        repository.check_patch(target)
    return target


def hand_over(
    result: OptimizeResult,
    root: Path,
    folder: Path,
    wanted: HandOver,
    *,
    body: str,
    environ: Mapping[str, str],
    name: str | None = None,
    bank: str | None = None,
) -> Delivered:
    """Patch, branch, push, pull request, as far as asked for; nothing where nothing was won.

    Args:
        root: what ``result.path`` is relative to.
        body: text of the pull request: the report as Markdown.
        name: of the patch and, unless ``wanted`` says otherwise, of the branch; default the file's.
        bank: the response bank's path; where ``HEAD`` has it, the commit adds what the run has drawn.

    Raises:
        ProposalError: at the first step that fails; what was done before it stays and is named.
    """
    patch = write_patch(result, root, folder, name)
    if patch is None or result.data is None or not (wanted.branch or wanted.push or wanted.open_pr):
        return Delivered(patch)
    repository = Repository(root)
    branch = wanted.name or f"pmpo/{name or short_name(result.path)}"
    beside = _bank_lines(repository, bank, result)
    suggestion = repository.commit(
        result.path,
        result.data,
        result.base_data,
        commit_message(result),
        branch,
        signoff=wanted.signoff,
        beside=beside,
    )
    done = Delivered(patch, suggestion, bank=bool(beside))
    if not (wanted.push or wanted.open_pr):
        return done
    if not wanted.open_pr:
        return replace(done, pushed=repository.push(suggestion, wanted.remote))
    remote = parse_remote(repository.remote_url(wanted.remote))
    base = wanted.base or repository.default_branch(wanted.remote)
    if base is None:
        raise ProposalError(
            "no branch is checked out, so there is none to open a request against", hint="name the base"
        )
    text = PullRequestText(base, branch, title(result), body)
    if detect_service(remote, environ) == "gitlab":
        return replace(done, pushed=repository.push(suggestion, wanted.remote, gitlab_options(text)))
    pushed = repository.push(suggestion, wanted.remote)
    return replace(done, pushed=pushed, opened=open_on_github(remote, text, environ))


def _bank_lines(repository: Repository, bank: str | None, result: OptimizeResult) -> dict[str, bytes]:
    if bank is None or not result.drawn:
        return {}
    held = repository.committed(bank)
    return {} if held is None else {bank: grown(bank, held, result.drawn)}


def short_name(path: str) -> str:
    """``prompts/triage.prompt.yml`` → ``triage``: the file's name up to its first dot."""
    name = PurePosixPath(path).name
    return name.lstrip(".").split(".")[0] or name


def _repository(root: Path) -> Repository | None:
    try:
        return Repository(root)
    except ProposalError:
        return None
