"""Whether a directory holds a model this package may load: safetensors, configuration, tokenizer, no code, no pickle.

Everything is read from file names, JSON and the first bytes of the weights; no framework is imported.
"""

from __future__ import annotations

import difflib
import json
import struct
from importlib import util
from pathlib import Path
from typing import Any

from pytest_pmpo.errors import ModelError, ModelNotFoundError

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_MAX_HEADER = 100_000_000  # the safetensors format's own limit


def check_directory(directory: Path, *, trust_remote_code: bool) -> None:
    """Pass, or say what is wrong with the directory and what to do.

    Raises:
        ModelNotFoundError: there is no such directory.
        ModelError: it lacks a part, is damaged, holds only pickled weights, or needs code of its own.
    """
    if not directory.is_dir():
        raise _absent(directory)
    names = {path.name for path in directory.iterdir()}
    configuration = _configuration(directory, names)
    _check_weights(directory, names)
    if not names.intersection(_TOKENIZERS) and not any(name.endswith(".tiktoken") for name in names):
        raise ModelError(
            f"{directory} holds no tokenizer",
            hint="copy tokenizer.json and tokenizer_config.json of the model beside its weights",
        )
    if not trust_remote_code:
        _refuse_code(directory, configuration)


def _absent(directory: Path) -> ModelNotFoundError:
    try:
        siblings = [path.name for path in directory.parent.iterdir() if path.is_dir()]
    except OSError:
        siblings = []
    near = difflib.get_close_matches(directory.name, siblings, n=1)
    hint = f"did you mean {str(directory.parent / near[0])!r}?" if near else "a path starts at the repository's root"
    return ModelNotFoundError(f"there is no model directory {directory}", hint=hint)


def _configuration(directory: Path, names: set[str]) -> dict[str, Any]:
    if "config.json" not in names:
        ggufs = sorted(name for name in names if name.endswith(".gguf"))
        hint = f"to use the GGUF file, name it: {directory / ggufs[0]}" if ggufs else None
        raise ModelError(f"{directory} is not a model: it has no config.json", hint=hint)
    try:
        configuration = json.loads((directory / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{directory / 'config.json'} cannot be read: {error}") from error
    if not isinstance(configuration, dict):
        raise ModelError(f"{directory / 'config.json'} is not a JSON object")
    return configuration


def _check_weights(directory: Path, names: set[str]) -> None:
    weights = sorted(name for name in names if name.endswith(".safetensors"))
    if "model.safetensors.index.json" in names:
        weights = _shards(directory / "model.safetensors.index.json")
    if not weights:
        raise _no_safetensors(directory, sorted(name for name in names if name.endswith(_PICKLES)))
    missing = [name for name in weights if name not in names]
    if missing:
        raise ModelError(f"{directory} lacks {len(missing)} of {len(weights)} weight files, first {missing[0]}")
    for name in weights:
        _check_safetensors(directory / name)


def _shards(index: Path) -> list[str]:
    try:
        return sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} cannot be read: {error!r}") from error


def _no_safetensors(directory: Path, pickles: list[str]) -> ModelError:
    if not pickles:
        return ModelError(
            f"{directory} holds no weights (*.safetensors)",
            hint="only safetensors and GGUF are loaded, never pickle; look for a version of the model in one of them",
        )
    code = (
        "from transformers import AutoModelForCausalLM as M; "
        f"M.from_pretrained({str(directory)!r}).save_pretrained({str(directory)!r})"
    )
    return ModelError(
        f"{directory} holds only pickled weights ({pickles[0]}); loading a pickle can run code, so it is refused",
        hint=f'if you trust the file, convert it once where nothing is at stake: python -c "{code}"',
    )


def _check_safetensors(path: Path) -> None:
    """The file is as long as its header says: 8 bytes of header length, the header, then the tensors' bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(8)
            if start == b"version ":
                raise ModelError(f"{path} is a Git LFS pointer, not the weights", hint="git lfs pull")
            length = struct.unpack("<Q", start)[0]
            if length > min(size, _MAX_HEADER):
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
        end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        raise _damaged(path, str(error)) from error
    if size != 8 + length + end:
        raise _damaged(path, f"{size} bytes where its header promises {8 + length + end}")


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is truncated or damaged: {why}", hint="download or copy the file again")


def _refuse_code(directory: Path, configuration: dict[str, Any]) -> None:
    if "auto_map" not in configuration or _known_to_transformers(str(configuration.get("model_type", ""))):
        return
    raise ModelError(
        f"{directory} needs Python code of its own (auto_map in config.json), which is not run",
        hint="if you trust that code, set trust_remote_code = true in [tool.pmpo] on the base branch; "
        "a pull request cannot switch it on for itself",
    )


def _known_to_transformers(model_type: str) -> bool:
    """Whether the installed transformers has this architecture built in, found from its files."""
    spec = util.find_spec("transformers")
    places = [] if spec is None else spec.submodule_search_locations or []
    module = model_type.replace("-", "_").replace(".", "_")
    return module.isidentifier() and any((Path(place) / "models" / module).is_dir() for place in places)
