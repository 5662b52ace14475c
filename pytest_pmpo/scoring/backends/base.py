"""What a backend offers: a tokenizer, losses of token sequences, and (where it can) sampled text.

Nothing here imports a framework, so the plan, the cache and the metrics can be tested with the fake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_pmpo.errors import ConfigError
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.records import EncodedSequence

Progress = Callable[[int, int], None]
"""Called with (tokens done, tokens in all) as scoring goes on."""


class Tokenizer(Protocol):
    """Text → token ids, as the model was trained to read it."""

    @property
    def has_chat_template(self) -> bool:
        """Whether turns are rendered by the model's own template."""
        ...

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        """Turns as the text the model sees, through its chat template.

        Raises:
            EncodingError: if the template refuses the turns (some models know no system role).
        """
        ...

    def encode(self, text: str, *, special_tokens: bool) -> tuple[int, ...]:
        """Token ids of ``text``. ``special_tokens`` adds what the tokenizer adds by itself (a BOS), and is off for
        text a chat template rendered, which holds it already."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of ids, special tokens left out; U+FFFD where they end within a character."""
        ...

    @property
    def end_of_turn(self) -> int | None:
        """The id that ends an assistant turn (the chat template's, else EOS), if there is one."""
        ...


class Backend(Protocol):
    """A model that is ready to score."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        ...

    @property
    def context_length(self) -> int | None:
        """Longest sequence in tokens, or None where it has no limit."""
        ...

    @property
    def description(self) -> str:
        """One line for the report header: class, device, dtype, execution path."""
        ...

    def score(
        self, sequences: Sequence[EncodedSequence], *, progress: Progress | None = None
    ) -> list[tuple[float, ...]]:
        """Negative log-likelihood of every target token, nats, one tuple per sequence in the order given.

        Raises:
            NumericsError: naming the sequence whose loss is NaN or infinite.
            BackendError: if a server or device gave up.
        """
        ...


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How to sample. ``temperature`` 0 is greedy; ``seed`` makes a run repeatable on one machine."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"answers of {self.max_new_tokens} tokens: it takes at least 1")


@dataclass(frozen=True, slots=True)
class Generation:
    """A sampled answer.

    Attributes:
        text: decoded, without the end-of-turn token.
        tokens: the sampled ids, end-of-turn token included where the model gave one.
        logprob: sum of the log-probabilities of ``tokens`` at temperature 1 and top-p 1, nats.
        finished: False where the token limit cut it.
    """

    text: str
    tokens: tuple[int, ...]
    logprob: float
    finished: bool


class Generator(Protocol):
    """A model that can write."""

    def generate(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int = 1,
        progress: Progress | None = None,
    ) -> list[tuple[Generation, ...]]:
        """``samples`` answers to each conversation, in the order given."""
        ...
