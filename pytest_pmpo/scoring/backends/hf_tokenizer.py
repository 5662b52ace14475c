"""A transformers tokenizer behind this package's ``Tokenizer`` protocol."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from jinja2 import TemplateError as JinjaError

from pytest_pmpo.errors import EncodingError
from pytest_pmpo.prompts.model import Turn

# Some templates print today's date. A loss that changes at midnight cannot be cached or compared, so time stands still.
FROZEN_DATE = datetime(2024, 7, 26)


class HFTokenizer:
    """Wraps a ``PreTrainedTokenizer(Fast)``."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer brings a template."""
        return bool(self._tokenizer.chat_template)

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        """The turns through the model's own template, in transformers' sandbox."""
        conversation = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            text = self._tokenizer.apply_chat_template(
                conversation,
                add_generation_prompt=generation_prompt,
                tokenize=False,
                date_string=FROZEN_DATE.strftime("%d %b %Y"),
                strftime_now=FROZEN_DATE.strftime,
            )
        except (JinjaError, ValueError, TypeError) as error:
            roles = ", ".join(turn.role for turn in turns)
            raise EncodingError(
                f"the model's chat template refuses these turns ({roles}): {error}",
                hint="some models know no system role or ask for alternating turns: move that text into the user turn",
            ) from error
        return str(text)

    def encode(self, text: str, *, special_tokens: bool) -> tuple[int, ...]:
        """Ids of ``text``; see ``Tokenizer.encode``."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=special_tokens))

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @cached_property
    def end_of_turn(self) -> int | None:
        """What the template writes after an assistant's answer, if that is a special token; else EOS."""
        eos = self._tokenizer.eos_token_id
        if not self.has_chat_template:
            return int(eos) if eos is not None else None
        marker = "answer0"
        turns = [Turn("user", "question"), Turn("assistant", marker)]
        try:
            _, found, tail = self.render(turns, generation_prompt=False).rpartition(marker)
        except EncodingError:
            found, tail = "", ""
        after = self.encode(tail, special_tokens=False) if found and tail else ()
        if after and after[0] in self._special_ids:
            return after[0]
        return int(eos) if eos is not None else None

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self._tokenizer.added_tokens_decoder
        return frozenset(self._tokenizer.all_special_ids) | {i for i, token in added.items() if token.special}
