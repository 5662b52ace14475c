"""Branches, commits and pushes: against real repositories and a real git server on this machine."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_pmpo.errors import ProposalError
from pytest_pmpo.optimize.message import TRAILER
from pytest_pmpo.optimize.patch import make_patch
from pytest_pmpo.optimize.proposal import Repository
from pytest_pmpo.optimize.publish import PullRequestText, gitlab_options

PATH = "prompts/praise.md"
OLD, NEW, NEWER = b"Be kind.\n{{ input }}\n", b"Be brief.\n{{ input }}\n", b"Be quick.\n{{ input }}\n"
MESSAGE = f"Improve {PATH}\n\nWhy.\n\n{TRAILER}: {PATH}\n"
BRANCH = "pmpo/praise"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def configure(folder: Path) -> None:
    git(folder, "config", "user.name", "A Person")
    git(folder, "config", "user.email", "person@example.org")
    git(folder, "config", "commit.gpgsign", "false")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A repository with a clean prompt, beside it a staged, a changed and an untracked file of the user's."""
    folder = tmp_path / "work"
    (folder / "prompts").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    configure(folder)
    (folder / PATH).write_bytes(OLD)
    (folder / "other.txt").write_text("other\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Start")
    (folder / "other.txt").write_text("changed\n")
    (folder / "staged.txt").write_text("staged\n")
    git(folder, "add", "staged.txt")
    (folder / "untracked.txt").write_text("untracked\n")
    return folder


def state(folder: Path) -> tuple[str, ...]:
    """Everything of the user's that must stay: status, index, HEAD, files, worktrees."""
    return (
        git(folder, "status", "--porcelain"),
        git(folder, "ls-files", "-s"),
        git(folder, "rev-parse", "HEAD"),
        git(folder, "symbolic-ref", "HEAD"),
        git(folder, "worktree", "list"),
        (folder / PATH).read_text(),
    )


def commit(folder: Path, data: bytes = NEW, branch: str = BRANCH, **more: Any) -> Any:
    return Repository(folder).commit(PATH, data, OLD, MESSAGE, branch, **more)


def test_a_branch_with_one_commit_and_nothing_of_the_users_touched(work: Path) -> None:
    before = state(work)
    suggestion = commit(work)
    assert state(work) == before
    assert git(work, "show", f"{BRANCH}:{PATH}") == NEW.decode().strip()
    assert git(work, "rev-parse", f"{BRANCH}^") == git(work, "rev-parse", "main") == suggestion.base
    assert git(work, "diff", "--name-only", "main", BRANCH) == PATH
    assert git(work, "log", "-1", "--format=%B", BRANCH) == MESSAGE.strip()


def test_the_same_again_is_no_second_commit(work: Path) -> None:
    first = commit(work)
    again = commit(work)
    assert (again.commit, again.existed, again.unchanged) == (first.commit, True, True)


def test_our_branch_is_updated_and_not_duplicated(work: Path) -> None:
    first = commit(work)
    second = commit(work, NEWER)
    assert second.existed
    assert second.commit != first.commit
    assert git(work, "rev-parse", f"{BRANCH}^") == git(work, "rev-parse", "main")
    assert git(work, "branch", "--list", "pmpo/*") == BRANCH


def test_a_branch_of_someone_else_is_left_alone(work: Path) -> None:
    git(work, "branch", BRANCH)
    before = state(work)
    with pytest.raises(ProposalError, match="exists and its last commit is not a suggestion"):
        commit(work)
    assert state(work) == before
    assert git(work, "rev-parse", BRANCH) == git(work, "rev-parse", "main")


def test_work_added_to_our_branch_is_not_overwritten(work: Path) -> None:
    commit(work)
    tree = git(work, "rev-parse", f"{BRANCH}^{{tree}}")
    theirs = git(work, "commit-tree", tree, "-p", BRANCH, "-m", "My own touch")
    git(work, "update-ref", f"refs/heads/{BRANCH}", theirs)
    with pytest.raises(ProposalError, match="not a suggestion"):
        commit(work, NEWER)
    assert git(work, "rev-parse", BRANCH) == theirs


def test_a_checked_out_branch_is_refused(work: Path) -> None:
    commit(work)
    git(work, "worktree", "add", "-q", str(work.parent / "second"), BRANCH)
    with pytest.raises(ProposalError, match="is checked out"):
        commit(work, NEWER)


