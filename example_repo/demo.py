"""Watch the gate at work: an unchanged repository, an improved prompt, a worsened one.

Copies this folder to a temporary git repository with a remote, as a continuous-integration job sees it, makes each edit
on a branch of its own and runs ``pytest --pmpo``. Ends with exit code 1 if a run does not come out as told.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATCHES = HERE / "edits"
BIN = Path(sys.executable).parent
ASIDE = shutil.ignore_patterns("demo.py", "edits", "__pycache__", ".pytest_cache")

# a job's own variables say which base its pull request has; the demonstration brings its own repository
FOREIGN = ("GITHUB_", "CI", "GIT_", "PYTEST_", "BUILD", "CHANGE_", "SYSTEM_", "BITBUCKET_", "DRONE_", "TRAVIS_")


@dataclass(frozen=True)
class Step:
    """One act: an edit, and how the run after it has to end."""

    title: str
    patch: str | None
    exit_code: int
    says: str


STEPS = (
    Step("1. Nothing changed: the gate passes", None, 0, "3 verdicts: 3 unchanged"),
    Step("2. Someone adds two examples of an answer: improved", "improve", 0, "3 verdicts: 1 improved"),
    Step("3. Someone shortens the prompt too far: the build fails", "worsen", 1, "3 verdicts: 1 regressed"),
)


def main() -> int:
    """Run the story; 0 if every step ended as it should."""
    with tempfile.TemporaryDirectory(prefix="pmpo-demo-") as scratch:
        work = clone(Path(scratch))
        show("The model: SmolLM2-135M-Instruct, fetched and converted once")
        if run(work, "pmpo", "fetch")[0] != 0:
            return 1
        failed = [step.title for step in STEPS if not play(work, step)]
    if failed:
        print("\nThe demonstration did not go as told: " + "; ".join(failed))
        return 1
    print("\nAs told: an unchanged prompt passes, a better one passes as improved, a worse one fails the build.")
    return 0


def clone(scratch: Path) -> Path:
    """A clone of a repository whose main branch holds this folder."""
    origin, work = scratch / "origin", scratch / "work"
    shutil.copytree(HERE, origin, ignore=ASIDE)
    git(origin, "init", "--quiet", "--initial-branch=main")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "--message=Prompts and their fixtures")
    git(scratch, "clone", "--quiet", str(origin), str(work))
    return work


def play(work: Path, step: Step) -> bool:
    """Make the edit on a branch, run the gate, and say whether it ended as it should."""
    show(step.title)
    if step.patch is not None:
        git(work, "switch", "--quiet", "--create", step.patch, "origin/main")
        git(work, "apply", str(PATCHES / f"{step.patch}.patch"))
        run(work, "git", "--no-pager", "diff", "--unified=0")
        git(work, "commit", "--quiet", "--all", f"--message={step.title}")
    code, output = run(work, "pytest", "--pmpo")
    print(f"(exit code {code})")
    return code == step.exit_code and step.says in output and "Traceback" not in output


def run(folder: Path, program: str, *arguments: str) -> tuple[int, str]:
    """Show a command and its output line by line; its exit code and the output."""
    print("$", program, *arguments, flush=True)
    beside = BIN / program
    command = [str(beside) if beside.exists() else program, *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print("  " + line, end="", flush=True)
        lines.append(line)
    return process.wait(), "".join(lines)


def git(folder: Path, *arguments: str) -> None:
    """Run git with an identity of its own, so that none has to be configured."""
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment(), stdin=subprocess.DEVNULL, check=True)


def environment() -> dict[str, str]:
    """This process's variables without those of a surrounding job."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "100"}


def show(title: str) -> None:
    """A heading between steps."""
    print(f"\n=== {title} ===\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
