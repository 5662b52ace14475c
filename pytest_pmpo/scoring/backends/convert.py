"""GGUF → a plain model directory, once: dequantised to fp32 safetensors, so that later loads map the file in seconds.

The conversion runs in a process of its own: its memory goes back, its chatter stays out of a test run, and a file that
crashes a parser takes nothing with it. A directory appears under its final name only when it is whole; an interrupted
conversion leaves nothing that looks like a model.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_pmpo.errors import ModelError
from pytest_pmpo.scoring.backends.locate import Notify
from pytest_pmpo.scoring.fingerprint import FileHashes, hash_file

CONVERSION = 1
"""Raised whenever the conversion gives other files; old directories are then left alone and new ones made."""

MANIFEST = "manifest.json"
_HINT_INSTALL = "pip install 'pytest-pmpo[hf]'"


def ensure_converted(
    name: str, sha256: str, provide: Callable[[Path], Path], *, cache: Path, hashes: FileHashes, notify: Notify
) -> Path:
    """The directory converted from the GGUF file with this sha256; made if it is missing or damaged.

    Args:
        name: what to call it.
        sha256: of the GGUF file; it keys the directory, so the file itself is only needed for a conversion.
        provide: given a scratch directory, the path of the GGUF file.
        cache: this package's cache directory.

    Raises:
        ModelError: the file is truncated, damaged, of an unknown kind, or does not fit on the disk.
    """
    final = _place(name, sha256, cache)
    if is_whole(final, hashes):
        return final
    with _exclusively(final, notify):
        if is_whole(final, hashes):
            return final
        if final.exists():
            notify(f"the converted model at {final} is damaged; making it again")
        # whoever made these held the lock we hold, and is gone
        for stale in final.parent.glob(f".{final.name}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        try:
            gguf = provide(scratch)
            notify(f"converting {name} to safetensors (once; half a minute for a small model)")
            made = _convert_apart(gguf, scratch)
            _write_manifest(made, sha256)
            if final.exists():
                final.replace(scratch / "damaged")
            made.replace(final)
        except OSError as error:
            raise ModelError(f"cannot convert {name} into {final.parent}: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return final


def converted(name: str, sha256: str, *, cache: Path, hashes: FileHashes) -> Path | None:
    """The directory ``ensure_converted`` would give, if it is there and whole."""
    place = _place(name, sha256, cache)
    return place if is_whole(place, hashes) else None


def _place(name: str, sha256: str, cache: Path) -> Path:
    return cache / "models" / f"{name}-{sha256[:12]}-c{CONVERSION}"


def is_whole(directory: Path, hashes: FileHashes) -> bool:
    """Whether the directory holds exactly the bytes its conversion wrote."""
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        files: dict[str, str] = manifest["files"]
        return all(hashes.sha256(directory / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelError):
        return False


@contextmanager
def _exclusively(final: Path, notify: Notify) -> Iterator[None]:
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise ModelError("a GGUF file needs the model libraries", hint=_HINT_INSTALL) from error
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"cannot write the model cache {final.parent}: {error.strerror}",
            hint="set PMPO_CACHE_DIR to a directory that can be written",
        ) from error
    lock = FileLock(final.parent / f"{final.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        notify(f"another process is making {final.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write_manifest(directory: Path, sha256: str) -> None:
    files = {path.name: hash_file(path) for path in sorted(directory.iterdir())}
    manifest = {"conversion": CONVERSION, "source_sha256": sha256, "files": files}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _convert_apart(gguf: Path, scratch: Path) -> Path:
    """Run ``main`` in a process of its own. ``-P`` and ``-c`` keep the user's current directory off its path."""
    out, result = scratch / "model", scratch / "result.json"
    package_parent = str(Path(__file__).parents[3])
    code = f"import sys; sys.path.append({package_parent!r}); from {__name__} import main; main(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(gguf), str(out), str(result)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=scratch,
        check=False,
    )
    answer: dict[str, Any] = json.loads(result.read_bytes()) if result.is_file() else {}
    if "error" in answer:
        raise ModelError(answer["error"], hint=answer.get("hint"))
    if done.returncode or not answer:
        raise ModelError(f"converting {gguf.name} failed: {_cause(done)}")
    return out


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def main(gguf: str, out: str, result: str) -> None:
    """Convert ``gguf`` into ``out`` and leave what came of it in ``result`` (JSON)."""
    from pytest_pmpo.scoring.backends.gguf_reader import convert

    try:
        convert(Path(gguf), Path(out))
        answer: dict[str, Any] = {"converted": True}
    except ModelError as error:
        answer = {"error": error.message, "hint": error.hint}
    Path(result).write_text(json.dumps(answer), encoding="utf-8")
