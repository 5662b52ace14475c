"""Fingerprints: what changes them, what does not, and how a difference reads."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from pytest_pmpo.errors import ModelError
from pytest_pmpo.scoring.cache_home import cache_home
from pytest_pmpo.scoring.fingerprint import (
    FileHashes,
    Fingerprint,
    directory_fingerprint,
    hash_file,
    model_files,
    scoring_fingerprint,
)


def model_directory(place: Path) -> Path:
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"weights")
    (place / "tokenizer.json").write_text("{}")
    (place / "chat_template.jinja").write_text("{{ messages }}")
    (place / "README.md").write_text("read me")
    (place / "modeling_own.py").write_text("x = 1")
    return place


def age(path: Path, seconds: int = 60) -> None:
    """Make a file look as if it had been written a while ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_model_is_its_weights_configuration_tokenizer_and_template(tmp_path: Path) -> None:
    names = [path.name for path in model_files(model_directory(tmp_path / "m"))]
    assert names == ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_changing_a_file_that_decides_losses_changes_the_fingerprint(tmp_path: Path, name: str) -> None:
    directory = model_directory(tmp_path / "m")
    before = directory_fingerprint(directory, FileHashes(tmp_path / "h"))
    (directory / name).write_text("changed")
    assert directory_fingerprint(directory, FileHashes(tmp_path / "h")) != before


def test_a_readme_does_not_change_the_fingerprint_and_neither_does_the_place(tmp_path: Path) -> None:
    hashes = FileHashes(tmp_path / "h")
    first, second = model_directory(tmp_path / "a"), model_directory(tmp_path / "b")
    (second / "README.md").write_text("something else")
    assert directory_fingerprint(first, hashes) == directory_fingerprint(second, hashes)


def test_a_models_own_code_counts_only_where_it_runs(tmp_path: Path) -> None:
    directory, hashes = model_directory(tmp_path / "m"), FileHashes(tmp_path / "h")
    data, with_code = directory_fingerprint(directory, hashes), directory_fingerprint(directory, hashes, with_code=True)
    (directory / "modeling_own.py").write_text("x = 2")
    assert directory_fingerprint(directory, hashes) == data
    assert directory_fingerprint(directory, hashes, with_code=True) != with_code


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    age(path)
    status = path.stat()
    hashes = FileHashes(tmp_path / "h")
    digest = hashes.sha256(path)
    # other bytes under the same size, time and inode: only a file that is not read again keeps its hash
    path.write_bytes(b"xyz")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FileHashes(tmp_path / "h").sha256(path) == digest == hashlib.sha256(b"abc").hexdigest()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    age(path)
    hashes = FileHashes(tmp_path / "h")
    hashes.sha256(path)
    path.write_bytes(b"xyz")
    assert hashes.sha256(path) == hashlib.sha256(b"xyz").hexdigest()


def test_a_file_written_this_moment_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    FileHashes(tmp_path / "h").sha256(path)
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize("content", [b"", b"not json", b"[1]", b'{"a": 1}', b"null"])
def test_a_broken_memory_of_hashes_is_only_slower(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    age(path)
    hashes = FileHashes(tmp_path / "h")
    hashes.sha256(path)
    [memory] = (tmp_path / "h").iterdir()
    memory.write_bytes(content)
    assert hashes.sha256(path) == hashlib.sha256(b"abc").hexdigest()


def test_a_file_that_cannot_be_read_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*missing"):
        FileHashes(tmp_path / "h").sha256(tmp_path / "missing")


def test_hashing_a_large_file_in_pieces_gives_the_hash_of_the_whole(tmp_path: Path) -> None:
    data = os.urandom(3 * (1 << 20) + 17)
    (tmp_path / "f").write_bytes(data)
    assert hash_file(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_every_part_changes_the_scoring_fingerprint() -> None:
    base = scoring_fingerprint("m" * 64, device="cpu", dtype="float32")
    others = [
        scoring_fingerprint("n" * 64, device="cpu", dtype="float32"),
        scoring_fingerprint("m" * 64, device="cuda", dtype="float32"),
        scoring_fingerprint("m" * 64, device="cpu", dtype="bfloat16"),
        scoring_fingerprint("m" * 64, device="cpu", dtype="float32", libraries=()),
        scoring_fingerprint("m" * 64, device="cpu", dtype="float32", extra={"path": "tree"}),
    ]
    digests = {fingerprint.digest for fingerprint in [base, *others]}
    assert len(digests) == 6


def test_a_difference_reads_as_one_line_per_part() -> None:
    old = Fingerprint((("model", "a" * 64), ("dtype", "float32"), ("torch", "2.12.0")))
    new = Fingerprint((("model", "b" * 64), ("dtype", "float32"), ("torch", "2.13.0"), ("path", "tree")))
    assert old.diff(new) == ("model: aaaaaaaaaaaa → bbbbbbbbbbbb", "torch: 2.12.0 → 2.13.0", "path: absent → tree")
    assert old.diff(old) == ()


def test_a_fingerprint_survives_being_written_down() -> None:
    fingerprint = scoring_fingerprint("m" * 64, device="cpu", dtype="float32")
    assert Fingerprint.from_mapping(fingerprint.as_mapping()).digest == fingerprint.digest


def test_library_versions_are_read_without_importing_the_libraries() -> None:
    code = (
        "import sys; from pytest_pmpo.scoring.fingerprint import scoring_fingerprint as f;"
        "assert dict(f('m', device='cpu', dtype='float32', libraries=('pytest',)).parts)['pytest'] != 'absent';"
        "f('m', device='cpu', dtype='float32');"
        "assert not {'torch', 'transformers', 'tokenizers', 'pytest'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"PMPO_CACHE_DIR": "/c", "XDG_CACHE_HOME": "/x"}, "linux", Path("/c")),
        ({"XDG_CACHE_HOME": "/x"}, "linux", Path("/x/pytest-pmpo")),
        ({"XDG_CACHE_HOME": "relative"}, "linux", Path.home() / ".cache/pytest-pmpo"),
        ({}, "linux", Path.home() / ".cache/pytest-pmpo"),
        ({}, "darwin", Path.home() / "Library/Caches/pytest-pmpo"),
        ({"LOCALAPPDATA": "/l"}, "win32", Path("/l/pytest-pmpo/Cache")),
    ],
)
def test_the_cache_directory_follows_the_platform(environ: dict[str, str], platform: str, expected: Path) -> None:
    assert cache_home(environ, platform=platform) == expected


@pytest.mark.parametrize("library", ["pytest", "jinja2", "pydantic", "scipy"])
def test_library_versions_are_those_their_metadata_gives(library: str) -> None:
    parts = scoring_fingerprint("m", device="cpu", dtype="float32", libraries=(library, "no-such-library"))
    assert parts.as_mapping()[library] == metadata.version(library)
    assert parts.as_mapping()["no-such-library"] == "absent"
