"""Patches for any two files are accepted by git and give exactly the new bytes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_pmpo.optimize.patch import make_patch


def git(folder: Path, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=folder, input=data, capture_output=True, check=False)


def applied(folder: Path, path: str, old: bytes, new: bytes) -> bytes:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(old)
    done = git(folder, "apply", "--whitespace=nowarn", "-", data=make_patch(path, old, new))
    assert done.returncode == 0, done.stderr
    return file.read_bytes()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q")
    git(folder, "config", "core.autocrlf", "false")
    return folder


lines = st.lists(st.sampled_from([b"a", b"b", b"", b"x\r", b"\x0c", "ü — é".encode(), b"--- a", b"@@"]), max_size=25)
files = st.builds(lambda rows, end: b"\n".join(rows) + (b"\n" if end else b""), lines, st.booleans())


@given(old=files.filter(bool), new=files.filter(bool))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_git_applies_any_patch_to_the_very_bytes(repository: Path, old: bytes, new: bytes) -> None:
    if old != new:
        assert applied(repository, "prompt.md", old, new) == new


@pytest.mark.parametrize("path", ["a b.md", 'quo"te.md', "back\\slash.md", "tab\there.md", "prompts/ü.md"])
def test_odd_file_names(repository: Path, path: str) -> None:
    assert applied(repository, path, b"one\n", b"two\n") == b"two\n"


def test_a_changed_line_is_all_that_is_in_it() -> None:
    old = b"".join(b"line %d\n" % i for i in range(30))
    patch = make_patch("p.md", old, old.replace(b"line 15\n", b"line fifteen\n"))
    changed = [line for line in patch.splitlines()[4:] if line[:1] in b"+-"]
    assert changed == [b"-line 15", b"+line fifteen"]


def test_no_change_is_no_patch() -> None:
    assert make_patch("p.md", b"same", b"same") == b""
