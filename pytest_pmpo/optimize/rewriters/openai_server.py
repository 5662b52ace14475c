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

from pytest_pmpo.errors import RewriterError
from pytest_pmpo.optimize.rewriters.base import Reply
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.retrying import KEY_VARIABLE, MAX_WAIT, hint, pause, said, wants_other_limit, worth_it

if TYPE_CHECKING:
    from openai import OpenAI

_NO_KEY = "no-key"  # servers on one's own machine take any; the client insists on one


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
        client = self._client()
        deadline = None if seconds is None else time.monotonic() + seconds
        pool = ThreadPoolExecutor(max_workers=self.concurrency)
        try:
            work = [pool.submit(self._row, client, turns, settings, samples, deadline) for turns in conversations]
            for future in work:
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()

    def _client(self) -> OpenAI:
        try:
            from openai import OpenAI, OpenAIError
        except ImportError as error:
            raise RewriterError(
                "the rewriter openai needs the openai client", hint="pip install 'pytest-pmpo[openai]'"
            ) from error
        key = self.api_key or (_NO_KEY if self.base_url else None)
        if key is None:
            raise RewriterError(
                f"no key for {self.name}", hint=f"set {KEY_VARIABLE}, or give the URL of your own server"
            )
        try:
            return OpenAI(api_key=key, base_url=self.base_url, timeout=self.timeout, max_retries=0)
        except OpenAIError as error:
            raise RewriterError(f"the openai client cannot be set up: {error}") from error

    def _row(
        self, client: OpenAI, turns: Sequence[Turn], settings: SamplingSettings, samples: int, deadline: float | None
    ) -> tuple[Reply, ...]:
        """``samples`` replies; a server that ignores ``n`` is asked again for the rest."""
        replies: list[Reply] = []
        while len(replies) < samples:
            wanted = samples - len(replies)
            got = self._ask(client, turns, settings, wanted, settings.seed + len(replies), deadline)
            replies += got[:wanted]
        return tuple(replies)

    def _ask(
        self,
        client: OpenAI,
        turns: Sequence[Turn],
        settings: SamplingSettings,
        samples: int,
        seed: int,
        deadline: float | None,
    ) -> list[Reply]:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_new_tokens,
            "n": samples,
            "seed": seed,
        }
        for attempt in range(1, self.tries + 1):
            try:
                answer = client.chat.completions.create(**request, timeout=self._timeout(deadline))
                return _replies(answer, settings.max_new_tokens)
            except APIStatusError as error:
                if wants_other_limit(error, request):
                    request["max_completion_tokens"] = request.pop("max_tokens")
                    continue
                reason = f"answered {error.status_code}"
                if not worth_it(error.status_code):
                    raise RewriterError(f"{self.name} {reason}: {said(error)}", hint=hint(error.status_code)) from error
                wait = pause(attempt, error.response.headers)
            except APIConnectionError as error:  # timeouts are connection errors to this client
                reason = f"gave no answer ({type(error).__name__})"
                wait = pause(attempt, {})
            except (OpenAIError, ValueError, TypeError) as error:
                raise RewriterError(f"{self.name} sent something that is no chat answer: {said(error)}") from error
            if attempt < self.tries:
                self._pause(wait, deadline, reason)
        raise RewriterError(
            f"{self.name} {reason} {self.tries} times",
            hint="start the server again and give the same command: what was answered is journalled",
        )

    def _timeout(self, deadline: float | None) -> float:
        if deadline is None:
            return self.timeout
        left = deadline - time.monotonic()
        if left <= 0:
            raise RewriterError(f"no time is left to ask {self.name}", hint="raise the limit in minutes")
        return min(self.timeout, left)

    def _pause(self, wait: float, deadline: float | None, reason: str) -> None:
        if wait > MAX_WAIT:
            raise RewriterError(f"{self.name} {reason} and asks to wait {wait:.0f} s")
        if deadline is not None and time.monotonic() + wait >= deadline:
            raise RewriterError(f"{self.name} {reason}, and no time is left to wait", hint="raise the limit in minutes")
        self.sleep(wait)


def _replies(answer: Any, limit: int) -> list[Reply]:
    """Replies with what they cost; where the server does not say, each is booked at the most it may have been."""
    choices = getattr(answer, "choices", None)
    if not choices or any(getattr(choice, "message", None) is None for choice in choices):
        raise ValueError("no choices with a message")
    usage = getattr(answer, "usage", None)
    total = getattr(usage, "completion_tokens", None)
    total = total if isinstance(total, int) and total >= 0 else limit * len(choices)
    share, rest = divmod(total, len(choices))
    return [
        Reply(choice.message.content or "", share + (i < rest), choice.finish_reason != "length")
        for i, choice in enumerate(choices)
    ]
