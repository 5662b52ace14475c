"""A real, tiny model under the plugin, in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo

PROBE = """
import sys
def pytest_unconfigure(config):
    print("IMPORTED", sorted({"torch", "transformers", "scipy", "numpy"} & sys.modules.keys()))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights and a tokenizer of bytes."""
    torch = pytest.importorskip("torch", reason="the model libraries are not installed")
    transformers = pytest.importorskip("transformers", reason="the model libraries are not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("models") / "tiny"
    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE({**letters, "<end>": len(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(letters) + 1,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=len(letters),
        bos_token_id=None,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def judged(repo: Repo, *arguments: str) -> pytest.RunResult:
    """``pytest --pmpo`` in a process of its own."""
    return repo.pytester.runpytest_subprocess("--pmpo", *arguments)


def imported(result: pytest.RunResult) -> list[str]:
    """The frameworks its process had loaded when it ended."""
    [line] = [line for line in result.outlines if line.startswith("IMPORTED")]
    found: list[str] = json.loads(line.removeprefix("IMPORTED ").replace("'", '"'))
    return found


@pytest.fixture
def real(repo: Repo, tiny: Path) -> Repo:
    """The repository, judged under the tiny model."""
    repo.write("pyproject.toml", f'[tool.pmpo]\nmodel = "{tiny.as_posix()}"\n')
    repo.write("conftest.py", PROBE)
    repo.commit()
    return repo


def test_the_model_is_opened_at_the_first_loss_that_is_missing_and_not_before(real: Repo):
    """A cold run loads torch, a run with a warm cache neither torch nor transformers nor numpy; the verdicts agree."""
    cold = judged(real, "-v", "--pmpo-json=cold.json")
    cold.assert_outcomes(passed=3)
    assert {"torch", "transformers"} <= set(imported(cold))
    warm = judged(real, "-v", "--pmpo-json=warm.json")
    warm.assert_outcomes(passed=3)
    assert imported(warm) == []
    assert real.json("warm.json")["entries"] == real.json("cold.json")["entries"]
    assert real.json("warm.json")["info"]["tokens"] == 0


def test_a_changed_prompt_is_compared_under_the_model(real: Repo):
    """Head and base in one run; the verdict has an interval."""
    real.improve()
    judged(real, "--pmpo-json=out.json")
    verdict = next(entry["verdict"] for entry in real.json()["entries"] if "spam" in entry["path"])
    assert verdict["comparison"]["n"] == 6
    assert verdict["model"] == "tiny"


def test_weights_that_give_nan_are_an_error(real: Repo, tiny: Path, tmp_path: Path):
    """Never a pass; the test beside them runs."""
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights: dict[str, Any] = load_file(broken / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    result = judged(real, f"--pmpo-model={broken}")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*the model gave nan*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_workers_share_the_cores(real: Repo):
    """Each worker's torch is given its share, so that together they do not ask for more than there are."""
    pytest.importorskip("xdist")
    real.write(
        "conftest.py",
        "import os, sys\n"
        "def pytest_unconfigure(config):\n"
        "    if 'torch' in sys.modules and hasattr(config, 'workerinput'):\n"
        "        threads = sys.modules['torch'].get_num_threads()\n"
        "        with open(f'threads-{config.workerinput[\"workerid\"]}', 'w') as file:\n"
        "            file.write(str(threads))\n",
    )
    judged(real, "-n", "2", "--pmpo-no-cache").assert_outcomes(passed=3)
    import os

    shares = [int(file.read_text()) for file in real.path.glob("threads-*")]
    assert shares
    assert set(shares) == {max(1, (os.cpu_count() or 1) // 2)}
