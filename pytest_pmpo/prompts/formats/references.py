"""Files that promptfoo and LangChain files name, and the code among them that is never run."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import yaml

from pytest_pmpo.errors import FormatError, PmpoError
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.filetext import FileText, decode
from pytest_pmpo.prompts.formats.paths import resolve
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument

CODE = (
    ".py",
    ".js",
    ".cjs",
    ".mjs",
    ".ts",
    ".cts",
    ".mts",
    ".sh",
    ".bash",
    ".bat",
    ".cmd",
    ".ps1",
    ".exe",
    ".rb",
    ".go",
)
_REMOTE = re.compile(r"(https?|huggingface|s3|gs|azblob|langfuse|portkey|helicone|sharepoint)://|az://", re.IGNORECASE)


def code_in(reference: str) -> str | None:
    """The name of the program a reference would run, or None: ``exec:x``, ``file://x.py``, ``x.js:function``."""
    if reference.startswith(("exec:", "python:", "javascript:", "package:")):
        return reference
    bare = reference.removeprefix("file://")
    head, _, tail = bare.rpartition(":")
    for name in (bare, head) if re.fullmatch(r"\w+", tail) else (bare,):
        if PurePosixPath(name).suffix.lower() in CODE and "\n" not in name:
            return name
    return None


def is_remote(reference: str) -> bool:
    """Whether a reference leads to the network, which nothing here ever asks."""
    return _REMOTE.match(reference) is not None


def paths_of(document: YamlDocument, node: yaml.Node | None, reference: str, context: ParseContext) -> list[str]:
    """The files a reference means, a glob's matches in order; relative to the repository root.

    Raises:
        FormatError: it leads out of the repository, or a glob matches nothing.
    """
    name = reference.removeprefix("file://")
    path = resolve(document.file.path, name)
    if path is None:
        raise document.error(f"{reference!r} leads out of the repository", node)
    if not re.search(r"[*?\[]", name):
        return [path]
    found = list(context.glob(path))
    if not found:
        raise document.error(f"{reference!r} matches no file", node)
    return found


def read_at(document: YamlDocument, node: yaml.Node | None, path: str, context: ParseContext) -> FileText:
    """A file that the document names.

    Raises:
        FormatError: it cannot be read, or it is not UTF-8.
    """
    try:
        return decode(path, context.read(path))
    except FormatError:
        raise
    except PmpoError as error:
        raise document.error(f"{path} cannot be read: {error.message}", node) from error
