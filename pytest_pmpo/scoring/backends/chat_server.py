"""An OpenAI-compatible chat server as a generator (answers with log-probabilities) and as a judge.

vLLM, llama.cpp, OpenAI and others speak this protocol. Every wait has an end: each request its timeout, each question
its number of tries, a busy server's ``Retry-After`` its cap. The key is read from the environment by the caller and
sent to the base URL alone; it is never printed.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_pmpo.errors import BackendError, ConfigError
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import Generation, Progress, SamplingSettings
from pytest_pmpo.scoring.backends.chat_client import KEY_VARIABLE, Patience, choices, connect, no_answer

if TYPE_CHECKING:
    from openai import OpenAI

URL_VARIABLE = "OPENAI_BASE_URL"
JUDGE_TOKENS = 512
UNKNOWN = -1
"""Stands for each token of an answer: a chat server tells tokens by their text, not by their id."""

_PLAIN_SAMPLING: Mapping[str, Mapping[str, Any]] = {
    "vllm": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llamacpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}
"""By the ``owned_by`` of a server's models: what switches off the defaults that draw from another distribution."""

_SECRETS = re.compile(r"(?<=//)[^/]*@|[?#].*")
"""Parts of a URL that may hold a password or a key."""
_Answer = tuple[tuple[Generation, ...], BackendError | None]


@dataclass(frozen=True, slots=True)
class ChatServer:
    """Answers of ``model`` at ``base_url`` (None: OpenAI's own).

    Attributes:
        timeout: seconds for one request.
        tries: requests made for one question before giving up.
        concurrency: requests under way at once.
        sleep: waits between tries; a test may give its own.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 300.0
    tries: int = 4
    concurrency: int = 8
    sleep: Callable[[float], None] = time.sleep

    @property
    def name(self) -> str:
        """``openai:MODEL``: what a bank says its responses were drawn from."""
        return f"openai:{self.model}"

    def ask(self, turns: Sequence[Turn]) -> str:
        """The greedy answer to one conversation, for a judge.

        Raises:
            BackendError: the server failed.
        """
        client = self._client()
        try:
            request = self._request(turns, SamplingSettings(temperature=0.0, max_new_tokens=JUDGE_TOKENS), 1)
            return str(choices(self._post(client, request))[0].message.content or "")
        except _MALFORMED as error:
            raise no_answer(self._shown, error) from error
        finally:
            client.close()

    def generate(
        self,
        conversations: Sequence[Sequence[Turn]],
        settings: SamplingSettings,
        *,
        samples: int = 1,
        progress: Progress | None = None,
    ) -> list[tuple[Generation, ...]]:
        """``samples`` answers to each conversation, in the order given.

        Raises:
            BackendError: the server failed, or tells no log-probabilities.
        """
        found: list[tuple[Generation, ...]] = [()] * len(conversations)
        for done, (index, answers) in enumerate(self.rows(conversations, settings, samples=samples), 1):
            found[index] = answers
            if progress is not None:
                progress(done, len(conversations))
        return found

    def rows(
        self, conversations: Sequence[Sequence[Turn]], settings: SamplingSettings, *, samples: int = 1
    ) -> Iterator[tuple[int, tuple[Generation, ...]]]:
        """``(index, answers)`` as they come. After a failure what is under way is still given, then the error raised.

        Raises:
            BackendError: the first failure, once the tries are used up.
        """
        client = self._client()
        plain = self._plain_sampling(client)
        pool = ThreadPoolExecutor(max_workers=self.concurrency)
        failure: BackendError | None = None
        try:
            work = {
                pool.submit(self._row, client, turns, settings, samples, plain): index
                for index, turns in enumerate(conversations)
            }
            for future in as_completed(work):
                if future.cancelled():
                    continue
                answers, error = future.result()
                if answers:
                    yield work[future], answers
                if error is not None and failure is None:
                    failure = error
                    for other in work:
                        other.cancel()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()
        if failure is not None:
            raise failure

    def _client(self) -> OpenAI:
        return connect(self.name, self.base_url, self.api_key, self.timeout)

    def _plain_sampling(self, client: OpenAI) -> Mapping[str, Any]:
        """What this kind of server needs to be told so that temperature 1 and top-p 1 is the model's own distribution.

        vLLM and llama.cpp add a top-k, a min-p or a penalty of their own otherwise. A server that does not list its
        models, or does not answer here, will say what is wrong when it is asked to write.
        """
        from openai import OpenAIError

        try:
            models = client.models.list().data
        except (OpenAIError, ValueError, TypeError, AttributeError):
            return {}
        owners = {getattr(model, "owned_by", None) for model in models or ()}
        return next((_PLAIN_SAMPLING[owner] for owner in _PLAIN_SAMPLING if owner in owners), {})

    def _row(
        self,
        client: OpenAI,
        turns: Sequence[Turn],
        settings: SamplingSettings,
        samples: int,
        plain: Mapping[str, Any],
    ) -> _Answer:
        """``samples`` answers; a server that ignores ``n`` is asked again for the rest, with another seed."""
        answers: list[Generation] = []
        try:
            while len(answers) < samples:
                wanted = samples - len(answers)
                request = self._request(turns, settings, wanted) | {"logprobs": True, "extra_body": dict(plain)}
                request["seed"] = settings.seed + len(answers)
                found = choices(self._post(client, request))
                answers += [self._generation(choice) for choice in found[:wanted]]
        except BackendError as error:
            return tuple(answers), error
        except _MALFORMED as error:
            return tuple(answers), no_answer(self._shown, error)
        return tuple(answers), None

    def _request(self, turns: Sequence[Turn], settings: SamplingSettings, samples: int) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_new_tokens,
            "n": samples,
            "seed": settings.seed,
        }

    def _post(self, client: OpenAI, request: dict[str, Any]) -> Any:
        return Patience(self.timeout, self.tries, self.sleep).complete(client, self._shown, request)

    def _generation(self, choice: Any) -> Generation:
        entries = getattr(getattr(choice, "logprobs", None), "content", None)
        text = choice.message.content or ""
        if not entries and text:
            raise BackendError(
                f"{self._shown} tells no log-probabilities, so nothing can be drawn from it",
                hint="a server that answers logprobs=true is needed, such as vLLM, llama.cpp or OpenAI",
            )
        logprob = math.fsum(float(entry.logprob) for entry in entries or ())
        if not math.isfinite(logprob):
            raise ValueError("a log-probability is no number")
        # a content filter or a tool call ends an answer too, but not where the model would have
        return Generation(text, (UNKNOWN,) * len(entries or ()), logprob, choice.finish_reason == "stop")

    @property
    def _shown(self) -> str:
        return self.name if self.base_url is None else f"{self.name} at {_SECRETS.sub('', self.base_url)}"


def parse_server(spec: str, environ: Mapping[str, str]) -> ChatServer:
    """The server called ``openai:MODEL`` or ``openai:MODEL@http://127.0.0.1:8000/v1``; its key from the environment.

    Raises:
        ConfigError: if ``spec`` has another form.
    """
    kind, _, rest = spec.partition(":")
    model, at, url = rest.partition("@http")
    if kind != "openai" or not model or "://" in model or (at and not url.startswith(("://", "s://"))):
        raise ConfigError(
            f"{spec!r} names no server", hint="openai:MODEL, or openai:MODEL@http://127.0.0.1:8000/v1 for your own"
        )
    return ChatServer(model, f"http{url}" if at else environ.get(URL_VARIABLE), environ.get(KEY_VARIABLE))


_MALFORMED = (ValueError, TypeError, AttributeError, IndexError)
