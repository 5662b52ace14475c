"""What makes two losses comparable: the model's content, the arithmetic, and the code that did it.

A model's fingerprint is a sha256 over the hashes of the files that decide its losses. Hashing half a gigabyte takes a
second, so the hash of a file is remembered by its path, size, modification time and inode; an unchanged model costs one
``stat`` per file. A scoring fingerprint adds device, dtype and the versions of the libraries, read from their metadata
so that none of them is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pytest_pmpo.errors import ModelError

ENGINE = "2"
"""Raised whenever this package's own code may change a loss by more than rounding."""

LIBRARIES = ("torch", "transformers", "tokenizers")
_CHUNK = 1 << 20
_SETTLED_SECONDS = 2.0

_WEIGHTS = (".safetensors", ".gguf")
_TOKENIZER_STARTS = ("tokenizer", "special_tokens_map", "added_tokens", "vocab", "merges", "chat_template", "spiece")
_TOKENIZER_ENDS = (".json", ".model", ".txt", ".jinja", ".tiktoken", ".jsonl")
_CONFIGURATION = ("config.json", "generation_config.json")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Named parts, in a fixed order; two losses compare if all parts are equal.

    Attributes:
        parts: ``(name, value)`` pairs, such as ``("torch", "2.13.0")``.
    """

    parts: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """sha256 (hex) over all parts."""
        return hashlib.sha256(json.dumps(self.parts).encode()).hexdigest()

    def diff(self, other: Fingerprint) -> tuple[str, ...]:
        """One line for every part that differs: ``torch: 2.12.0 → 2.13.0``, from ``self`` to ``other``."""
        mine, theirs = dict(self.parts), dict(other.parts)
        return tuple(
            f"{name}: {_short(mine.get(name, 'absent'))} → {_short(theirs.get(name, 'absent'))}"
            for name in dict.fromkeys([*mine, *theirs])
            if mine.get(name) != theirs.get(name)
        )

    def as_mapping(self) -> dict[str, str]:
        """The parts as plain data, for a file."""
        return dict(self.parts)

    @classmethod
    def from_mapping(cls, parts: Mapping[str, str]) -> Fingerprint:
        """The inverse of ``as_mapping``."""
        return cls(tuple(parts.items()))


def scoring_fingerprint(
    model: str, *, device: str, dtype: str, libraries: Iterable[str] = LIBRARIES, extra: Mapping[str, str] | None = None
) -> Fingerprint:
    """Everything two losses must share besides prompt and fixture.

    Args:
        model: a model's own fingerprint (``Model.fingerprint``).
        device: its class, ``cpu`` or ``cuda NVIDIA H100``, not its number.
        dtype: of the weights as they are run.
        libraries: distributions whose version can change a loss; a missing one counts as ``absent``.
        extra: further parts, such as the execution path.
    """
    versions = tuple((name, _version(name)) for name in libraries)
    fixed = (("model", model), ("device", device), ("dtype", dtype), ("engine", ENGINE))
    return Fingerprint((*fixed, *versions, *(extra or {}).items()))


def model_files(directory: Path, *, with_code: bool = False) -> tuple[Path, ...]:
    """The files of a model directory that decide its losses, sorted by name: weights, configuration, tokenizer, chat
    template, and the Python files if its own code runs."""

    def decides(name: str) -> bool:
        return (
            name.endswith(_WEIGHTS)
            or name in _CONFIGURATION
            or name.endswith(".safetensors.index.json")
            or (name.startswith(_TOKENIZER_STARTS) and name.endswith(_TOKENIZER_ENDS))
            or (with_code and name.endswith(".py"))
        )

    return tuple(sorted(path for path in directory.iterdir() if decides(path.name) and path.is_file()))


def directory_fingerprint(directory: Path, hashes: FileHashes, *, with_code: bool = False) -> str:
    """sha256 (hex) over the names and contents of ``model_files``; where the directory lies does not count."""
    state = hashlib.sha256()
    for path in model_files(directory, with_code=with_code):
        state.update(f"{path.name}\0{hashes.sha256(path)}\n".encode())
    return state.hexdigest()


class FileHashes:
    """sha256 of files, remembered in ``directory`` for as long as size, modification time and inode stay the same.

    One small file per hashed file, written atomically, so that processes need no lock. A memory that cannot be read or
    written is only slower.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def sha256(self, path: Path) -> str:
        """The hash of the file's bytes, hex.

        Raises:
            ModelError: if the file cannot be read.
        """
        try:
            key = _identity(path)
            remembered = self._recall(path)
            if remembered is not None and remembered[0] == key:
                return remembered[1]
            digest = hash_file(path)
            settled = key == _identity(path) and time.time_ns() - key[1] > _SETTLED_SECONDS * 1e9
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
        # a file changed within the clock's last tick could change again and look the same
        if settled:
            self._remember(path, key, digest)
        return digest

    def _place(self, path: Path) -> Path:
        return self.directory / (hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32] + ".json")

    def _recall(self, path: Path) -> tuple[tuple[int, int, int], str] | None:
        try:
            size, mtime_ns, inode, digest = json.loads(self._place(path).read_bytes())
        except (OSError, ValueError, TypeError):
            return None
        return (size, mtime_ns, inode), str(digest)

    def _remember(self, path: Path, key: tuple[int, int, int], digest: str) -> None:
        place = self._place(path)
        temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps([*key, digest]))
            temporary.replace(place)
        except OSError:
            return


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _version(distribution: str) -> str:
    """As ``metadata.version`` says, which reads a whole README as an e-mail for it."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
    line = re.search(r"^Version:[ \t]*(\S+)", found.read_text("METADATA") or "", re.MULTILINE)
    return line[1] if line else found.version


def _short(value: str) -> str:
    return value[:12] if len(value) == 64 and all(c in "0123456789abcdef" for c in value) else value