@pytest.mark.parametrize("staged", [False, True])
def test_a_dirty_target_file_is_refused(work: Path, staged: bool) -> None:
    (work / PATH).write_bytes(NEWER)
    if staged:
        git(work, "add", PATH)
    with pytest.raises(ProposalError, match="not committed"):
        Repository(work).commit(PATH, NEW, NEWER, MESSAGE, BRANCH)
    assert git(work, "branch", "--list", BRANCH) == ""


def test_a_file_that_changed_during_the_optimization_is_refused(work: Path) -> None:
    (work / PATH).write_bytes(NEWER)
    with pytest.raises(ProposalError, match="has changed since the optimization read it"):
        commit(work)


def test_an_untracked_prompt_is_refused(work: Path) -> None:
    (work / "new.md").write_bytes(OLD)
    with pytest.raises(ProposalError, match="git does not track this file"):
        Repository(work).commit("new.md", NEW, OLD, MESSAGE, BRANCH)


def test_a_link_is_refused(work: Path) -> None:
    (work / "link.md").symlink_to(PATH)
    with pytest.raises(ProposalError, match="symbolic link"):
        Repository(work).commit("link.md", NEW, OLD, MESSAGE, BRANCH)


def test_no_repository_and_no_commit_are_said(tmp_path: Path) -> None:
    with pytest.raises(ProposalError, match="not in a git repository"):
        Repository(tmp_path)
    git(tmp_path, "init", "-q")
    with pytest.raises(ProposalError, match="no commit yet"):
        commit(tmp_path)


def test_a_detached_head_serves_as_base(work: Path) -> None:
    git(work, "checkout", "-q", "--detach")
    assert commit(work).base == git(work, "rev-parse", "HEAD")


def test_a_prompt_below_the_top_is_found(work: Path) -> None:
    suggestion = Repository(work / "prompts").commit("praise.md", NEW, OLD, f"x\n\n{TRAILER}: praise.md\n", BRANCH)
    assert git(work, "diff", "--name-only", "main", suggestion.commit) == PATH


def test_signed_off_when_asked_or_configured(work: Path) -> None:
    commit(work)
    assert "Signed-off-by" not in git(work, "log", "-1", "--format=%B", BRANCH)
    commit(work, NEWER, signoff=True)
    assert "Signed-off-by: A Person <person@example.org>" in git(work, "log", "-1", "--format=%B", BRANCH)
    git(work, "config", "format.signOff", "true")
    commit(work, NEW)
    message = git(work, "log", "-1", "--format=%B", BRANCH)
    assert "Signed-off-by" in message
    commit(work, NEWER)  # the trailer is still found beside the sign-off


