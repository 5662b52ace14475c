"""GGUF files become directories once: whole or not at all, by one process, with tokenizer and template intact."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_pmpo.errors import ModelError, ModelNotFoundError
from pytest_pmpo.scoring.backends.convert import ensure_converted, is_whole
from pytest_pmpo.scoring.fingerprint import FileHashes
from pytest_pmpo.scoring.models import resolve

gguf = pytest.importorskip("gguf")
np = pytest.importorskip("numpy")
pytest.importorskip("transformers")

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
WIDTH, HEADS, INNER = 32, 2, 64


def byte_letters() -> list[str]:
    """The 256 letters byte-level BPE writes bytes with (as in GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(others))]


def write_gguf(
    path: Path,
    *,
    tied: bool = True,
    pre: str = "smollm",
    template: str | None = TEMPLATE,
    without: str = "",
    parts: int = 1,
) -> Path:
    """A random two-head, one-layer Llama with a byte-level tokenizer whose only merge is two spaces."""
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_letters(), "ĠĠ"]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * 257])
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if template is not None:
        writer.add_chat_template(template)
    shapes = {
        "token_embd.weight": (len(tokens), WIDTH),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.ffn_norm.weight": (WIDTH,),
        **{f"blk.0.attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": (INNER, WIDTH),
        "blk.0.ffn_up.weight": (INNER, WIDTH),
        "blk.0.ffn_down.weight": (WIDTH, INNER),
    }
    if not tied:
        shapes["output.weight"] = (len(tokens), WIDTH)
    shapes.pop(without, None)
    if parts > 1:
        writer.add_uint16("split.count", parts)
    for name, shape in shapes.items():
        writer.add_tensor(name, rng.normal(0, 0.1, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def converted(spec: str, root: Path, **options: Any) -> Path:
    directory = resolve(spec, root=root, cache_dir=root / "cache", **options).directory
    assert directory is not None
    return directory


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tiny.gguf``, converted into its ``cache``."""
    root = tmp_path_factory.mktemp("tiny")
    write_gguf(root / "tiny.gguf")
    converted("./tiny.gguf", root)
    return root


def test_a_converted_file_scores_like_the_file_itself(tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    direct = AutoModelForCausalLM.from_pretrained(
        tiny, gguf_file="tiny.gguf", dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    again = AutoModelForCausalLM.from_pretrained(converted("./tiny.gguf", tiny), dtype=torch.float32)
    ids = torch.arange(3, 40)[None]
    assert torch.equal(direct(ids).logits, again(ids).logits)


def test_the_chat_template_and_the_special_tokens_survive(tiny: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted("./tiny.gguf", tiny))
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert (ids[0], ids[-2]) == (1, 2)
    assert tokenizer.eos_token == "<|im_end|>"


@pytest.mark.parametrize(("pre", "pieces"), [("smollm", ["ĠĠ", "1"]), ("gpt-2", ["Ġ", "Ġ", "1"])])
def test_digits_are_split_off_where_the_model_was_trained_so(tmp_path: Path, pre: str, pieces: list[str]) -> None:
    from transformers import AutoTokenizer

    write_gguf(tmp_path / "m.gguf", pre=pre)
    tokenizer = AutoTokenizer.from_pretrained(converted("./m.gguf", tmp_path))
    assert tokenizer.tokenize("  1") == pieces


def test_an_output_head_of_its_own_stays_apart_from_the_embedding(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    write_gguf(tmp_path / "m.gguf", tied=False, template=None)
    model = AutoModelForCausalLM.from_pretrained(converted("./m.gguf", tmp_path))
    assert not model.config.tie_word_embeddings
    assert not torch.equal(model.get_input_embeddings().weight, model.get_output_embeddings().weight)


def test_a_second_call_converts_nothing(tiny: Path) -> None:
    directory = converted("./tiny.gguf", tiny)
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    lines: list[str] = []
    assert converted("./tiny.gguf", tiny, notify=lines.append) == directory
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before
    assert lines == []


def test_nothing_is_left_beside_the_converted_model(tiny: Path) -> None:
    names = {path.name for path in (tiny / "cache" / "models").iterdir()}
    directory = converted("./tiny.gguf", tiny)
    assert names == {directory.name, f"{directory.name}.lock"}


def test_two_conversions_of_one_file_give_the_same_fingerprint(tiny: Path, tmp_path: Path) -> None:
    first = resolve("./tiny.gguf", root=tiny, cache_dir=tiny / "cache")
    second = resolve("./tiny.gguf", root=tiny, cache_dir=tmp_path / "elsewhere")
    assert first.directory != second.directory
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("damage", ["truncate", "delete", "manifest"])
def test_a_damaged_conversion_is_made_again(tmp_path: Path, damage: str) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    directory = converted("./tiny.gguf", tmp_path)
    weights, manifest = directory / "model.safetensors", directory / "manifest.json"
    sound = weights.read_bytes()
    if damage == "truncate":
        weights.write_bytes(sound[:-1])
    elif damage == "delete":
        weights.unlink()
    else:
        manifest.write_text("{")
    lines: list[str] = []
    assert converted("./tiny.gguf", tmp_path, notify=lines.append) == directory
    assert weights.read_bytes() == sound
    assert any("damaged" in line for line in lines)


def test_two_processes_convert_once(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    code = (
        "import sys; from pathlib import Path; from pytest_pmpo.scoring.models import resolve\n"
        "root = Path(sys.argv[1])\n"
        "model = resolve('./tiny.gguf', root=root, cache_dir=root / 'cache', notify=print)\n"
        "print('fingerprint', model.fingerprint)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sum("converting" in output for output in outputs) == 1
    assert len({output.split()[-1] for output in outputs}) == 1


def test_a_killed_conversion_leaves_nothing_and_the_next_one_succeeds(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    code = (
        "import sys; from pathlib import Path; from pytest_pmpo.scoring.models import resolve\n"
        "root = Path(sys.argv[1]); resolve('./tiny.gguf', root=root, cache_dir=root / 'cache')"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], start_new_session=True)
    models = tmp_path / "cache" / "models"
    while not list(models.glob(".*-*")):
        assert worker.poll() is None
        time.sleep(0.02)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    assert not [path for path in models.iterdir() if path.is_dir() and not path.name.startswith(".")]
    directory = converted("./tiny.gguf", tmp_path)
    assert {path.name for path in models.iterdir()} == {directory.name, f"{directory.name}.lock"}


@pytest.mark.parametrize("keep", [4, 20, 200, 5000, -1])
def test_a_truncated_file_is_a_clear_error(tmp_path: Path, keep: int) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"tiny\.gguf is truncated or damaged") as caught:
        converted("./tiny.gguf", tmp_path)
    assert "again" in str(caught.value.hint)
    assert not [path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()]


def test_a_file_of_another_kind_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04 this is a zip file")
    with pytest.raises(ModelError, match="not a GGUF file"):
        converted("./m.gguf", tmp_path)


def test_a_file_that_lacks_a_weight_is_not_filled_with_random_numbers(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", without="blk.0.ffn_up.weight")
    with pytest.raises(ModelError, match=r"lacks weights .*up_proj"):
        converted("./m.gguf", tmp_path)


def test_one_part_of_a_split_model_says_how_to_merge(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", parts=3)
    with pytest.raises(ModelError, match="one of 3 parts") as caught:
        converted("./m.gguf", tmp_path)
    assert "--merge" in str(caught.value.hint)


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "unheard-of")
    writer.add_tensor("w", np.zeros((2, 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="unheard-of"):
        converted("./m.gguf", tmp_path)


def test_the_current_directory_cannot_slip_code_into_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "torch.py").write_text("raise SystemExit('ran code from the repository')")
    monkeypatch.chdir(tmp_path)
    assert converted("./tiny.gguf", tmp_path).is_dir()


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a directory")
    write_gguf(tmp_path / "tiny.gguf")
    with pytest.raises(ModelError, match="cannot write") as caught:
        converted("./tiny.gguf", tmp_path)
    assert "PMPO_CACHE_DIR" in str(caught.value.hint)


def test_what_a_provider_raises_comes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def provide(scratch: Path) -> Path:
        (scratch / "half").write_text("a download that broke off")
        raise ModelNotFoundError("no network")

    with pytest.raises(ModelNotFoundError, match="no network"):
        ensure_converted(
            "m", "0" * 64, provide, cache=tmp_path, hashes=FileHashes(tmp_path / "h"), notify=lambda line: None
        )
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".lock"]


def test_a_manifest_of_another_shape_is_no_model(tmp_path: Path) -> None:
    for content in ({}, {"files": []}, [], {"files": {"absent": "0"}}):
        (tmp_path / "manifest.json").write_text(json.dumps(content))
        assert not is_whole(tmp_path, FileHashes(tmp_path / "h"))
