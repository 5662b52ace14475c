"""Bad input, end to end: a clear error with file and line, no traceback, no pass, and the other prompts go on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo

HEAD = "messages:\n  - role: user\n    content: Is {{message}} spam?\ntestData:\n"
BAD = "prompts/bad.prompt.yml"
MD, FIXTURES = "prompts/bad.md", "prompts/bad.fixtures.yaml"
ROW = "- {vars: {name: Ada}, expected: hello}\n"


def judged(repo: Repo, *arguments: str) -> str:
    """What pytest prints when one prompt of three cannot be judged; the other two and the test pass."""
    result = repo.run("--pmpo", *arguments)
    result.assert_outcomes(passed=3, errors=1)
    assert result.ret == 1
    text = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert not re.search(r"\.py:\d+", text)
    return text


FILES = {
    "YAML that does not parse": (BAD, "messages: [\n", r"prompts/bad\.prompt\.yml:\d+: .*does not parse"),
    "an empty file": (BAD, "", r"prompts/bad\.prompt\.yml:\d+: .*empty"),
    "a blank prompt": (
        BAD,
        "messages:\n  - {role: user, content: '  '}\ntestData:\n  - {expected: spam}\n",
        r"prompts/bad\.prompt\.yml:\d+: .*(empty|blank)",
    ),
    "a fixture with no label": (
        BAD,
        HEAD + "  - {message: a, expected: spam}\n  - {message: b}\n",
        r"prompts/bad\.prompt\.yml:6: ",
    ),
    "zero fixtures": (BAD, HEAD.removesuffix("testData:\n"), r"prompts/bad\.prompt\.yml: the prompt has no fixtures"),
    "an empty target": (BAD, HEAD + "  - {message: a, expected: ''}\n", r"prompts/bad\.prompt\.yml:5: .*empty"),
    "a target longer than the context": (
        BAD,
        HEAD + f"  - {{message: a, expected: {'spam ' * 20_000}}}\n",
        r"prompts/bad\.prompt\.yml:5: .*100\d\d\d tokens, but the model takes 65536; nothing is truncated",
    ),
    "a file that is not UTF-8": (
        BAD,
        HEAD.encode() + b"  - {message: caf\xe9, expected: ham}\n",
        r"prompts/bad\.prompt\.yml:5: .*not UTF-8",
    ),
}


@pytest.mark.parametrize(("path", "content", "message"), FILES.values(), ids=FILES.keys())
def test_a_prompt_file_that_cannot_be_used(repo: Repo, path: str, content: str | bytes, message: str):
    """One error at its place; everything else runs."""
    repo.write(path, content)
    assert re.search(message, judged(repo))


SIDECARS = {
    "an undefined variable": ("Hello {{ nmae }}\n", ROW, r"prompts/bad\.md:1: .*nmae"),
    "duplicate ids": (
        "Hello {{ name }}\n",
        "- {id: a, vars: {name: Ada}, expected: x}\n- {id: a, vars: {name: Bob}, expected: y}\n",
        r"prompts/bad\.fixtures\.yaml:2: fixture id 'a' exists already\n.*first at prompts/bad\.fixtures\.yaml:1",
    ),
    "an unknown key": (
        "Hello {{ name }}\n",
        "- {vars: {name: Ada}, expcted: x}\n",
        r"prompts/bad\.fixtures\.yaml:1: unknown key 'expcted'\n.*did you mean 'expected'\?",
    ),
    "no label": ("Hello {{ name }}\n", "- {vars: {name: Ada}}\n", r"prompts/bad\.fixtures\.yaml:1: "),
    "no rows": ("Hello {{ name }}\n", "[]\n", r"prompts/bad\.md: the prompt has no fixtures"),
    "an escape from the sandbox": ("{{ ''.__class__.__mro__ }}\n", ROW, r"prompts/bad\.md:1: "),
    "a loop without end": (
        "{% for i in range(1000000000) %}{{ i }}{% endfor %}\n",
        ROW,
        r"prompts/bad\.md:1: ",
    ),
    "a gigabyte of text": ("{{ 'x' * 1000000000 }}\n", ROW, r"prompts/bad\.md:1: "),
    "nested loops": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}\n",
        ROW,
        r"prompts/bad\.md:1: ",
    ),
}


@pytest.mark.parametrize(("template", "fixtures", "message"), SIDECARS.values(), ids=SIDECARS.keys())
def test_a_template_or_sidecar_that_cannot_be_used(repo: Repo, template: str, fixtures: str, message: str):
    """Undefined variables are named, sandboxes hold, limits stop what would not end."""
    repo.write(MD, template)
    repo.write(FIXTURES, fixtures)
    assert re.search(message, judged(repo))


def test_a_secret_of_the_environment_is_never_read(repo: Repo, monkeypatch: pytest.MonkeyPatch):
    """``${env:…}`` stays text in the prompt and in every report."""
    monkeypatch.setenv("PMPO_TEST_SECRET", "hunter2")
    repo.write("prompts/env.prompty", "---\nname: env\n---\nsystem:\nKey ${env:PMPO_TEST_SECRET}\nuser:\n{{q}}\n")
    repo.write("prompts/env.fixtures.csv", "q,expected\nIs it?,yes\n")
    result = repo.run("--pmpo", "-vv", "--pmpo-json=out.json", "--pmpo-html=out.html")
    texts = [result.stdout.str(), result.stderr.str()]
    texts += [(repo.path / name).read_text("utf-8") for name in ("out.json", "out.html")]
    assert "env.prompty" in texts[0]
    assert not any("hunter2" in text for text in texts)


def test_a_link_out_of_the_repository_is_not_followed(repo: Repo, tmp_path_factory: pytest.TempPathFactory):
    """Named, it is an error; in a folder it is passed over."""
    outside = tmp_path_factory.mktemp("outside") / "secret.prompt.yml"
    outside.write_text(HEAD + "  - {message: a, expected: spam}\n")
    (repo.path / BAD).symlink_to(outside)
    repo.run("--pmpo").assert_outcomes(passed=3)
    result = repo.run(BAD)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"{BAD}: the path leads out of the repository through a link"])


@pytest.mark.parametrize("pattern", ["../outside", "/etc"])
def test_a_configured_path_out_of_the_repository_stops_the_run(repo: Repo, pattern: str):
    """A usage error: there is no prompt it could be the error of."""
    repo.settings(f'prompts = ["{pattern}"]\n')
    result = repo.run("--pmpo")
    assert result.ret == 4
    assert "leaves the repository" in result.stderr.str()


def test_a_truncated_gguf_file_is_an_error_of_the_model(repo: Repo):
    """Said in words, at every prompt that needs it."""
    repo.write("model.gguf", b"GGUF\x03\x00\x00\x00" + b"\x00" * 20)
    result = repo.run("--pmpo", "--pmpo-model=model.gguf")
    result.assert_outcomes(passed=1, errors=2)
    text = result.stdout.str()
    assert "model.gguf" in text
    assert "Traceback" not in text


def test_no_git_at_all_makes_every_prompt_new(pytester: pytest.Pytester, repo: Repo):
    """Nothing to compare with is no error; the header says why."""
    import shutil

    shutil.rmtree(repo.path / ".git")
    result = repo.run("--pmpo", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["pmpo: base: none (this is not a git repository)", "*PASSED new: *"])


def test_an_unborn_branch_makes_every_prompt_new(repo: Repo):
    """A repository before its first commit."""
    import shutil

    shutil.rmtree(repo.path / ".git")
    repo.git("init", "-q")
    result = repo.run("--pmpo", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["pmpo: base: none (the repository has no commit yet)", "*PASSED new: *"])


def test_a_detached_head_is_compared_as_any_other(repo: Repo):
    """As CI checks out."""
    repo.git("checkout", "-q", "--detach")
    repo.worsen()
    repo.run("--pmpo").assert_outcomes(passed=2, failed=1)


def test_a_shallow_clone_without_the_base_says_what_to_fetch(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The command works as it is printed."""
    repo.git("switch", "-qc", "feature")
    repo.worsen()
    repo.commit("worse")
    repo.git("switch", "-q", "main")
    repo.write("later.txt", "later")
    repo.commit("later")
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", "--branch=feature", f"file://{repo.path}", str(clone)],
        check=True,
        capture_output=True,
    )
    monkeypatch.chdir(clone)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    result = repo.pytester.runpytest_inprocess("--pmpo")
    result.assert_outcomes(passed=1, errors=2)
    [command] = {line.partition("hint: ")[2] for line in result.outlines if "hint: git fetch" in line}
    subprocess.run(command, shell=True, cwd=clone, check=True, capture_output=True)
    repo.pytester.runpytest_inprocess("--pmpo").assert_outcomes(passed=2, failed=1)


