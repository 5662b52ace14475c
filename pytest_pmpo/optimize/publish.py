"""A pushed branch → a pull request (GitHub) or merge request (GitLab); one that is open is updated, not duplicated.

GitHub is spoken to through its REST interface with a token (``GITHUB_TOKEN`` or ``GH_TOKEN``), else through ``gh`` if
that is installed and logged in. GitLab opens a merge request by itself when a push carries the right options.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from pytest_pmpo.errors import ProposalError

if TYPE_CHECKING:
    from github import Github
    from github.PullRequest import PullRequest

Service = Literal["github", "gitlab"]

TOKEN_VARIABLES = ("GITHUB_TOKEN", "GH_TOKEN")
BODY_LIMIT = 60_000
"""Characters; GitHub takes 65,536, and the cut is marked."""

GITLAB_LIMIT = 4_000
"""Characters of a description that is sent as a push option."""

_SECONDS = 60
_URL = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^@/\s]+@)?(?P<host>[^/:\s]+)(?::\d+)?/|(?:[^@/\s]+@)?(?P<scp>[^/:\s]+):(?!//))"
    r"(?P<path>[^\s]+?)(?:\.git)?/?\Z"
)


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a repository is hosted. ``name`` is ``owner/repository``."""

    host: str
    name: str

    @property
    def owner(self) -> str:
        """The part before the last slash."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class PullRequestText:
    """What a pull request says; ``base`` is the branch it goes into, ``head`` the one it comes from."""

    base: str
    head: str
    title: str
    body: str

    @property
    def cut_body(self) -> str:
        """The body within the limit."""
        if len(self.body) <= BODY_LIMIT:
            return self.body
        return self.body[:BODY_LIMIT] + "\n\n… cut here; the full report is in the run's output."


@dataclass(frozen=True, slots=True)
class Opened:
    """A pull request's address; ``updated`` where it was open before."""

    url: str
    updated: bool


def parse_remote(url: str) -> Remote:
    """Host and name from a remote's URL, in any of git's spellings.

    Raises:
        ProposalError: if there is no host in it (a path on this machine).
    """
    match = _URL.match(url)
    path = match["path"].lstrip("/") if match else ""
    if match is None or "/" not in path:
        raise ProposalError(
            f"{_shown(url)} names no host with an owner and a repository", hint="open the request by hand"
        )
    return Remote(match["host"] or match["scp"], path)


def detect_service(remote: Remote, environ: Mapping[str, str]) -> Service:
    """GitLab where its CI runs us or the host says so, else GitHub."""
    gitlab = environ.get("GITLAB_CI") == "true" or "gitlab" in remote.host
    return "gitlab" if gitlab else "github"


