"""Bytes of the working tree and of commits, the base to compare with, and what changed since: on real repositories."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_pmpo.errors import BaseUnavailableError, SourceError
from pytest_pmpo.prompts.source import (
    Base,
    GitTree,
    ListedTree,
    NoBase,
    WorkingTree,
    changed_paths,
    find_base,
    find_root,
    resolve_base,
)

NOTHING: dict[str, str] = {}
IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_COMMITTER_DATE": "2026-01-31T12:00:00+01:00",
}


@dataclass
class Repo:
    """A git repository in a temporary folder."""

    path: Path

    def git(self, *arguments: str, **environ: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env={**kept, **IDENTITY, **environ}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, path: str, text: str | bytes) -> Path:
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    def commit(self, message: str = "change", **files: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def make(path: Path) -> Repo:
    path.mkdir(parents=True, exist_ok=True)
    repo = Repo(path)
    repo.git("init", "-q", "-b", "main")
    return repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """One commit on ``main`` with ``prompts/a.txt``."""
    repo = make(tmp_path / "repo")
    repo.write("prompts/a.txt", "Classify the ticket as a bug or a question.\n")
    repo.commit("first")
    return repo


@pytest.fixture
def forked(tmp_path: Path) -> tuple[Repo, Repo, str]:
    """A remote, a clone of it on a branch with one commit, and the commit both have; ``main`` has moved on since."""
    remote = make(tmp_path / "remote")
    remote.write("a.txt", "one\n")
    shared = remote.commit("shared")
    remote.git("branch", "work")
    remote.write("a.txt", "one\ntwo by others\n")
    remote.commit("others")
    remote.git("checkout", "-q", "work")
    remote.write("b.txt", "mine\n")
    remote.commit("mine")
    remote.git("checkout", "-q", "main")
    clone = Repo(tmp_path / "clone")
    clone.path.mkdir()
    clone.git("clone", "-q", remote.path.as_uri(), ".")
    clone.git("checkout", "-q", "work")
    return remote, clone, shared


def base_of(repo: Repo, requested: str | None = None, environ: dict[str, str] = NOTHING) -> Base:
    found = find_base(repo.path, requested, environ)
    assert isinstance(found, Base)
    return found


class TestWorkingTree:
    def test_reads_the_bytes_on_disk(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"\xff\r\n")
        assert WorkingTree(tmp_path).read("a.txt") == b"\xff\r\n"

    @pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "", "a//b", "./a", ".git/config", "a\0b"])
    def test_refuses_a_path_that_could_leave_the_root(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(SourceError, match="does not stay inside"):
            WorkingTree(tmp_path).read(path)
        assert not WorkingTree(tmp_path).exists(path)

    def test_refuses_a_link_that_leaves_the_root(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("s")
        root = tmp_path / "root"
        root.mkdir()
        (root / "a.txt").symlink_to("../secret")
        (root / "up").symlink_to("..")
        tree = WorkingTree(root)
        for path in ("a.txt", "up/secret"):
            with pytest.raises(SourceError, match="leads out of the repository"):
                tree.read(path)
            assert not tree.exists(path)

    def test_follows_a_link_that_stays_inside(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("text")
        (tmp_path / "b.txt").symlink_to("a.txt")
        assert WorkingTree(tmp_path).read("b.txt") == b"text"

    def test_a_root_reached_through_a_link_is_fine(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real/a.txt").write_text("text")
        (tmp_path / "link").symlink_to("real")
        assert WorkingTree(tmp_path / "link").read("a.txt") == b"text"

    def test_a_missing_file_and_a_folder_are_errors(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        tree = WorkingTree(tmp_path)
        with pytest.raises(SourceError, match="no such file"):
            tree.read("none.txt")
        with pytest.raises(SourceError, match="not a file"):
            tree.read("folder")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_pipe_is_refused_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SourceError, match="not a file"):
            WorkingTree(tmp_path).read("pipe")

    def test_a_loop_of_links_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(SourceError):
            WorkingTree(tmp_path).read("a")

    def test_globs_give_files_only_sorted_without_links(self, tmp_path: Path) -> None:
        for name in ("b.txt", "a.txt", "sub/c.txt", "sub/deep/d.txt", "a.md"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("")
        (tmp_path / "z.txt").symlink_to("a.txt")
        tree = WorkingTree(tmp_path)
        assert tree.glob("*.txt") == ("a.txt", "b.txt")
        assert tree.glob("**/*.txt") == ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt")
        assert tree.glob("sub/*.txt") == ("sub/c.txt",)
        assert tree.glob("none/*.txt") == ()
        assert tree.glob("*/*.txt") == ("sub/c.txt",)
        assert tree.glob("s*/**/*.txt") == ("sub/c.txt", "sub/deep/d.txt")
        assert tree.glob("sub/*/*") == ("sub/deep/d.txt",)
        with pytest.raises(SourceError):
            tree.glob("../*/x.txt")


class TestListedTree:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> ListedTree:
        (tmp_path / "secret").write_text("s")
        root = tmp_path / "root"
        (root / "sub/folder").mkdir(parents=True)
        for name in ("a.txt", "B.TXT", "sub/\u00fc.txt"):
            (root / name).write_text(name)
        (root / "out").symlink_to("../secret")
        (root / "up").symlink_to("..")
        return ListedTree(root)

    def test_what_is_there_is_what_the_working_tree_says(self, tree: ListedTree, tmp_path: Path) -> None:
        paths = ["a.txt", "B.TXT", "sub/\u00fc.txt", "sub/folder", "sub", "none", "none/a", "a.txt/b", "out"]
        for path in [*paths, "up/secret", "../secret", "/etc/passwd", "", "sub//x", "a\0b"]:
            assert tree.exists(path) == WorkingTree(tmp_path / "root").exists(path), path

    def test_a_file_that_is_deleted_is_gone_and_one_that_is_added_later_unseen(
        self, tree: ListedTree, tmp_path: Path
    ) -> None:
        assert tree.exists("a.txt")
        (tmp_path / "root/a.txt").unlink()
        (tmp_path / "root/new.txt").write_text("")
        assert not tree.exists("a.txt")
        assert not tree.exists("new.txt")


class TestGitTree:
    def test_reads_the_committed_bytes_and_not_those_on_disk(self, repo: Repo) -> None:
        repo.write("prompts/a.txt", "edited")
        tree = GitTree(repo.path, "HEAD")
        assert tree.read("prompts/a.txt").startswith(b"Classify")
        assert tree.exists("prompts/a.txt")
        assert not tree.exists("prompts/b.txt")

    def test_reads_empty_binary_and_oddly_named_files_one_after_another(self, repo: Repo) -> None:
        contents = {"empty": b"", "binary": bytes(range(256)), "a b\n\tü'\"": b"odd\n", "-n": b"dash"}
        for name, data in contents.items():
            repo.write(name, data)
        tree = GitTree(repo.path, repo.commit())
        for _ in range(2):
            assert {name: tree.read(name) for name in contents} == contents

    def test_a_git_that_was_ended_is_an_error_and_reading_again_starts_another(self, repo: Repo) -> None:
        tree = GitTree(repo.path, "HEAD")
        held = tree.read("prompts/a.txt")
        assert tree._process is not None
        tree._process.kill()
        tree._process.wait()
        with pytest.raises(SourceError, match="git cannot read the file's contents"):
            tree.read("prompts/a.txt")
        assert tree.read("prompts/a.txt") == held

    def test_globs_like_the_working_tree(self, repo: Repo) -> None:
        for name in ("x.txt", "prompts/b.md", "prompts/deep/c.txt"):
            repo.write(name, "")
        commit = repo.commit()
        for pattern in ("*.txt", "**/*.txt", "prompts/*", "prompts/**", "**", "p*/*.[mt]*", "none/**"):
            assert GitTree(repo.path, commit).glob(pattern) == WorkingTree(repo.path).glob(pattern), pattern

    def test_a_missing_file_says_in_which_commit(self, repo: Repo) -> None:
        tree = GitTree(repo.path, "HEAD")
        with pytest.raises(SourceError, match=tree.label):
            tree.read("none")

    def test_links_and_submodules_are_refused(self, repo: Repo, tmp_path: Path) -> None:
        other = make(tmp_path / "other")
        other.write("x", "x")
        other.commit()
        (repo.path / "link").symlink_to("prompts/a.txt")
        repo.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", other.path.as_uri(), "module")
        tree = GitTree(repo.path, repo.commit())
        with pytest.raises(SourceError, match="a link"):
            tree.read("link")
        with pytest.raises(SourceError, match="a submodule"):
            tree.read("module")
        assert not tree.exists("link")

    def test_paths_are_relative_to_a_folder_below_the_top(self, repo: Repo) -> None:
        repo.write("top.txt", "t")
        tree = GitTree(repo.path / "prompts", repo.commit())
        assert tree.read("a.txt").startswith(b"Classify")
        assert tree.glob("**") == ("a.txt",)
        with pytest.raises(SourceError):
            tree.read("../top.txt")

    @pytest.mark.parametrize("commit", ["--all", "-h", "HEAD:prompts", "HEAD..main", "^HEAD", "a b", "main\n", ""])
    def test_what_is_no_name_of_a_commit_never_reaches_git(self, repo: Repo, commit: str) -> None:
        with pytest.raises(SourceError, match="does not name a commit"):
            GitTree(repo.path, commit)

    def test_an_unknown_commit_is_an_error(self, repo: Repo) -> None:
        with pytest.raises(SourceError, match="no commit"):
            GitTree(repo.path, "0" * 40)

    def test_works_where_object_ids_are_sha256(self, tmp_path: Path) -> None:
        repo = Repo(tmp_path)
        repo.git("init", "-q", "--object-format=sha256")
        repo.write("a", "text")
        assert GitTree(tmp_path, repo.commit()).read("a") == b"text"


class TestRoot:
    def test_is_the_top_of_the_working_tree(self, repo: Repo) -> None:
        assert find_root(repo.path / "prompts") == repo.path
        assert find_root(repo.path) == repo.path

    def test_is_none_outside_git(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        assert find_root(tmp_path / "sub") is None

    def test_a_worktree_has_its_own(self, repo: Repo, tmp_path: Path) -> None:
        repo.git("worktree", "add", "-q", str(tmp_path / "second"))
        assert find_root(tmp_path / "second" / "prompts") == tmp_path / "second"

    def test_a_stray_empty_git_folder_is_none(self, tmp_path: Path) -> None:
        (tmp_path / ".git").mkdir()
        assert find_root(tmp_path) is None


class TestBase:
    def test_without_git_there_is_none_and_a_reason(self, tmp_path: Path) -> None:
        assert find_base(tmp_path, None, NOTHING) == NoBase("this is not a git repository")
        assert resolve_base(tmp_path, None, NOTHING) is None

    def test_without_git_a_base_that_was_asked_for_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="not a git repository"):
            find_base(tmp_path, "main", NOTHING)

    def test_without_the_git_program_there_is_none(self, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(SourceError, match="git is not installed"):
            find_base(repo.path, "main", NOTHING)
        assert find_base(repo.path, None, NOTHING) == NoBase("git is not installed")

    @pytest.mark.parametrize("environ", [{"GITHUB_BASE_REF": "main"}, {"CHANGE_TARGET": "main"}])
    def test_a_pull_request_without_a_clone_or_without_git_is_an_error(
        self, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
    ) -> None:
        with pytest.raises(BaseUnavailableError, match="but this is not a git repository"):
            find_base(tmp_path, None, environ)
        monkeypatch.setenv("PATH", "")
        with pytest.raises(BaseUnavailableError, match="but git is not installed"):
            find_base(repo.path, None, environ)

    def test_on_an_unborn_branch_there_is_none(self, tmp_path: Path) -> None:
        assert find_base(make(tmp_path).path, None, NOTHING) == NoBase("the repository has no commit yet")

    def test_without_a_remote_it_is_the_last_commit(self, repo: Repo) -> None:
        base = base_of(repo)
        assert base.commit == repo.git("rev-parse", "HEAD")
        assert repo.git("rev-parse", base.short) == base.commit
        assert base.how == "the last commit"

    def test_it_knows_its_date_and_age(self, repo: Repo) -> None:
        base = base_of(repo)
        assert base.date == datetime(2026, 1, 31, 11, tzinfo=UTC)
        assert base.age(datetime(2026, 2, 2, 11, tzinfo=UTC)) == timedelta(days=2)
        assert base.age(datetime(2020, 1, 1, tzinfo=UTC)) == timedelta(0)

    def test_on_a_branch_it_is_the_merge_base_with_the_remote_default(self, forked: tuple[Repo, Repo, str]) -> None:
        _, clone, shared = forked
        base = base_of(clone)
        assert (base.commit, base.how) == (shared, "merge base with origin/main")

    def test_a_remote_head_that_is_not_set_is_looked_for_as_main(self, forked: tuple[Repo, Repo, str]) -> None:
        _, clone, shared = forked
        clone.git("remote", "set-head", "origin", "--delete")
        assert base_of(clone).commit == shared

    def test_on_the_default_branch_it_is_the_last_commit_everyone_has(self, forked: tuple[Repo, Repo, str]) -> None:
        _, clone, _ = forked
        clone.git("checkout", "-q", "main")
        pushed = clone.git("rev-parse", "HEAD")
        assert base_of(clone).commit == pushed
        clone.write("a.txt", "local\n")
        clone.commit()
        assert base_of(clone).commit == pushed

    def test_a_detached_head_is_like_any_other(self, forked: tuple[Repo, Repo, str]) -> None:
        _, clone, shared = forked
        clone.git("checkout", "-q", "--detach")
        assert base_of(clone).commit == shared

    @pytest.mark.parametrize(
        "environ",
        [
            {"GITHUB_BASE_REF": "main"},
            {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_MERGE_REQUEST_DIFF_BASE_SHA": "0" * 40},
            {"BITBUCKET_PR_DESTINATION_BRANCH": "main"},
            {"SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main"},
            {"BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main"},
            {"CHANGE_TARGET": "main"},
            {"CIRRUS_BASE_BRANCH": "main"},
            {"CODEBUILD_WEBHOOK_BASE_REF": "refs/heads/main"},
            {"DRONE_BUILD_EVENT": "pull_request", "DRONE_TARGET_BRANCH": "main"},
            {"CI_PIPELINE_EVENT": "pull_request", "CI_COMMIT_TARGET_BRANCH": "main"},
            {"TRAVIS_PULL_REQUEST": "7", "TRAVIS_BRANCH": "main"},
            {"APPVEYOR_PULL_REQUEST_NUMBER": "7", "APPVEYOR_REPO_BRANCH": "main"},
        ],
        ids=lambda environ: next(iter(environ)),
    )
    def test_in_a_pull_request_it_is_the_merge_base_with_the_target(
        self, forked: tuple[Repo, Repo, str], environ: dict[str, str]
    ) -> None:
        _, clone, shared = forked
        base = base_of(clone, environ=environ)
        assert (base.commit, base.ref) == (shared, "origin/main")
        assert "target of the pull request" in base.how

    @pytest.mark.parametrize(
        "environ",
        [
            {"GITHUB_BASE_REF": "", "GITHUB_REF": "refs/heads/main"},
            {"DRONE_BUILD_EVENT": "push", "DRONE_TARGET_BRANCH": "main"},
            {"TRAVIS_PULL_REQUEST": "false", "TRAVIS_BRANCH": "main"},
        ],
    )
    def test_a_push_is_no_pull_request(self, forked: tuple[Repo, Repo, str], environ: dict[str, str]) -> None:
        _, clone, _ = forked
        assert "pull request" not in base_of(clone, environ=environ).how

    def test_a_build_of_a_push_is_told_that_it_is_compared_with_itself(self, forked: tuple[Repo, Repo, str]) -> None:
        _, clone, shared = forked
        ci = {"CI": "true", "GITHUB_REF": "refs/heads/main"}
        assert "name the base" not in base_of(clone, environ=ci).how  # a branch that is ahead of main
        clone.git("checkout", "-q", "main")
        assert "to judge a push, name the base it had, such as HEAD~1" in base_of(clone, environ=ci).how
        assert "push" not in base_of(clone).how
        assert base_of(clone, "HEAD~1", ci).commit == shared

    def test_gitlab_tells_the_commit_where_the_branch_is_not_fetched(self, repo: Repo) -> None:
        first = repo.git("rev-parse", "HEAD")
        repo.commit("second")
        repo.git("remote", "add", "origin", "https://example.org/none.git")
        environ = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "stable", "CI_MERGE_REQUEST_DIFF_BASE_SHA": first}
        assert base_of(repo, environ=environ).commit == first

    def test_githubs_merge_commit_knows_its_target(self, forked: tuple[Repo, Repo, str], tmp_path: Path) -> None:
        remote, _, _ = forked
        remote.git("checkout", "-q", "-b", "merged", "main")
        remote.git("merge", "-q", "--no-edit", "work")
        ci = Repo(tmp_path / "ci")
        ci.path.mkdir()
        ci.git("clone", "-q", "--depth=2", "--branch=merged", remote.path.as_uri(), ".")
        base = base_of(ci, environ={"GITHUB_BASE_REF": "main", "GITHUB_REF": "refs/pull/7/merge"})
        assert base.commit == remote.git("rev-parse", "main")

    @pytest.mark.parametrize("environ", [{"GITHUB_BASE_REF": "main"}, {"CHANGE_TARGET": "main"}])
    def test_a_shallow_clone_says_which_command_fetches_the_base(
        self, forked: tuple[Repo, Repo, str], tmp_path: Path, environ: dict[str, str]
    ) -> None:
        remote, _, shared = forked
        shallow = Repo(tmp_path / "shallow")
        shallow.path.mkdir()
        shallow.git("clone", "-q", "--depth=1", "--branch=work", remote.path.as_uri(), ".")
        with pytest.raises(BaseUnavailableError, match="shallow") as caught:
            find_base(shallow.path, None, environ)
        hint = caught.value.hint
        assert hint is not None
        assert hint.startswith("git fetch ")
        subprocess.run(hint, cwd=shallow.path, shell=True, check=True, capture_output=True)
        assert base_of(shallow, environ=environ).commit == shared

    def test_a_single_branch_clone_says_which_command_fetches_the_base(
        self, forked: tuple[Repo, Repo, str], tmp_path: Path
    ) -> None:
        remote, _, shared = forked
        remote.git("branch", "-m", "main", "a b$(touch pwned)".replace(" ", "_"))
        branch = remote.git("rev-parse", "--abbrev-ref", "HEAD")
        single = Repo(tmp_path / "single")
        single.path.mkdir()
        single.git("clone", "-q", "--single-branch", "--branch=work", remote.path.as_uri(), ".")
        with pytest.raises(BaseUnavailableError, match="not fetched") as caught:
            find_base(single.path, None, {"GITHUB_BASE_REF": branch})
        assert caught.value.hint is not None
        subprocess.run(caught.value.hint, cwd=single.path, shell=True, check=True, capture_output=True)
        assert base_of(single, environ={"GITHUB_BASE_REF": branch}).commit == shared
        assert not (single.path / "pwned").exists()

    @pytest.mark.parametrize("ref", ["main", "origin/main"])
    def test_a_branch_that_is_asked_for_counts_from_the_merge_base(
        self, forked: tuple[Repo, Repo, str], ref: str
    ) -> None:
        _, clone, shared = forked
        clone.git("branch", "-D", "-q", "main")
        assert base_of(clone, ref, {"GITHUB_BASE_REF": "nonsense"}).commit == shared

    def test_a_commit_that_is_asked_for_is_taken_as_it_is(self, repo: Repo) -> None:
        first = repo.git("rev-parse", "HEAD")
        repo.git("tag", "v1")
        repo.commit("second")
        for ref in (first, first[:8], "v1", "HEAD~1", "HEAD^"):
            base = base_of(repo, ref)
            assert (base.commit, base.ref, base.how) == (first, ref, "asked for")

    def test_a_branch_without_common_history_is_taken_as_it_is(self, repo: Repo) -> None:
        repo.git("checkout", "-q", "--orphan", "other")
        tip = repo.commit("other")
        repo.git("checkout", "-q", "main")
        assert base_of(repo, "other").commit == tip

    def test_an_unknown_ref_is_an_error(self, repo: Repo) -> None:
        with pytest.raises(SourceError, match="no commit 'nowhere'") as caught:
            find_base(repo.path, "nowhere", NOTHING)
        assert caught.value.hint is None
        with pytest.raises(SourceError, match="no commit 'mian'") as caught:
            find_base(repo.path, "mian", NOTHING)
        assert caught.value.hint == "did you mean 'main'?"
        with pytest.raises(SourceError) as caught:
            find_base(repo.path, "numbers.json", NOTHING)
        assert caught.value.hint == "if a saved baseline is meant: there is no file of that name"

    @pytest.mark.parametrize(
        "ref", ["--upload-pack=touch pwned", "-x", "main..work", "HEAD:a.txt", "", "a\nb", "^main"]
    )
    def test_options_paths_and_ranges_are_no_refs(self, repo: Repo, ref: str) -> None:
        with pytest.raises(SourceError, match="does not name a commit"):
            find_base(repo.path, ref, NOTHING)
        with pytest.raises(SourceError):
            find_base(repo.path, None, {"GITHUB_BASE_REF": ref or "-"})

    def test_variables_of_a_git_hook_do_not_lead_to_its_repository(
        self, forked: tuple[Repo, Repo, str], repo: Repo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, clone, shared = forked
        monkeypatch.setenv("GIT_DIR", str(repo.path / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(repo.path))
        monkeypatch.setenv("GIT_INDEX_FILE", ".git/next-index-1.lock")
        base = base_of(clone)
        assert base.commit == shared
        assert changed_paths(clone.path, base) == {"b.txt": None}
        monkeypatch.delenv("GIT_DIR")
        assert changed_paths(clone.path, base) == {"b.txt": None}

    def test_a_repository_of_another_user_is_refused_with_gits_own_remedy(
        self, repo: Repo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        with pytest.raises(SourceError, match="another user") as caught:
            find_base(repo.path, None, NOTHING)
        assert caught.value.hint is not None
        assert "safe.directory" in caught.value.hint

    def test_programs_named_in_the_repositorys_configuration_do_not_run(self, repo: Repo, tmp_path: Path) -> None:
        trap = tmp_path / "trap"
        trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
        trap.chmod(0o755)
        for name in ("core.fsmonitor", "diff.external", "core.pager", "gpg.program"):
            repo.git("config", name, str(trap))
        repo.git("config", "log.showSignature", "true")
        repo.git("config", "core.hooksPath", str(tmp_path))
        repo.git("config", "diff.x.textconv", str(trap))
        repo.write(".gitattributes", "*.txt diff=x\n")
        repo.write("prompts/a.txt", "edited")
        base = base_of(repo)
        assert "prompts/a.txt" in changed_paths(repo.path, base)
        GitTree(repo.path, base.commit).read("prompts/a.txt")
        assert not (tmp_path / "sprung").exists()


LONG = "".join(f"Rule {number}: answer with the label only.\n" for number in range(20))


class TestChangedPaths:
    def changed(self, repo: Repo, root: Path | None = None) -> dict[str, str | None]:
        return dict(changed_paths(root or repo.path, base_of(repo, self.first)))

    @pytest.fixture(autouse=True)
    def _first(self, repo: Repo) -> None:
        repo.write("long.txt", LONG)
        self.first = repo.commit()

    def test_a_clean_tree_has_none(self, repo: Repo) -> None:
        assert self.changed(repo) == {}

    def test_edits_count_whether_committed_staged_or_neither(self, repo: Repo) -> None:
        repo.write("long.txt", LONG + "x")
        assert self.changed(repo) == {"long.txt": "long.txt"}
        repo.git("add", "-A")
        assert self.changed(repo) == {"long.txt": "long.txt"}
        repo.commit()
        assert self.changed(repo) == {"long.txt": "long.txt"}

    def test_an_edit_that_was_taken_back_does_not_count(self, repo: Repo) -> None:
        repo.write("long.txt", LONG + "x")
        repo.commit()
        repo.write("long.txt", LONG)
        assert self.changed(repo) == {}

    def test_new_files_have_no_base_path(self, repo: Repo) -> None:
        repo.write("new.txt", "n")
        repo.write("added.txt", "m")
        repo.git("add", "added.txt")
        assert self.changed(repo) == {"new.txt": None, "added.txt": None}

    def test_ignored_and_deleted_files_are_left_out(self, repo: Repo) -> None:
        repo.write(".gitignore", "out\n")
        repo.write("out", "x")
        (repo.path / "long.txt").unlink()
        assert self.changed(repo) == {".gitignore": None}

    def test_a_rename_is_followed_when_it_is_staged_and_when_it_is_not(self, repo: Repo) -> None:
        (repo.path / "moved").mkdir()
        (repo.path / "long.txt").rename(repo.path / "moved/other.txt")
        repo.write("moved/other.txt", LONG.replace("Rule 3:", "Rule three:"))
        assert self.changed(repo) == {"moved/other.txt": "long.txt"}
        repo.git("add", "-A")
        assert self.changed(repo) == {"moved/other.txt": "long.txt"}

    def test_a_short_file_that_was_renamed_and_edited_in_one_commit_is_followed(self, repo: Repo) -> None:
        """Git compares lines, and a prompt of one line has none left when it was edited."""
        repo.write("lang.md", "Name the language of the text. Answer with its English name and nothing else.\n")
        self.first = repo.commit()
        (repo.path / "lang.md").rename(repo.path / "language.md")
        repo.write("language.md", "Which language is this? Answer with its English name and nothing else.\n")
        repo.write("news.md", "Sum up the news of the day in three sentences, please.\n")
        repo.commit()
        assert self.changed(repo) == {"language.md": "lang.md", "news.md": None}

    def test_a_file_moved_without_git_is_matched_with_the_likest_deleted_one_once(self, repo: Repo) -> None:
        repo.write("near.txt", LONG.replace("label", "word"))
        self.first = repo.commit()
        (repo.path / "long.txt").unlink()
        (repo.path / "near.txt").unlink()
        repo.write("one.txt", LONG + "one more\n")
        repo.write("two.txt", LONG.replace("label", "word") + "one more\n")
        repo.write("else.txt", "nothing alike\n")
        assert self.changed(repo) == {"one.txt": "long.txt", "two.txt": "near.txt", "else.txt": None}

    def test_a_deleted_file_that_was_unlike_is_no_origin(self, repo: Repo) -> None:
        (repo.path / "long.txt").unlink()
        repo.write("other.txt", "Translate the text into Latin, please.\n")
        assert self.changed(repo) == {"other.txt": None}

    def test_names_with_spaces_line_breaks_and_letters_of_all_kinds(self, repo: Repo) -> None:
        names = ["a b.txt", "ü ß 漢.txt", "line\nbreak.txt", "-dash.txt", '"quoted".txt', "tab\t.txt"]
        for name in names:
            repo.write(name, "x")
        assert self.changed(repo) == dict.fromkeys(names)
        repo.commit()
        self.first = repo.git("rev-parse", "HEAD")
        for name in names:
            repo.write(name, "y")
        assert self.changed(repo) == {name: name for name in names}

    def test_line_ends_that_git_converts_are_no_change(self, repo: Repo) -> None:
        repo.git("config", "core.autocrlf", "true")
        repo.write("long.txt", LONG.replace("\n", "\r\n"))
        assert self.changed(repo) == {}
        repo.write("long.txt", LONG.replace("\n", "\r\n") + "more\r\n")
        assert self.changed(repo) == {"long.txt": "long.txt"}

    def test_a_touched_file_is_no_change(self, repo: Repo) -> None:
        os.utime(repo.path / "long.txt", (1, 1))
        assert self.changed(repo) == {}

    def test_below_a_folder_paths_are_relative_to_it(self, repo: Repo) -> None:
        repo.write("prompts/a.txt", "Classify the ticket as a bug or a question!\n")
        repo.write("prompts/sub/b.txt", "new")
        repo.write("elsewhere.txt", "new")
        assert self.changed(repo, repo.path / "prompts") == {"a.txt": "a.txt", "sub/b.txt": None}

    def test_in_a_worktree_and_in_a_submodule(self, repo: Repo, tmp_path: Path) -> None:
        repo.git("worktree", "add", "-q", str(tmp_path / "second"))
        second = Repo(tmp_path / "second")
        second.write("long.txt", "other")
        assert self.changed(second) == {"long.txt": "long.txt"}
        assert self.changed(repo) == {}
        outer = make(tmp_path / "outer")
        outer.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", repo.path.as_uri(), "inner")
        inner = Repo(outer.path / "inner")
        inner.write("long.txt", LONG + "x")
        assert self.changed(inner) == {"long.txt": "long.txt"}
