"""The scoring model as the rewriter: it samples in batches, seeded, on the machine that scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from pytest_pmpo.errors import PmpoError, RewriterError
from pytest_pmpo.optimize.rewriters.base import Reply
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import Backend, Generator, SamplingSettings


@dataclass(frozen=True, slots=True)
class LocalWriter:
    """Answers from the backend that ``open_backend`` gives; it is opened at the first question.

    Attributes:
        fingerprint: of the model, so that answers of another model are never taken for its own.
    """

    open_backend: Callable[[], Backend]
    fingerprint: str

    @property
    def name(self) -> str:
        """``local``."""
        return "local"

    @property
    def identity(self) -> str:
        """The model's fingerprint."""
        return f"local/{self.fingerprint}"

    def write(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int,
        seconds: float | None = None,
    ) -> Iterator[tuple[Reply, ...]]:
        """All conversations as one batch; ``seconds`` cannot be kept to once sampling has begun.

        Raises:
            RewriterError: if the model cannot generate, or fails.
        """
        try:
            yield from self._rows(self.open_backend(), conversations, settings, samples)
        except RewriterError:
            raise
        except (PmpoError, RuntimeError) as error:
            raise RewriterError(f"the local model failed while writing: {error}") from error

    def _rows(
        self, backend: Backend, conversations: Sequence[Sequence[Turn]], settings: SamplingSettings, samples: int
    ) -> Iterator[tuple[Reply, ...]]:
        if not hasattr(backend, "generate"):
            raise RewriterError(
                f"this model cannot write: {backend.description}",
                hint='use the rewriter "structural", or "openai:MODEL" with a server',
            )
        for row in cast(Generator, backend).generate(conversations, settings, samples=samples):
            yield tuple(Reply(g.text, len(g.tokens), g.finished) for g in row)