def gitlab_options(text: PullRequestText) -> tuple[str, ...]:
    """Push options that open a merge request or retitle the open one. One line each: git allows no more."""
    said = _escaped(_beginning(text.body))
    return (
        "merge_request.create",
        f"merge_request.target={_one_line(text.base)}",
        f"merge_request.title={_one_line(text.title)}",
        *((f"merge_request.description={said}",) if said else ()),
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Lines as GitLab reads them from a push option: a backslash and an ``n`` stand for a line break.

    It knows no way to write these two characters themselves (``MergeRequests::PushOptionsHandlerService``), so such a
    pair within the text is taken apart: a name that holds it would else end its line, and its code with it.
    """
    return text.replace("\\n", "\\ n").replace("\n", "\\n")


def _beginning(body: str) -> str:
    """The first section of a report, up to its first block of code; whole lines, as many as there is room for.

    No code is cut in two: what a prompt says must stay in its quotes.
    """
    kept: list[str] = []
    room = GITLAB_LIMIT
    for line in re.split(r"(?m)^(?=```)|\n(?=###)", body)[0].split("\n"):
        shown = _one_line(line)
        room -= len(_escaped(f"{shown}\n"))
        if room < 0:
            break
        kept.append(shown)
    return "\n".join(kept).strip()


def open_on_github(remote: Remote, text: PullRequestText, environ: Mapping[str, str]) -> Opened:
    """Open a pull request, or update the open one from the same branch.

    Raises:
        ProposalError: no token and no ``gh``, a token without rights, a host that cannot be reached.
    """
    token = next((environ[name] for name in TOKEN_VARIABLES if environ.get(name)), None)
    if token is not None:
        return _rest(remote, text, token, environ)
    if shutil.which("gh", path=environ.get("PATH")):
        return _gh(remote, text, environ)
    raise ProposalError(
        "no way to open a pull request: there is no token and no gh",
        hint=f"set {TOKEN_VARIABLES[0]}, or install gh and run: gh auth login",
    )


def api_url(remote: Remote, environ: Mapping[str, str]) -> str:
    """The REST interface's address: what CI says, else the one that belongs to the host."""
    if environ.get("GITHUB_API_URL"):
        return environ["GITHUB_API_URL"].rstrip("/")
    return "https://api.github.com" if remote.host == "github.com" else f"https://{remote.host}/api/v3"


def _rest(remote: Remote, text: PullRequestText, token: str, environ: Mapping[str, str]) -> Opened:
    try:
        from github import Auth, Github, GithubException
    except ImportError as error:
        raise ProposalError(
            "opening a pull request needs PyGithub", hint="pip install 'pytest-pmpo[github]', or use gh"
        ) from error
    from requests import RequestException

    url = api_url(remote, environ)
    client = Github(
        auth=Auth.Token(token), base_url=url, timeout=_SECONDS, retry=None, user_agent="pytest-pmpo", lazy=True
    )
    try:
        return _open_or_update(client, remote, text)
    except GithubException as error:
        raise _refused(error.status, error.message or str(error.data), remote) from error
    except RequestException as error:
        raise ProposalError(f"{url} cannot be reached: {type(error).__name__}") from error
    finally:
        client.close()


def _open_or_update(client: Github, remote: Remote, text: PullRequestText) -> Opened:
    repository = client.get_repo(remote.name)
    # asked for by head alone, so that one opened against another base is found and not doubled
    found: list[PullRequest] = list(islice(repository.get_pulls(state="open", head=f"{remote.owner}:{text.head}"), 1))
    if found:
        found[0].edit(title=text.title, body=text.cut_body)
        return Opened(found[0].html_url, updated=True)
    created = repository.create_pull(base=text.base, head=text.head, title=text.title, body=text.cut_body)
    return Opened(created.html_url, updated=False)


def _refused(status: int, said: str, remote: Remote) -> ProposalError:
    hints = {
        401: "the token is not valid, or has expired",
        403: "the token needs the rights contents: write and pull-requests: write; in a workflow, the repository "
        "setting that lets actions create pull requests must be on",
        404: "the token may not see this repository, or its name is wrong",
        422: "was the branch pushed, and does it differ from the base?",
    }
    return ProposalError(
        f"GitHub refused the pull request on {remote.name} ({status}): {' '.join(said.split())[:300]}",
        hint=hints.get(status),
    )


def _gh(remote: Remote, text: PullRequestText, environ: Mapping[str, str]) -> Opened:
    place = remote.name if remote.host == "github.com" else f"{remote.host}/{remote.name}"
    listed = _run_gh(
        ["pr", "list", "--repo", place, "--head", text.head, "--state", "open", "--json", "url", "--jq", ".[0].url"],
        environ,
    )
    shared = ["--repo", place, "--title", text.title, "--body-file", "-"]
    if listed.strip():
        _run_gh(["pr", "edit", listed.strip(), *shared], environ, text.cut_body)
        return Opened(listed.strip(), updated=True)
    printed = _run_gh(["pr", "create", "--head", text.head, "--base", text.base, *shared], environ, text.cut_body)
    return Opened(printed.strip().splitlines()[-1] if printed.strip() else place, updated=False)


def _run_gh(arguments: list[str], environ: Mapping[str, str], body: str | None = None) -> str:
    command = [shutil.which("gh", path=environ.get("PATH")) or "gh", *arguments]
    try:
        done = subprocess.run(
            command,
            input=body,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={**environ, "GH_PROMPT_DISABLED": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProposalError(f"gh {arguments[1]} did not run: {type(error).__name__}") from error
    if done.returncode:
        raise ProposalError(
            f"gh {' '.join(arguments[:2])} failed: {' '.join(done.stderr.split())[:300]}", hint="check: gh auth status"
        )
    return done.stdout


def _shown(url: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]+@", "", url)