def test_without_a_name_git_cannot_commit_and_the_hint_says_so(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(work, "config", "--unset", "user.name")
    git(work, "config", "--unset", "user.email")
    git(work, "config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    before = state(work)
    with pytest.raises(ProposalError, match=r"git config user\.name"):
        commit(work)
    assert state(work) == before
    assert git(work, "branch", "--list", BRANCH) == ""


def test_the_users_hooks_do_not_run(work: Path) -> None:
    for name in ("pre-commit", "commit-msg", "post-commit", "post-checkout", "reference-transaction"):
        hook = work / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {work.parent}/ran-{name}\nexit 1\n")
        hook.chmod(0o755)
    commit(work)
    assert not list(work.parent.glob("ran-*"))


@pytest.mark.parametrize("branch", ["--upload-pack=x", "a..b", "a b", "", "@{-1}", "x.lock"])
def test_a_name_that_is_no_branch_is_refused(work: Path, branch: str) -> None:
    with pytest.raises(ProposalError, match="no name for a branch"):
        commit(work, branch=branch)


def test_git_accepts_the_patch_and_refuses_one_that_does_not_fit(work: Path, tmp_path: Path) -> None:
    patch = tmp_path / "praise.patch"
    patch.write_bytes(make_patch(PATH, OLD, NEW))
    Repository(work).check_patch(patch)
    patch.write_bytes(make_patch(PATH, NEWER, NEW))
    with pytest.raises(ProposalError, match="git does not accept the patch"):
        Repository(work).check_patch(patch)


def test_line_ends_of_the_checkout_stay_out_of_the_commit(work: Path) -> None:
    git(work, "config", "core.autocrlf", "true")
    crlf, changed = OLD.replace(b"\n", b"\r\n"), NEW.replace(b"\n", b"\r\n")
    (work / PATH).write_bytes(crlf)
    git(work, "add", "--renormalize", PATH)
    suggestion = Repository(work).commit(PATH, changed, crlf, MESSAGE, BRANCH)
    blob = subprocess.run(["git", "cat-file", "blob", f"{suggestion.commit}:{PATH}"], cwd=work, capture_output=True)
    assert blob.stdout == NEW


class GitServer:
    """``git http-backend`` behind a few lines of HTTP; a password says what one may do."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "owner" / "repository.git"
        self.bare.mkdir(parents=True)
        git(self.bare, "init", "-q", "--bare", "-b", "main")
        git(self.bare, "config", "http.receivepack", "true")
        git(self.bare, "config", "receive.advertisePushOptions", "true")
        outer, root = self, folder

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                url = urlsplit(self.path)
                password = _password(self.headers.get("authorization"))
                writes = "git-receive-pack" in self.path
                if password is None or (writes and password == "readonly"):
                    self.send_response(401 if password is None else 403)
                    self.send_header("www-authenticate", 'Basic realm="git"')
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length) if length else _chunked(self)
                environ = {
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": url.path,
                    "QUERY_STRING": url.query,
                    "CONTENT_TYPE": self.headers.get("content-type") or "",
                    "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding") or "",
                    "GIT_PROTOCOL": self.headers.get("git-protocol") or "",
                    "REMOTE_USER": "someone",
                    "CONTENT_LENGTH": str(len(body)),
                }
                done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environ)
                head, _, rest = done.stdout.partition(b"\r\n\r\n")
                headers = [line.decode().split(": ", 1) for line in head.split(b"\r\n") if line]
                status = next((int(v.split()[0]) for k, v in headers if k == "Status"), 200)
                self.send_response(status)
                for name, value in headers:
                    if name != "Status":
                        self.send_header(name, value)
                self.send_header("content-length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest)

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        outer.port = self.http.server_port

    port = 0

    def url(self, password: str = "secret-token") -> str:
        return f"http://someone:{password}@127.0.0.1:{self.port}/owner/repository.git"

    def hook(self, name: str, script: str) -> None:
        file = self.bare / "hooks" / name
        file.write_text("#!/bin/sh\n" + script)
        file.chmod(0o755)


def _password(header: str | None) -> str | None:
    return base64.b64decode(header.split()[1]).decode().partition(":")[2] if header else None


def _chunked(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("transfer-encoding") != "chunked":
        return b""
    parts = []
    while size := int(handler.rfile.readline(), 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(parts)


@pytest.fixture
def server(tmp_path: Path, work: Path) -> Iterator[GitServer]:
    running = GitServer(tmp_path / "served")
    git(work, "remote", "add", "origin", running.url())
    git(work, "push", "-q", "origin", "main")
    yield running
    running.http.shutdown()
    running.http.server_close()


def test_a_pushed_branch_is_on_the_server(work: Path, server: GitServer) -> None:
    suggestion = commit(work)
    assert Repository(work).push(suggestion)
    assert git(server.bare, "rev-parse", BRANCH) == suggestion.commit
    assert not Repository(work).push(suggestion)


def test_a_new_suggestion_replaces_the_old_one_on_the_server(work: Path, server: GitServer) -> None:
    Repository(work).push(commit(work))
    second = commit(work, NEWER)
    assert Repository(work).push(second)
    assert git(server.bare, "rev-parse", BRANCH) == second.commit
    assert git(server.bare, "branch", "--list", "pmpo/*") == BRANCH


def test_a_fresh_clone_updates_the_branch_another_run_pushed(work: Path, server: GitServer, tmp_path: Path) -> None:
    Repository(work).push(commit(work))
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", server.url(), str(clone))
    configure(clone)
    second = commit(clone, NEWER)
    assert Repository(clone).push(second)
    assert git(server.bare, "rev-parse", BRANCH) == second.commit


def test_commits_of_a_person_on_the_server_are_not_overwritten(work: Path, server: GitServer, tmp_path: Path) -> None:
    Repository(work).push(commit(work))
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "-b", BRANCH, server.url(), str(clone))
    configure(clone)
    git(clone, "commit", "-q", "--allow-empty", "-m", "A person's touch")
    git(clone, "push", "-q", "origin", BRANCH)
    theirs = git(clone, "rev-parse", "HEAD")
    with pytest.raises(ProposalError, match="is not a suggestion"):
        Repository(work).push(commit(work, NEWER))
    assert git(server.bare, "rev-parse", BRANCH) == theirs


def test_a_remote_that_rejects_says_why_and_the_branch_stays(work: Path, server: GitServer) -> None:
    server.hook("pre-receive", "echo 'suggestions are not welcome here' >&2\nexit 1\n")
    before = state(work)
    suggestion = commit(work)
    with pytest.raises(ProposalError, match="suggestions are not welcome here") as caught:
        Repository(work).push(suggestion)
    assert "git push origin pmpo/praise" in str(caught.value)
    assert state(work) == before
    assert git(work, "rev-parse", BRANCH) == suggestion.commit


def test_a_token_without_rights_is_said_and_never_shown(work: Path, server: GitServer) -> None:
    git(work, "remote", "set-url", "origin", server.url("readonly"))
    with pytest.raises(ProposalError, match="did not take the branch") as caught:
        Repository(work).push(commit(work))
    assert "403" in str(caught.value)
    assert "readonly" not in str(caught.value)


def test_a_server_that_wants_a_password_is_not_waited_for(work: Path, server: GitServer) -> None:
    git(work, "remote", "set-url", "origin", f"http://127.0.0.1:{server.port}/owner/repository.git")
    with pytest.raises(ProposalError, match="cannot be reached"):
        Repository(work).push(commit(work))


def test_an_unknown_remote_names_the_known_ones(work: Path, server: GitServer) -> None:
    with pytest.raises(ProposalError, match="there is no remote 'upstream'") as caught:
        Repository(work).push(commit(work), "upstream")
    assert "known: origin" in str(caught.value)


def test_gitlabs_push_options_reach_the_server(work: Path, server: GitServer, tmp_path: Path) -> None:
    log = tmp_path / "options"
    server.hook(
        "pre-receive",
        f'i=0\nwhile [ $i -lt "$GIT_PUSH_OPTION_COUNT" ]; do eval "printf \'%s\\n\' '
        f'\\"\\$GIT_PUSH_OPTION_$i\\"" >> {log}\ni=$((i+1))\ndone\n',
    )
    text = PullRequestText("main", BRANCH, "Improve it", "## Line one\n\n`C:\\new` two")
    Repository(work).push(commit(work), options=gitlab_options(text))
    assert log.read_text().splitlines() == [
        "merge_request.create",
        "merge_request.target=main",
        "merge_request.title=Improve it",
        "merge_request.description=## Line one\\n\\n`C:\\ new` two",
    ]


def test_a_server_without_push_options_is_an_error_and_not_a_silent_push(work: Path, server: GitServer) -> None:
    git(server.bare, "config", "receive.advertisePushOptions", "false")
    with pytest.raises(ProposalError, match="does not support push options"):
        Repository(work).push(commit(work), options=("merge_request.create",))


def test_the_base_of_a_pull_request_is_the_branch_that_is_checked_out(work: Path, server: GitServer) -> None:
    assert Repository(work).default_branch() == "main"
    git(work, "checkout", "-q", "-b", "local-only")
    git(work, "remote", "set-head", "origin", "main")
    assert Repository(work).default_branch() == "main"


def test_a_link_is_no_file_that_could_be_added_to(work: Path) -> None:
    """A commit would write through it, outside of the worktree it is made in."""
    (work / "prompts" / "bank.jsonl").symlink_to(work / "other.txt")
    git(work, "add", "prompts/bank.jsonl")
    git(work, "commit", "-q", "-m", "Link", "--", "prompts/bank.jsonl")
    assert Repository(work).committed("prompts/bank.jsonl") is None
    assert Repository(work).committed("other.txt") == b"other\n"
    assert Repository(work / "prompts").committed(Path(PATH).name) == Repository(work).committed(PATH)