def test_hostile_text_reaches_no_terminal_as_it_is(repo: Repo):
    """Escape sequences in messages and ids are made visible."""
    repo.write(MD, "Hello {{ name }}\n")
    repo.write(FIXTURES, '- {id: "\\e[31mred\\e[0m\\u202e", vars: {name: Ada}, expcted: x}\n')
    repo.edit("prompts/spam.prompt.yml", "{message: Cheap pills,", '{message: "\\e]0;owned\\a",')
    repo.worsen()
    text = repo.run("--pmpo", "-v").stdout.str()
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_an_unexpected_exception_keeps_its_traceback(repo: Repo):
    """What no error of ours explains is a bug, and shown as pytest shows bugs."""
    repo.write(
        "conftest.py",
        "class Broken:\n"
        "    name = 'broken'\n"
        "    def sniff(self, path, head):\n"
        "        return path.name == 'bad.md'\n"
        "    def parse(self, path, data, context):\n"
        "        raise ZeroDivisionError('a bug')\n"
        "def pytest_pmpo_formats():\n"
        "    return [Broken()]\n",
    )
    repo.write(MD, "Hello\n")
    repo.write(FIXTURES, ROW)
    result = repo.run("--pmpo", "--continue-on-collection-errors")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*ZeroDivisionError: a bug*"])
