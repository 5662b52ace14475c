"""One file of every format, base against head, under the real model: better edits lower the loss, worse ones raise it.

GitHub, Prompty, dotprompt and promptfoo are files nobody here wrote, unchanged; their edits go through ``apply_edits``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from pytest_pmpo.errors import ModelError
from pytest_pmpo.prompts.edit import apply_edits
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.registry import builtin_formats
from pytest_pmpo.scoring.models import DEFAULT, resolve

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "formats"
REAL = {
    "spam-detection.prompt.yml": "github-models/github__ai-moderator/prompts/spam-detection.prompt.yml",
    "weather.prompty": "prompty/microsoft__prompty/web/docs-examples/prompts/structured-output.prompty",
    "hello.prompt": "dotprompt/firebase__genkit/js/testapps/dev-ui-gallery/prompts/hello.history.prompt",
    "promptfooconfig.yaml": "promptfoo/DataDog__system-tests/promptfooconfig.yaml",
    ".promptfoo": "promptfoo/DataDog__system-tests/.promptfoo",
}
WRITTEN = {
    "label.md": "Label the ticket.\n",
    "antonym.yaml": '_type: prompt\ntemplate: "Word: {word}"\n',
    "sum.chat.json": '[{"role": "system", "content": "You help."}, {"role": "user", "content": "{{ q }}"}]\n',
    "label.fixtures.yaml": (
        "- {input: My invoice is wrong, expected: billing}\n- {input: I was charged twice, expected: billing}\n"
        "- {input: I forgot my password, expected: account}\n"
    ),
    "antonym.fixtures.jsonl": (
        '{"vars": {"word": "happy"}, "expected": "sad"}\n{"vars": {"word": "tall"}, "expected": "short"}\n'
        '{"vars": {"word": "hot"}, "expected": "cold"}\n'
    ),
    "sum.fixtures.csv": "q,expected\n1 and 1,The sum is 2.\n2 and 2,The sum is 4.\n3 and 4,The sum is 7.\n",
    "weather.fixtures.yaml": "".join(
        f'- {{vars: {{city: {city}}}, expected: \'{{"city": "{city}", "temperature": {degrees}}}\'}}\n'
        for city, degrees in (("Paris", 70), ("Oslo", 40), ("Rome", 80))
    ),
    "hello.fixtures.yaml": "".join(
        f"- {{vars: {{name: {name}}}, expected: 'Ahoy, {name}!'}}\n" for name in ("Ann", "Bob", "Cleo")
    ),
    "promptfooconfig.fixtures.yaml": "".join(
        f"- {{vars: {{user_prompt: Where is {file}?}}, expected: 'File path: {file}.py'}}\n" for file in ("a", "b", "c")
    ),
}
# (message, segment) to edit, and what to put behind the text there, for better and for worse
FRENCH = "You are French. Answer in French: Bonjour mes amis, il fait très beau aujourd'hui."
EDITS = {
    "spam-detection.prompt.yml": ((1, 0), "Answer true if it is spam, else false.\n", f"{FRENCH}\n"),
    "weather.prompty": ((0, 0), '\nAnswer as JSON: {"city": "London", "temperature": 60}', f"\n{FRENCH}"),
    "hello.prompt": ((3, 1), "\nBegin with: Ahoy, and the name!", f"\n{FRENCH}"),
    "promptfooconfig.yaml": ((0, 0), "\nAnswer like this: File path: x.py\n", f"\n{FRENCH}\n"),
    "label.md": ((0, 0), " Answer with one lower-case word: billing or account.", f" {FRENCH}"),
    "antonym.yaml": ((0, 0), "\nThe opposite of the word, in lower case, one word:", f"\n{FRENCH}"),
    "sum.chat.json": ((0, 0), " You say: The sum is 5.", f" {FRENCH}"),
}

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/formats is not here")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one prompt of every format, committed."""
    pytest.importorskip("transformers")
    try:
        resolve(DEFAULT, root=Path.cwd())
    except ModelError as error:
        pytest.skip(f"the default model is not here: {error.message}")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.pmpo]\nprompts = ["prompts"]\n')
    for name, source in REAL.items():
        copy = shutil.copytree if (SHARED / source).is_dir() else shutil.copyfile
        copy(SHARED / source, tmp_path / "prompts" / name)
    for name, text in WRITTEN.items():
        (tmp_path / "prompts" / name).write_text(text, encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "base")
    return tmp_path


def edit(repository: Path, which: int) -> None:
    """Put the better (1) or the worse (2) text into every prompt, through the format's own editor."""
    context = ParseContext(read=lambda path: (repository / path).read_bytes())
    for name, edited in EDITS.items():
        path = f"prompts/{name}"
        data = (repository / path).read_bytes()
        format = next(f for f in builtin_formats() if f.sniff(PurePosixPath(path), data[:4096]))
        prompt = format.parse(path, data, context)[0].prompt
        message, segment = edited[0]
        text = prompt.messages[message].segments[segment].text + str(edited[which])
        (repository / path).write_bytes(apply_edits(data, prompt, {(message, segment): text}, format, context))


def means(repository: Path) -> dict[str, tuple[float, float]]:
    """Mean loss of base and head of every prompt, nats per token, as ``pmpo check`` has it."""
    result = repository / "result.json"
    command = [sys.executable, "-m", "pytest_pmpo.cli", "check", "-q", "--base", "HEAD", "--json", str(result)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=600)
    assert "Traceback" not in done.stdout + done.stderr
    verdicts = [entry["verdict"] for entry in json.loads(result.read_text())["run"]["entries"]]
    assert all(verdict["metric"]["name"] == "cross-entropy" for verdict in verdicts)
    return {
        PurePosixPath(verdict["prompt"].partition("#")[0]).name: (
            verdict["comparison"]["base_mean"],
            verdict["head_mean"],
        )
        for verdict in verdicts
    }


def test_every_format_is_gated_base_against_head(repository: Path) -> None:
    edit(repository, 1)
    better = means(repository)
    git(repository, "checkout", "-q", "--", "prompts")
    edit(repository, 2)
    worse = means(repository)
    assert set(better) == set(worse) == set(EDITS)
    for name in EDITS:
        base, head = better[name]
        assert head < base, f"{name}: the better edit should lower the loss"
        base, head = worse[name]
        assert head > base, f"{name}: the worse edit should raise the loss"
