"""A chat server's client: when it is asked again, how long after, and what its failures are called."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_pmpo.errors import BackendError

if TYPE_CHECKING:
    from openai import OpenAI

_NO_KEY = "no-key"  # servers on one's own machine take any; the client insists on one
KEY_VARIABLE = "OPENAI_API_KEY"
KEY_WANTED = f"set {KEY_VARIABLE}, or give the URL of your own server"
MAX_WAIT = 30.0
"""Seconds; a longer ``Retry-After`` is not waited for."""


def worth_it(status: int) -> bool:
    """Whether the same request may do better later."""
    return status in (408, 409, 425, 429) or status >= 500


def wants_other_limit(error: Any, request: Mapping[str, Any]) -> bool:
    """Whether the server knows the token limit by its newer name only."""
    return error.status_code == 400 and "max_tokens" in request and "max_completion_tokens" in str(error)


def pause(attempt: int, headers: Mapping[str, str]) -> float:
    """Seconds before the next try: what the server asks for, else 0.5 · 2^attempt, a little shaken."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return min(MAX_WAIT, 0.5 * 2.0**attempt) * random.uniform(0.75, 1.0)


def hint(status: int) -> str | None:
    """What to look at after a refusal."""
    if status in (401, 403):
        return f"check the key in {KEY_VARIABLE}"
    return "check the model's name and the URL (most servers want /v1 at its end)" if status == 404 else None


def said(error: Exception) -> str:
    """The error's words in one line of reasonable length."""
    return " ".join(str(error).split())[:300]


def connect(name: str, base_url: str | None, api_key: str | None, timeout: float) -> OpenAI:
    """The published client, which does not retry by itself.

    Raises:
        BackendError: it is not installed, or lacks a key.
    """
    try:
        from openai import OpenAI, OpenAIError
    except ImportError as error:
        raise BackendError("a chat server needs the openai client", hint="pip install 'pytest-pmpo[openai]'") from error
    key = api_key or (_NO_KEY if base_url else None)
    if key is None:
        raise BackendError(f"no key for {name}", hint=KEY_WANTED)
    try:
        return OpenAI(api_key=key, base_url=base_url, timeout=timeout, max_retries=0)
    except (OpenAIError, ValueError) as error:
        raise BackendError(f"the openai client cannot be set up: {error}") from error


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one question may take.

    Attributes:
        timeout: seconds for one request; ``tries``: requests before giving up.
        sleep: waits between tries.
        deadline: when all has to be over, on the clock of ``time.monotonic``; None for never.
    """

    timeout: float
    tries: int
    sleep: Callable[[float], None]
    deadline: float | None = None

    def complete(self, client: OpenAI, name: str, request: dict[str, Any]) -> Any:
        """The server's chat completion, asked for again where that may help.

        Raises:
            BackendError: naming what the server said, once the tries or the time are used up.
        """
        from openai import APIConnectionError, APIStatusError, OpenAIError

        reason = ""
        for attempt in range(1, self.tries + 1):
            try:
                return client.chat.completions.create(**request, timeout=self._left(name))
            except APIStatusError as error:
                if wants_other_limit(error, request):
                    request["max_completion_tokens"] = request.pop("max_tokens")
                    continue
                reason = f"answered {error.status_code}"
                if not worth_it(error.status_code):
                    raise BackendError(f"{name} {reason}: {said(error)}", hint=hint(error.status_code)) from error
                wait = pause(attempt, error.response.headers)
            except APIConnectionError as error:  # timeouts are connection errors to this client
                reason = f"gave no answer ({type(error).__name__})"
                wait = pause(attempt, {})
            except (OpenAIError, ValueError, TypeError) as error:
                raise no_answer(name, error) from error
            if attempt < self.tries:
                self._pause(name, wait, reason)
        raise BackendError(
            f"{name} {reason}, {self.tries} times in a row",
            hint="see to the server and give the same command again: what was answered is kept",
        )

    def _left(self, name: str) -> float:
        if self.deadline is None:
            return self.timeout
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise BackendError(f"no time is left to ask {name}", hint="raise the limit in minutes")
        return min(self.timeout, left)

    def _pause(self, name: str, wait: float, reason: str) -> None:
        if wait > MAX_WAIT:
            raise BackendError(f"{name} {reason} and asks to wait {wait:.0f} s")
        if self.deadline is not None and time.monotonic() + wait >= self.deadline:
            raise BackendError(f"{name} {reason}, and no time is left to wait", hint="raise the limit in minutes")
        self.sleep(wait)


def choices(answer: Any) -> list[Any]:
    """The choices of a chat completion.

    Raises:
        ValueError: if it holds none with a message.
    """
    found = getattr(answer, "choices", None)
    if not found or any(getattr(choice, "message", None) is None for choice in found):
        raise ValueError("no choices with a message")
    return list(found)


def no_answer(name: str, error: Exception) -> BackendError:
    """What a server that sends anything else is told by."""
    return BackendError(f"{name} sent something that is no chat answer: {said(error)}")
