"""All rules over one suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pytest_pmpo.errors import ConfigError
from pytest_pmpo.prompts.lint import fixtures, templates
from pytest_pmpo.prompts.lint.findings import Finding, Severity
from pytest_pmpo.prompts.model import PromptSuite

RULES: Mapping[str, str] = {
    "undefined-variable": "a variable the prompt prints and a fixture does not set",
    "template": "a template that does not parse or run",
    "input-unused": "a fixture of which nothing reaches the model",
    "unused-variable": "a variable fixtures set and the prompt does not use",
    "unused-input": "an input the file declares and no template uses",
    "placeholder-lost": "a variable the base uses and this version does not",
    "placeholder-new": "a variable that is new since the base",
    "placeholder-spaces": "{{ name }} in a format that fills {{name}} only",
    "format-only": "a change of white space only",
    "role-injection": "a variable in a system turn, or a fixture's value that could open a turn",
    "special-mark": "a mark of a chat template in the prompt's text",
    "merge-conflict": "marks of a merge that is not finished, in the prompt's text",
    "empty-turn": "a turn without text",
    "duplicate-fixture": "two fixtures with one input and one label",
    "contradicting-fixture": "two fixtures with one input and two labels",
    "fixture-leak": "a fixture's input that the prompt itself shows",
    "secret": "a credential in the file or in a fixture",
    "token-budget": "a prompt longer than its budget",
    "not-scorable": "what the file says and loss cannot score",
    "unreadable": "a file that cannot be read as a prompt with fixtures",
    "base": "there is no base in this clone, so changes are not looked at",
}
"""Every rule's id, and what it finds."""

_ORDER: Mapping[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class LintOptions:
    """What to look for.

    Attributes:
        max_tokens: token budget of a prompt with its longest fixture; None for no budget.
        count_tokens: the model's own count of a text's tokens; None estimates by bytes, and says "about".
        ignore: ids of rules to leave out.

    Raises:
        ConfigError: ``ignore`` names a rule that does not exist.
    """

    max_tokens: int | None = None
    count_tokens: Callable[[str], int] | None = None
    ignore: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = sorted(self.ignore - RULES.keys())
        if unknown:
            close = get_close_matches(unknown[0], RULES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"rules: {', '.join(RULES)}"
            raise ConfigError(f"there is no lint rule {unknown[0]!r}", hint=hint)


def lint(
    suite: PromptSuite, base: PromptSuite | None = None, options: LintOptions | None = None
) -> tuple[Finding, ...]:
    """What the rules find in a prompt and its fixtures, the worst first, then by place.

    Args:
        suite: the version to look at, with its fixtures.
        base: the version to compare with, where there is one.
        options: budget and rules to leave out.
    """
    options = options or LintOptions()
    found = [finding for finding in _all(suite, base, options) if finding.rule not in options.ignore]
    return tuple(sorted(dict.fromkeys(found), key=_key))


def _all(suite: PromptSuite, base: PromptSuite | None, options: LintOptions) -> Iterator[Finding]:
    rendering = list(fixtures.rendering(suite))
    yield from rendering
    if all(finding.rule != "template" for finding in rendering):  # which names a broken template uses is not known
        yield from fixtures.unused_variables(suite)
    for rule in (
        fixtures.duplicates,
        fixtures.leaks,
        fixtures.injected_roles,
        fixtures.credentials,
        templates.unused_inputs,
        templates.system_variables,
        templates.special_marks,
        templates.conflicts,
        templates.spaced_placeholders,
        templates.empty_messages,
        templates.unscorable,
    ):
        yield from rule(suite)
    yield from templates.lost_placeholders(suite, base)
    yield from templates.format_only(suite, base)
    if options.max_tokens is not None:
        yield from fixtures.budget(suite, options.max_tokens, options.count_tokens)


def _key(finding: Finding) -> tuple[int, str, int, str]:
    place = finding.location
    return _ORDER[finding.severity], place.path if place else "", (place.line or 0) if place else 0, finding.rule
