"""The formats this package brings, in the order in which they may claim a file."""

from __future__ import annotations

from pytest_pmpo.prompts.formats.base import Format
from pytest_pmpo.prompts.formats.dotprompt import DotpromptFormat
from pytest_pmpo.prompts.formats.github import GitHubFormat
from pytest_pmpo.prompts.formats.langchain import LangChainFormat
from pytest_pmpo.prompts.formats.messages import MessagesFormat
from pytest_pmpo.prompts.formats.promptfoo import PromptfooFormat
from pytest_pmpo.prompts.formats.prompty import PromptyFormat
from pytest_pmpo.prompts.formats.text import TextFormat


def builtin_formats() -> tuple[Format, ...]:
    """Fresh instances, the more particular ones first; plain text, which claims by suffix alone, comes last."""
    return (
        PromptfooFormat(),
        GitHubFormat(),
        PromptyFormat(),
        DotpromptFormat(),
        LangChainFormat(),
        MessagesFormat(),
        TextFormat(),
    )
