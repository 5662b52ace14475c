"""Prompts to draw from: variants of a prompt that answer in other ways, for a bank lives from variety."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pytest_pmpo.errors import BankError, Location
from pytest_pmpo.prompts.model import Message, Prompt, Segment
from pytest_pmpo.responses.records import Proposal

STEPS = "Think step by step, then give the final answer."
DIRECT = "Give only the final answer, without any explanation."


def without_system(prompt: Prompt) -> Prompt | None:
    """The prompt without its system turns; None where it has none, or nothing else."""
    rest = tuple(message for message in prompt.messages if message.role != "system")
    return replace(prompt, messages=rest) if rest and len(rest) < len(prompt.messages) else None


def with_instruction(prompt: Prompt, sentence: str) -> Prompt:
    """The prompt with a sentence at the end of its system turn, or in one of its own where there is none."""
    for i, message in enumerate(prompt.messages):
        if message.role == "system":
            gap = "" if message.text.endswith("\n") else "\n"
            longer = replace(message, segments=(*message.segments, Segment(gap + sentence)))
            return replace(prompt, messages=(*prompt.messages[:i], longer, *prompt.messages[i + 1 :]))
    return replace(prompt, messages=(Message("system", (Segment(sentence),)), *prompt.messages))


VARIANTS: Mapping[str, Callable[[Prompt], Prompt | None]] = {
    "base": lambda prompt: prompt,
    "steps": lambda prompt: with_instruction(prompt, STEPS),
    "none": without_system,
    "direct": lambda prompt: with_instruction(prompt, DIRECT),
}
"""Variants by name, the most useful first: ``none`` draws from the bare input, ``steps`` and ``direct`` reason more or
less than the prompt does."""

DEFAULT_VARIANTS = ("base", "steps", "none")


def proposals(
    prompt: Prompt, names: tuple[str, ...] = DEFAULT_VARIANTS, previous: Mapping[str, Prompt] | None = None
) -> tuple[Proposal, ...]:
    """The proposals of a bank, each text once.

    Args:
        prompt: what the variants are made of.
        names: of ``VARIANTS``, or of ``previous``.
        previous: other versions of the prompt by name (a git ref, a path).

    Raises:
        BankError: for a name that is neither.
    """
    found: dict[str, Proposal] = {}
    others = previous or {}
    for name in names:
        if name not in VARIANTS and name not in others:
            known = ", ".join([*VARIANTS, *others])
            raise BankError(f"no variant is called {name!r}", location=Location(prompt.path), hint=f"known: {known}")
        variant = others[name] if name in others else VARIANTS[name](prompt)
        if variant is not None:
            found.setdefault(variant.template_digest, Proposal(name, variant))
    return tuple(found.values())
