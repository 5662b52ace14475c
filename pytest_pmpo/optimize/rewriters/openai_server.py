"""Any OpenAI-compatible chat server as the rewriter: vLLM, Ollama, llama.cpp, OpenAI and others.

Every wait has an end: each request its timeout, each question its number of tries, a busy server's ``Retry-After`` its
cap. The key is read from the environment and sent to the base URL alone; it is never printed or journalled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_pmpo.errors import BackendError, RewriterError
from pytest_pmpo.optimize.rewriters.base import Reply
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.chat_client import Patience, choices, connect, no_answer

if TYPE_CHECKING:
    from openai import OpenAI


@dataclass(frozen=True, slots=True)
class OpenAIWriter:
    """Answers from ``model`` at ``base_url`` (None: OpenAI's own).

    Attributes:
        timeout: seconds for one request.
        tries: requests made for one question before giving up.
        concurrency: requests under way at once.
        sleep: waits between tries; a test may give its own.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    tries: int = 4
    concurrency: int = 4
    sleep: Callable[[float], None] = time.sleep

    @property
    def name(self) -> str:
        """``openai:MODEL``."""
        return f"openai:{self.model}"

    @property
    def identity(self) -> str:
        """Model and server."""
        return f"openai/{self.model}@{self.base_url or 'default'}"

    def write(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int,
        seconds: float | None = None,
    ) -> Iterator[tuple[Reply, ...]]:
        """Rows in order, each as soon as it is there, so that what was answered is kept if the server dies later.

        Raises:
            RewriterError: naming what the server said, once the tries are used up.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        patience = Patience(self.timeout, self.tries, self.sleep, deadline)
        try:
            client = connect(self.name, self.base_url, self.api_key, self.timeout)
        except BackendError as error:
            raise RewriterError(error.message, hint=error.hint) from error
        pool = ThreadPoolExecutor(max_workers=self.concurrency)
        try:
            work = [pool.submit(self._row, client, turns, settings, samples, patience) for turns in conversations]
            for future in work:
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()

    def _row(
        self, client: OpenAI, turns: Sequence[Turn], settings: SamplingSettings, samples: int, patience: Patience
    ) -> tuple[Reply, ...]:
        """``samples`` replies; a server that ignores ``n`` is asked again for the rest."""
        replies: list[Reply] = []
        while len(replies) < samples:
            wanted = samples - len(replies)
            got = self._ask(client, turns, settings, wanted, settings.seed + len(replies), patience)
            replies += got[:wanted]
        return tuple(replies)

    def _ask(
        self,
        client: OpenAI,
        turns: Sequence[Turn],
        settings: SamplingSettings,
        samples: int,
        seed: int,
        patience: Patience,
    ) -> list[Reply]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_new_tokens,
            "n": samples,
            "seed": seed,
        }
        try:
            return _replies(patience.complete(client, self.name, request), settings.max_new_tokens)
        except BackendError as error:
            raise RewriterError(error.message, hint=error.hint) from error
        except (ValueError, TypeError) as error:
            raise RewriterError(no_answer(self.name, error).message) from error


def _replies(answer: Any, limit: int) -> list[Reply]:
    """Replies with what they cost; where the server does not say, each is booked at the most it may have been."""
    found = choices(answer)
    usage = getattr(answer, "usage", None)
    total = getattr(usage, "completion_tokens", None)
    total = total if isinstance(total, int) and total >= 0 else limit * len(found)
    share, rest = divmod(total, len(found))
    return [
        Reply(choice.message.content or "", share + (i < rest), choice.finish_reason != "length")
        for i, choice in enumerate(found)
    ]
