"""What a GGUF file holds, and its weights and tokenizer as transformers loads them. Imports torch; run apart."""

from __future__ import annotations

import json
import math
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pmpo.errors import ModelError

_HINT_INSTALL = "pip install 'pytest-pmpo[hf]'"

# llama.cpp (llama-vocab.cpp) splits digits one by one before the GPT-2 pattern for these values of
# tokenizer.ggml.pre; transformers reads only tokenizer.ggml.model and would leave "  1" in other pieces
_DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})

# what a damaged or hostile file makes the parsers raise
_PARSE_ERRORS = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    OSError,
    RuntimeError,
    NotImplementedError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What the file says of itself.

    Attributes:
        architecture: ``llama``, ``gemma3``, …
        pre_tokenizer: ``tokenizer.ggml.pre``, or empty.
        chat_template: whether it carries one.
        elements: parameters in all tensors.
        parts: files the model is split into; 1 where it is whole.
    """

    architecture: str
    pre_tokenizer: str
    chat_template: bool
    elements: int
    parts: int


def read_facts(path: Path) -> GgufFacts:
    """Read the header and check that every tensor lies within the file.

    Raises:
        ModelError: not a GGUF file, or truncated, or damaged.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    if magic != b"GGUF":
        raise ModelError(f"{path.name} is not a GGUF file: it does not start with the letters GGUF")
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise ModelError("reading a GGUF file needs the gguf package", hint=_HINT_INSTALL) from error
    size = path.stat().st_size
    try:
        reader = GGUFReader(path)
        end = max((tensor.data_offset + tensor.n_bytes for tensor in reader.tensors), default=0)
        facts = GgufFacts(
            architecture=str(_field(reader, "general.architecture")),
            pre_tokenizer=str(_field(reader, "tokenizer.ggml.pre") or ""),
            chat_template=bool(_field(reader, "tokenizer.chat_template")),
            elements=sum(math.prod(int(n) for n in tensor.shape) for tensor in reader.tensors),
            parts=int(_field(reader, "split.count") or 1),
        )
    except _PARSE_ERRORS as error:
        raise _truncated(path, size, str(error)) from error
    if facts.parts > 1:
        raise ModelError(
            f"{path.name} is one of {facts.parts} parts of a model",
            hint="put them together first: llama-gguf-split --merge FIRST_PART OUT.gguf",
        )
    if end > size or not facts.elements:
        raise _truncated(path, size, f"its tensors end at byte {end}")
    return facts


def convert(path: Path, out: Path) -> None:
    """Write the file's model, dequantised to fp32, and its tokenizer with chat template, into ``out``.

    The file's own tensors are kept as they are: an output head beside an embedding stays a second matrix, even where
    the original model had tied them and quantisation drove them apart.

    Raises:
        ModelError: truncated, unsupported, or larger than the disk.
    """
    facts = read_facts(path)
    out.mkdir(parents=True)
    _check_space(facts, out)
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as error:
        raise ModelError(f"converting a GGUF file needs {error.name}", hint=_HINT_INSTALL) from error
    place: dict[str, Any] = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            **place,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
        _require_all_weights(path, sorted(report["missing_keys"]))
        tokenizer = AutoTokenizer.from_pretrained(**place)
        _forget_quantisation(model)
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
    except ImportError as error:
        raise ModelError(f"converting {path.name}: {error}", hint=_HINT_INSTALL) from error
    except _PARSE_ERRORS as error:
        raise ModelError(f"{path.name} cannot be converted: {error}") from error
    _settle_tokenizer(out, facts)
    if facts.chat_template and not tokenizer.chat_template:
        raise ModelError(f"{path.name} carries a chat template, but it did not survive the conversion")


def _field(reader: Any, name: str) -> Any:
    field = reader.get_field(name)
    return None if field is None else field.contents()


def _truncated(path: Path, size: int, why: str) -> ModelError:
    return ModelError(
        f"{path.name} is truncated or damaged ({size} bytes; {why})", hint="download or copy the file again"
    )


def _check_space(facts: GgufFacts, out: Path) -> None:
    needed, free = 4 * facts.elements, shutil.disk_usage(out).free
    if needed > free:
        raise ModelError(
            f"the model takes {needed / 1e9:.1f} GB as fp32, but {free / 1e9:.1f} GB are free in {out.parent.parent}",
            hint="free some space, or set PMPO_CACHE_DIR to a directory on a larger disk",
        )


def _require_all_weights(path: Path, missing: list[str]) -> None:
    """transformers fills what a file lacks with random numbers and only warns."""
    if missing:
        named = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise ModelError(f"{path.name} lacks weights of its architecture: {named}")


def _forget_quantisation(model: Any) -> None:
    """The weights are dense now; saving must not claim otherwise."""
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _settle_tokenizer(out: Path, facts: GgufFacts) -> None:
    """Split digits where the model was trained so, and drop what only tells how this process loaded the file."""
    settings_path, tokenizer_path = out / "tokenizer_config.json", out / "tokenizer.json"
    settings = json.loads(settings_path.read_bytes())
    for name in ("is_local", "local_files_only"):
        settings.pop(name, None)
    settings_path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if facts.pre_tokenizer in _DIGITS_APART:
        tokenizer = json.loads(tokenizer_path.read_bytes())
        digits = {"type": "Digits", "individual_digits": True}
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, tokenizer["pre_tokenizer"]]}
        tokenizer_path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
