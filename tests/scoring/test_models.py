"""From a model's name to a model: every form of name, and every way a model can be missing or unfit."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_pmpo.errors import ConfigError, ModelError, ModelNotFoundError
from pytest_pmpo.scoring.devices import choose_device, device_class
from pytest_pmpo.scoring.models import Model, parse_spec, resolve
from pytest_pmpo.scoring.records import EncodedSequence

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def safetensors(header: dict[str, Any] | None = None, data: bytes = b"\0" * 8) -> bytes:
    """The bytes of a safetensors file with one tensor of two floats."""
    header = header or {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def model_directory(place: Path, **config: Any) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (place / "model.safetensors").write_bytes(safetensors())
    (place / "tokenizer.json").write_text("{}")
    return place


def found(spec: str, root: Path, **options: Any) -> Model:
    return resolve(spec, root=root, cache_dir=root / "cache", **options)


@pytest.mark.parametrize(
    ("spec", "kind", "name", "revision"),
    [
        ("smollm2-135m", "embedded", "smollm2-135m", None),
        ("fake", "fake", "fake", None),
        ("Qwen/Qwen2.5-0.5B", "hub", "Qwen2.5-0.5B", None),
        ("Qwen/Qwen2.5-0.5B@main", "hub", "Qwen2.5-0.5B", "main"),
        ("./models/tiny", "directory", "tiny", None),
        ("../tiny/", "directory", "tiny", None),
        ("/opt/models/tiny", "directory", "tiny", None),
        ("~/models/tiny", "directory", "tiny", None),
        ("models/tiny.Q4_0.gguf", "gguf", "tiny.Q4_0", None),
        ("/opt/Tiny.GGUF", "gguf", "Tiny", None),
        ("/opt/tiny/model.gguf", "gguf", "tiny", None),
        ("./model.gguf", "gguf", "model", None),
    ],
)
def test_a_name_says_what_kind_of_model_it_is(spec: str, kind: str, name: str, revision: str | None) -> None:
    parsed = parse_spec(spec)
    assert (parsed.kind, parsed.name, parsed.revision) == (kind, name, revision)


@pytest.mark.parametrize(
    ("spec", "hint"),
    [("smollm2-135", "smollm2-135m"), ("SmolLM2-135M", "smollm2-135m"), ("fakes", "fake"), ("", "org/")],
)
def test_an_unknown_name_is_answered_with_the_nearest_known_one(spec: str, hint: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        parse_spec(spec)
    assert hint in (caught.value.hint or "")


def test_the_fake_scores_without_any_framework(tmp_path: Path) -> None:
    backend = found("fake", tmp_path).open("cpu", "float32")
    [losses] = backend.score([EncodedSequence((104, 105, 104, 105), 2)])
    assert len(losses) == 2
    assert all(loss > 0 for loss in losses)


def test_resolving_a_directory_imports_no_framework(tmp_path: Path) -> None:
    model_directory(tmp_path / "m")
    code = (
        "import sys; from pathlib import Path; from pytest_pmpo.scoring.models import resolve;"
        f"resolve('./m', root=Path({str(tmp_path)!r}), cache_dir=Path({str(tmp_path / 'c')!r}));"
        "resolve('fake', root=Path('.'));"
        "assert not {'torch', 'transformers', 'huggingface_hub', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_directory_is_pinned_by_its_content(tmp_path: Path) -> None:
    model_directory(tmp_path / "one" / "m")
    model_directory(tmp_path / "two" / "m", rope_theta=2.0)
    first, second = found("./one/m", tmp_path), found("./two/m", tmp_path)
    assert first.name == second.name == "m"
    assert first.fingerprint != second.fingerprint
    assert first.revision == first.fingerprint[:12]


def test_a_path_may_lead_out_of_the_repository(tmp_path: Path) -> None:
    model_directory(tmp_path / "models" / "m")
    (tmp_path / "repository").mkdir()
    assert found("../models/m", tmp_path / "repository").directory == (tmp_path / "models" / "m").resolve()


def test_a_missing_directory_names_its_near_miss(tmp_path: Path) -> None:
    model_directory(tmp_path / "models" / "tiny")
    with pytest.raises(ModelNotFoundError, match="no model directory") as caught:
        found("./models/tinny", tmp_path)
    assert "models/tiny" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.ckpt"])
def test_pickled_weights_are_refused_with_how_to_convert_them(tmp_path: Path, name: str) -> None:
    directory = model_directory(tmp_path / "m")
    (directory / "model.safetensors").rename(directory / name)
    with pytest.raises(ModelError, match="pickle") as caught:
        found("./m", tmp_path)
    assert "save_pretrained" in str(caught.value.hint)


def test_a_directory_with_only_a_gguf_file_says_to_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"no config\.json") as caught:
        found("./m", tmp_path)
    assert "model.gguf" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (safetensors()[:-3], "truncated"),
        (safetensors() + b"more", "truncated or damaged"),
        (b"", "truncated"),
        (b"\xff" * 64, "longer than the file"),
        (struct.pack("<Q", 2) + b"[]", "damaged"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ],
)
def test_damaged_weights_are_named_before_a_framework_sees_them(tmp_path: Path, content: bytes, message: str) -> None:
    directory = model_directory(tmp_path / "m")
    (directory / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        found("./m", tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    directory = model_directory(tmp_path / "m")
    index = {"weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "model.safetensors").rename(directory / "model-00001.safetensors")
    with pytest.raises(ModelError, match=r"lacks 1 of 2 .*model-00002"):
        found("./m", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "cannot be read"),
        ("config.json", "[]", "not a JSON object"),
        ("model.safetensors.index.json", "{}", "cannot be read"),
        ("model.safetensors.index.json", '{"weight_map": []}', "cannot be read"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    directory = model_directory(tmp_path / "m")
    (directory / name).write_text(content)
    with pytest.raises(ModelError, match=message) as caught:
        found("./m", tmp_path)
    assert name in str(caught.value)


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (model_directory(tmp_path / "m") / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        found("./m", tmp_path)


def test_a_model_that_needs_its_own_code_is_refused_unless_that_is_allowed(tmp_path: Path) -> None:
    directory = model_directory(tmp_path / "m", model_type="made-up", auto_map={"AutoModelForCausalLM": "own.Model"})
    with pytest.raises(ModelError, match="auto_map") as caught:
        found("./m", tmp_path)
    assert "base branch" in str(caught.value.hint)
    (directory / "own.py").write_text("x = 1")
    model = found("./m", tmp_path, trust_remote_code=True)
    (directory / "own.py").write_text("x = 2")
    assert model.trust_remote_code
    assert found("./m", tmp_path, trust_remote_code=True).fingerprint != model.fingerprint


def test_an_architecture_transformers_has_built_in_needs_no_code_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model_directory(tmp_path / "m", model_type="phi3", auto_map={"AutoModelForCausalLM": "modeling_phi3.Model"})
    assert not found("./m", tmp_path).trust_remote_code


def test_a_missing_gguf_file_names_its_near_miss(tmp_path: Path) -> None:
    (tmp_path / "tiny-q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelNotFoundError, match="no GGUF file") as caught:
        found("./tiny-q5.gguf", tmp_path)
    assert "tiny-q4.gguf" in str(caught.value.hint)


@pytest.mark.parametrize("spec", ["smollm2-135m", "./m", "m.gguf", "fake"])
def test_a_revision_is_for_hub_models_only(tmp_path: Path, spec: str) -> None:
    with pytest.raises(ModelError, match="takes no revision"):
        found(spec, tmp_path, revision="main")


def test_two_revisions_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="two revisions"):
        found("org/m@one", tmp_path, revision="two")


class TestHub:
    """Hub models come out of the local cache first; offline, the answer is the command to run elsewhere."""

    @pytest.fixture(autouse=True)
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        folder = tmp_path / "hub" / "models--org--m"
        model_directory(folder / "snapshots" / COMMIT)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(COMMIT)
        return folder

    @pytest.mark.parametrize("spec", ["org/m", "org/m@main", f"org/m@{COMMIT}"])
    def test_a_cached_model_needs_no_network(self, tmp_path: Path, spec: str) -> None:
        model = found(spec, tmp_path)
        assert model.revision == COMMIT[:12]
        assert ("not pinned" in model.origin) == (COMMIT not in spec)

    def test_the_revision_setting_pins_too(self, tmp_path: Path) -> None:
        assert "not pinned" not in found("org/m", tmp_path, revision=COMMIT).origin

    @pytest.mark.parametrize("spec", ["org/other", "org/m@v2", f"org/m@{COMMIT[::-1]}"])
    def test_offline_the_hint_is_the_command_to_run(self, tmp_path: Path, spec: str) -> None:
        with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE") as caught:
            found(spec, tmp_path)
        repo, _, revision = spec.partition("@")
        assert f"hf download {repo} --revision {revision or 'main'}" in str(caught.value.hint)

    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
    def test_a_snapshot_that_lacks_a_file_counts_as_missing(self, tmp_path: Path, hub: Path, name: str) -> None:
        (hub / "snapshots" / COMMIT / name).unlink()
        with pytest.raises(ModelNotFoundError):
            found("org/m", tmp_path)

    def test_a_snapshot_that_lacks_a_shard_counts_as_missing(self, tmp_path: Path, hub: Path) -> None:
        index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
        (hub / "snapshots" / COMMIT / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(ModelNotFoundError):
            found("org/m", tmp_path)

    def test_code_of_its_own_belongs_to_a_complete_snapshot_where_it_is_allowed(
        self, tmp_path: Path, hub: Path
    ) -> None:
        snapshot = hub / "snapshots" / COMMIT
        (snapshot / "config.json").write_text(json.dumps({"model_type": "made-up", "auto_map": {"AutoModel": "m.M"}}))
        with pytest.raises(ModelNotFoundError):
            found("org/m", tmp_path, trust_remote_code=True)
        (snapshot / "m.py").write_text("")
        assert found("org/m", tmp_path, trust_remote_code=True).trust_remote_code

    def test_a_directory_of_that_name_is_pointed_to(self, tmp_path: Path) -> None:
        model_directory(tmp_path / "models" / "x")
        with pytest.raises(ModelNotFoundError) as caught:
            found("models/x", tmp_path)
        assert "./models/x" in str(caught.value.hint)

    @pytest.mark.parametrize("revision", ["../../../etc", "a/../../b", "-x", "a b"])
    def test_a_revision_cannot_leave_the_cache(self, tmp_path: Path, revision: str) -> None:
        with pytest.raises(ModelError, match="not a revision"):
            found("org/m", tmp_path, revision=revision)

    def test_an_unreachable_hub_is_a_clear_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("huggingface_hub")
        code = (
            "from pathlib import Path; from pytest_pmpo.scoring.models import resolve;"
            "from pytest_pmpo.errors import ModelNotFoundError as E\n"
            "try: resolve('org/absent', root=Path('.'))\n"
            "except E as error: print(error)"
        )
        # a port nobody listens on, in a process of its own: huggingface_hub reads its endpoint at import
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert "cannot be downloaded: the Hugging Face hub cannot be reached (ConnectError)" in done.stdout
        assert "hint: run `hf download org/absent --revision main` where the hub can be reached" in done.stdout

    def test_what_is_not_here_is_not_fetched_where_that_is_forbidden(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HF_HUB_OFFLINE")
        told: list[str] = []
        with pytest.raises(ModelNotFoundError, match="not on this machine yet"):
            resolve("org/absent", root=tmp_path, cache_dir=tmp_path, fetch=False, notify=told.append)
        with pytest.raises(ModelNotFoundError, match="not on this machine yet"):
            resolve("smollm2-135m", root=tmp_path, cache_dir=tmp_path, fetch=False, notify=told.append)
        assert told == []


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0", "", "mps:1"])
def test_an_unknown_device_is_a_configuration_error(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown device"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "mps"])
def test_a_device_that_is_asked_for_is_taken(name: str) -> None:
    assert choose_device(name) == name


def test_hidden_gpus_are_not_chosen() -> None:
    assert choose_device("auto", {"CUDA_VISIBLE_DEVICES": ""}) in ("cpu", "mps")


def test_the_number_of_a_gpu_is_not_part_of_its_class() -> None:
    assert device_class("cuda:1") == device_class("cuda:0")
    assert device_class("cpu") == "cpu"
