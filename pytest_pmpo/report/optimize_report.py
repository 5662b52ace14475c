"""The report of an optimization, as Markdown and as HTML, from templates a user may replace.

A template of the same name (``optimize.md.j2``, ``optimize.html.j2``) in the user's folder is taken instead of ours.
It runs in Jinja's sandbox and is given ``page`` (see ``optimize_page.Page``). HTML is escaped by the environment; in
Markdown hostile text stands in code spans and fences alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pmpo.errors import OptimizeError
from pytest_pmpo.optimize.records import OptimizeResult
from pytest_pmpo.report.markdown import code, code_in_text, fenced
from pytest_pmpo.report.optimize_page import Page, page
from pytest_pmpo.report.redline import Piece

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

MARKDOWN, HTML = "optimize.md.j2", "optimize.html.j2"


def markdown(result: OptimizeResult, templates: Path | None = None) -> str:
    """The report as Markdown; also the body of a pull request.

    Raises:
        OptimizeError: if a template of the user's own does not render.
    """
    return _render(MARKDOWN, page(result), templates)


def html(result: OptimizeResult, templates: Path | None = None) -> str:
    """The report as one HTML page without scripts or requests.

    Raises:
        OptimizeError: if a template of the user's own does not render.
    """
    return _render(HTML, page(result), templates)


def write(result: OptimizeResult, folder: Path, name: str, templates: Path | None = None) -> tuple[Path, Path]:
    """Both reports as ``folder/NAME.md`` and ``folder/NAME.html``.

    Raises:
        OptimizeError: if they cannot be written.
    """
    texts = {"md": markdown(result, templates), "html": html(result, templates)}
    paths = []
    for suffix, text in texts.items():
        path = folder / f"{name}.{suffix}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8", "replace"))
        except OSError as error:
            raise OptimizeError(f"the report {path} cannot be written: {error.strerror}") from error
        paths.append(path)
    return paths[0], paths[1]


def _render(name: str, view: Page, templates: Path | None) -> str:
    from jinja2 import TemplateError

    try:
        return _environment(templates).get_template(name).render(page=view).rstrip() + "\n"
    except (TemplateError, UnicodeDecodeError) as error:
        raise OptimizeError(f"the report template {name} does not render: {error}") from error


@cache
def _environment(templates: Path | None) -> ImmutableSandboxedEnvironment:
    from jinja2 import ChoiceLoader, FileSystemLoader, PackageLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    ours = PackageLoader("pytest_pmpo.report")
    environment = ImmutableSandboxedEnvironment(
        loader=ours if templates is None else ChoiceLoader([FileSystemLoader(templates), ours]),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code  # in tables
    environment.filters["code_in_text"] = code_in_text
    environment.filters["fenced"] = fenced
    environment.filters["words"] = _redline_words
    return environment


def _redline_words(pieces: tuple[Piece, ...]) -> str:
    """A redline in plain characters: ``[-gone-]{+come+}``, as ``git diff --word-diff`` writes it."""
    marks = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
    return "".join(marks[piece.kind][0] + piece.text + marks[piece.kind][1] for piece in pieces)
