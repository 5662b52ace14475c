"""Rules about the fixtures, and about what the prompt makes of them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pytest_pmpo.errors import Location, TemplateError
from pytest_pmpo.prompts.lint.findings import Finding, quoted
from pytest_pmpo.prompts.lint.secrets import secrets
from pytest_pmpo.prompts.lint.templates import has_marks, where
from pytest_pmpo.prompts.lint.variables import used_variables
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Prompt, PromptSuite
from pytest_pmpo.prompts.render import render

LEAK_LENGTH = 20
"""Characters a fixture's text must have to be looked for in the prompt; shorter ones stand there by chance."""
TAKE_OUT = "take the fixture out, or put another in its place"
"""What to do about a fixture that the prompt shows: no setting makes a copied answer count for less."""
BYTES_PER_TOKEN = 4
"""UTF-8 bytes of English text per token of common tokenizers, for want of the model's own."""

_ROLE_LINES = re.compile(
    r"^[ \t]*(?:#[ \t]*)?(?:system|user|assistant|function|tools?|developer)[ \t]*:[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)


def rendering(suite: PromptSuite) -> Iterator[Finding]:
    """A fixture that the prompt cannot be filled with; one finding for each problem, however many fixtures have it."""
    problems: dict[str, tuple[TemplateError, int]] = {}
    for fixture in suite.fixtures:
        try:
            render(suite.prompt, fixture)
        except TemplateError as error:
            first, count = problems.get(error.message, (error, 0))
            problems[error.message] = first, count + 1
    for message, (problem, count) in problems.items():
        rule = "undefined-variable" if message.startswith("variable ") else "template"
        more = f" ({count} fixtures)" if count > 1 else ""
        yield Finding(rule, "error", message + more, problem.location or where(suite.prompt))


def unused_variables(suite: PromptSuite) -> Iterator[Finding]:
    """A variable that fixtures set and the prompt does not use; worse, a fixture of which nothing is used."""
    used = used_variables(suite.prompt)
    unused: dict[str, Fixture] = {}
    for fixture in suite.fixtures:
        if fixture.vars and not used & fixture.vars.keys() and not fixture.history:
            yield Finding(
                "input-unused",
                "error",
                f"nothing of the fixture {fixture.id!r} reaches the model: the prompt uses none of its variables",
                fixture.location or where(suite.prompt),
            )
            return
        for name in fixture.vars:
            if name not in used:
                unused.setdefault(name, fixture)
    for name, fixture in sorted(unused.items()):
        what = f"fixtures set the variable {name!r}, which the prompt does not use"
        yield Finding("unused-variable", "warning", what, fixture.location or where(suite.prompt))


def duplicates(suite: PromptSuite) -> Iterator[Finding]:
    """Two fixtures with one input: a repetition, or a contradiction."""
    seen: dict[str, Fixture] = {}
    for fixture in suite.fixtures:
        key = json.dumps([_flat(fixture.vars), _flat([(t.role, t.content) for t in fixture.history])], sort_keys=True)
        first = seen.setdefault(key, fixture)
        if first is fixture:
            continue
        same = first.label == fixture.label
        what = f"fixture {fixture.id!r} has the same input as {first.id!r}"
        yield Finding(
            "duplicate-fixture" if same else "contradicting-fixture",
            "warning" if same else "error",
            f"{what}, and the same label" if same else f"{what}, but another label",
            fixture.location,
        )


def _flat(value: Any) -> Any:
    """A value in which only words count, so that a copy with other spaces or capitals is still a copy."""
    if isinstance(value, str):
        return " ".join(value.split()).casefold()
    if isinstance(value, Mapping):
        return {str(key): _flat(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(item) for item in value]
    return value if isinstance(value, int | float | None) else str(value)


def leaks(suite: PromptSuite) -> Iterator[Finding]:
    """A fixture's input that the prompt shows, mostly as an example: its loss then measures memory, not skill."""
    text = _words(suite.prompt)
    for fixture in suite.fixtures:
        for name, value in _shown(text, fixture):
            label = _flat(_label(fixture))
            told = " and its answer" if label and label in text else ""
            what = f"the prompt itself shows {name!r}{told} of fixture {fixture.id!r}: {quoted(value)}; {TAKE_OUT}"
            yield Finding("fixture-leak", "error", what, fixture.location or where(suite.prompt))


def leaked(prompt: Prompt, fixtures: Sequence[Fixture]) -> tuple[str, ...]:
    """Ids of the fixtures whose own input the prompt itself shows, all of it that is long enough to be looked for.

    A value that several fixtures share is what they are about (a product's name, a document): a prompt that says it
    shows none of them.
    """
    text = _words(prompt)
    long = [
        {_flat(v) for v in f.vars.values() if isinstance(v, str) and len(_flat(v)) >= LEAK_LENGTH} for f in fixtures
    ]
    counts = Counter(value for values in long for value in values)
    own = [[value for value in values if counts[value] == 1] for values in long]
    return tuple(f.id for f, values in zip(fixtures, own, strict=True) if values and all(v in text for v in values))


def _shown(text: str, fixture: Fixture) -> Iterator[tuple[str, str]]:
    for name, value in fixture.vars.items():
        if isinstance(value, str) and len(_flat(value)) >= LEAK_LENGTH and _flat(value) in text:
            yield name, value


def _words(prompt: Prompt) -> str:
    return str(_flat("\n".join(message.text for message in prompt.messages)))


def _label(fixture: Fixture) -> str:
    label = fixture.label
    if isinstance(label, Expected):
        return label.text
    return label.choices[label.expected] if isinstance(label, Choice) else label.chosen[0]


def injected_roles(suite: PromptSuite) -> Iterator[Finding]:
    """A fixture's value that would open a turn in the format's own runner, which splits turns after filling in."""
    for fixture in suite.fixtures:
        for name, value in fixture.vars.items():
            if not isinstance(value, str):
                continue
            line = _ROLE_LINES.search(value) if suite.prompt.format == "prompty" else None
            mark = line[0].strip() if line else has_marks(value)
            if mark is not None:
                what = (
                    f"{name!r} of fixture {fixture.id!r} holds {mark!r}, which may open a turn where this prompt runs"
                )
                yield Finding("role-injection", "warning", what, fixture.location or where(suite.prompt))


def credentials(suite: PromptSuite) -> Iterator[Finding]:
    """A credential in the prompt, in what its file says besides, or in a fixture."""
    prompt = suite.prompt
    for message in prompt.messages:
        for kind, index, shown in secrets(message.text):
            line = None if message.line is None else message.line + message.text.count("\n", 0, index)
            yield Finding("secret", "error", f"this looks like {kind}: {shown}", Location(prompt.path, line))
    yield from _in_data(prompt.metadata, where(prompt))
    yield from _in_data({name: variable.default for name, variable in prompt.inputs.items()}, where(prompt))
    for fixture in suite.fixtures:
        yield from _in_data(fixture.vars, fixture.location or where(prompt))


def _in_data(data: Any, location: Location) -> Iterator[Finding]:
    for text in _texts(data):
        for kind, _, shown in secrets(text):
            yield Finding("secret", "error", f"this looks like {kind}: {shown}", location)


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value)


def budget(suite: PromptSuite, limit: int, count: Callable[[str], int] | None) -> Iterator[Finding]:
    """A prompt that is longer than its budget with its longest fixture; the size is an estimate without a tokenizer."""
    longest, size = None, 0
    for fixture in suite.fixtures:
        try:
            turns = render(suite.prompt, fixture)
        except TemplateError:
            continue  # another rule says so
        tokens = sum((count or estimate)(turn.content) for turn in turns)
        if tokens > size:
            longest, size = fixture, tokens
    if not suite.fixtures:
        size = sum((count or estimate)(message.text) for message in suite.prompt.messages)
    if size > limit:
        about = "" if count else "about "
        filled = f" with fixture {longest.id!r}" if longest else ""
        yield Finding(
            "token-budget", "error", f"{about}{size} tokens{filled}; the budget is {limit}", where(suite.prompt)
        )


def estimate(text: str) -> int:
    """Tokens of a text, roughly: its UTF-8 bytes by ``BYTES_PER_TOKEN``."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)
