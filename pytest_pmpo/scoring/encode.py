"""Turns and a continuation → one row of token ids with the target marked.

The boundary between context and target is where losses go wrong (shifted by one, a doubled BOS, a token that belongs to
both), so it is checked and never assumed: the context's tokens must be a prefix of the tokens of context + target.

With a chat template the context is the rendered turns with the generation prompt: exactly what the model is given when
it answers. Without one, turns are joined as plain text by blank lines and the target follows a blank line; the
tokenizer may add its BOS there. No text is stripped, and nothing is ever truncated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.errors import EncodingError, Location
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import Tokenizer
from pytest_pmpo.scoring.records import Continuation, EncodedSequence

PLAIN_SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class EncodedContext:
    """What comes before the target: its text, its ids, and whether the tokenizer adds its own special tokens."""

    text: str
    tokens: tuple[int, ...]
    special_tokens: bool


def encode_context(tokenizer: Tokenizer, turns: Sequence[Turn], *, location: Location | None = None) -> EncodedContext:
    """Render and tokenize the turns before the target.

    Raises:
        EncodingError: if the chat template refuses the turns, or there is nothing to predict from.
    """
    if tokenizer.has_chat_template:
        text, special = tokenizer.render(turns, generation_prompt=True), False
    else:
        text, special = "".join(turn.content + PLAIN_SEPARATOR for turn in turns), True
    tokens = _encode(tokenizer, text, special)
    if not tokens:
        raise EncodingError("the rendered prompt is empty: there is no token to predict from", location=location)
    return EncodedContext(text, tokens, special)


def encode_target(
    tokenizer: Tokenizer,
    context: EncodedContext,
    continuation: Continuation,
    *,
    label: str,
    location: Location | None = None,
    context_length: int | None = None,
) -> EncodedSequence:
    """Append a target to an encoded context.

    Args:
        label: names the fixture and which of its texts this is, for errors.
        context_length: longest sequence the model takes, in tokens; None = no limit.

    Raises:
        EncodingError: empty target, a target that merges with the context's last token, an end of turn the tokenizer
            does not have, or a sequence longer than the context.
    """
    if not continuation.text:
        raise EncodingError(f"{label}: the target is empty", location=location)
    full = _encode(tokenizer, context.text + continuation.text, context.special_tokens)
    start = len(context.tokens)
    if full[:start] != context.tokens or len(full) == start:
        raise EncodingError(
            f"{label}: the target merges with the last token of its prompt, so no token boundary lies between them",
            location=location,
            hint="start the target with a letter or digit, not with white space or a line break",
        )
    if continuation.end_of_turn:
        if tokenizer.end_of_turn is None:
            raise EncodingError(f"{label}: the tokenizer has no end-of-turn token to score", location=location)
        full = (*full, tokenizer.end_of_turn)
    if context_length is not None and len(full) > context_length:
        raise EncodingError(
            f"{label}: {len(full)} tokens, but the model takes {context_length}; nothing is truncated",
            location=location,
            hint="shorten the prompt or the fixture, or use a model with a longer context",
        )
    return EncodedSequence(full, start, label, location)


def _encode(tokenizer: Tokenizer, text: str, special_tokens: bool) -> tuple[int, ...]:
    """Ids of ``text``, without an EOS the tokenizer may append by itself (beside its BOS): nobody wrote it."""
    tokens = tokenizer.encode(text, special_tokens=special_tokens)
    if not special_tokens or tokenizer.end_of_turn is None or tokens[-1:] != (tokenizer.end_of_turn,):
        return tokens
    bare = tokenizer.encode(text, special_tokens=False)
    return tokens if bare[-1:] == tokens[-1:] else tokens[:-1]
