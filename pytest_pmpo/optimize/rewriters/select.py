"""Rewriters by name, as a configuration or a command line gives them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pytest_pmpo.errors import ConfigError
from pytest_pmpo.optimize.rewriters.base import Rewriter
from pytest_pmpo.optimize.rewriters.language import MOVES, LanguageRewriter
from pytest_pmpo.optimize.rewriters.local import LocalWriter
from pytest_pmpo.optimize.rewriters.openai_server import OpenAIWriter
from pytest_pmpo.optimize.rewriters.recorded import RecordedWriter, Recording
from pytest_pmpo.optimize.rewriters.structural import StructuralEdits
from pytest_pmpo.scoring.backends.chat_client import KEY_VARIABLE, KEY_WANTED
from pytest_pmpo.scoring.scorer import Scorer

NAMES = ("structural", "local", "local-large", "openai:MODEL", "openai:MODEL@URL", "recorded:FILE")


def create(
    spec: str,
    scorer: Scorer,
    *,
    root: Path,
    environ: Mapping[str, str],
    record: Path | None = None,
    templates: Path | None = None,
) -> Rewriter:
    """The rewriter called ``spec``.

    - ``structural``: edits, no model;
    - ``local``: the scoring model, with the short question for small models; ``local-large`` with the full one;
    - ``openai:MODEL`` or ``openai:MODEL@http://127.0.0.1:8000/v1``: a chat server, key in ``OPENAI_API_KEY``;
    - ``recorded:FILE``: answers from a file, relative to ``root``.

    Args:
        record: file to which a language model's answers are appended.
        templates: folder whose meta-prompts replace the shipped ones.

    Raises:
        ConfigError: unknown name; says the nearest known one. Or a server that wants a key, and there is none.
        RewriterError: a recorded file that cannot be read.
    """
    if spec == "structural":
        return StructuralEdits()
    rewriter = _language(spec, scorer, root, environ)
    if record is not None:
        rewriter = replace(rewriter, writer=Recording(rewriter.writer, record))
    return replace(rewriter, overrides=templates)


def _language(spec: str, scorer: Scorer, root: Path, environ: Mapping[str, str]) -> LanguageRewriter:
    kind, _, rest = spec.partition(":")
    if spec in ("local", "local-large"):
        writer = LocalWriter(lambda: scorer.backend, scorer.fingerprint)
        if spec == "local-large":
            return LanguageRewriter(writer)
        return LanguageRewriter(writer, "rewrite_small", "instructions", tags_required=False, moves=MOVES)
    if kind == "openai" and rest:
        model, at, url = rest.partition("@http")
        key, server = environ.get(KEY_VARIABLE), "http" + url if at else environ.get("OPENAI_BASE_URL")
        if not key and not server:  # told now, not after the first round has been scored
            raise ConfigError(f"no key for {spec}", hint=KEY_WANTED)
        return LanguageRewriter(OpenAIWriter(model, server, key))
    if kind == "recorded" and rest:
        return LanguageRewriter(RecordedWriter(root / rest))
    near = difflib.get_close_matches(spec, NAMES, n=1)
    raise ConfigError(
        f"there is no rewriter {spec!r}",
        hint=f"did you mean {near[0]!r}?" if near else f"one of {', '.join(NAMES)}",
    )
