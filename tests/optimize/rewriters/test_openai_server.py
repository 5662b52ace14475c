"""The chat-server rewriter against a real HTTP server on this machine that misbehaves in many ways."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pytest_pmpo.errors import RewriterError
from pytest_pmpo.optimize.rewriters.openai_server import OpenAIWriter
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings

# a first client loads its transport now: what is first imported while pytester runs is forgotten, half of it
pytest.importorskip("openai").OpenAI(api_key="none", base_url="http://127.0.0.1:9/v1").close()

SETTINGS = SamplingSettings(0.7, 0.9, 64, seed=5)
QUESTION = (Turn("user", "Improve this."),)


def answer(request: dict[str, Any], *, n: int | None = None, usage: bool = True, reason: str = "stop") -> bytes:
    count = request.get("n", 1) if n is None else n
    choices = [
        {"index": i, "finish_reason": reason, "message": {"role": "assistant", "content": f"<prompt>P{i}</prompt>"}}
        for i in range(count)
    ]
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    if usage:
        body["usage"] = {"prompt_tokens": 9, "completion_tokens": 7 * count, "total_tokens": 9 + 7 * count}
    return json.dumps(body).encode()


Behaviour = Callable[[int, dict[str, Any]], tuple[int, dict[str, str], bytes] | None]
"""(number of the request, its body) → status, headers, body; None closes the connection without a word."""


class Server:
    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.behaviour: Behaviour = lambda number, request: (200, {}, answer(request))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests.append({"path": self.path, **request})
                outer.keys.append(self.headers["authorization"])
                reply = outer.behaviour(len(outer.requests), request)
                if reply is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, headers, body = reply
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a closed connection is what some of these tests are about

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def writer(server: Server) -> OpenAIWriter:
    return OpenAIWriter("m", server.url, "secret-key", timeout=5, tries=3, sleep=lambda seconds: None)


def ask(writer: OpenAIWriter, samples: int = 2, count: int = 1, seconds: float | None = None) -> list[Any]:
    return list(writer.write([QUESTION] * count, SETTINGS, samples=samples, seconds=seconds))


def test_samples_come_back_with_what_they_cost(server: Server, writer: OpenAIWriter) -> None:
    ((first, second),) = ask(writer)
    assert (first.text, second.text) == ("<prompt>P0</prompt>", "<prompt>P1</prompt>")
    assert first.tokens + second.tokens == 14
    sent = server.requests[0]
    assert sent["path"] == "/v1/chat/completions"
    assert (sent["model"], sent["n"], sent["max_tokens"], sent["seed"]) == ("m", 2, 64, 5)
    assert sent["messages"] == [{"role": "user", "content": "Improve this."}]
    assert server.keys == ["Bearer secret-key"]


def test_a_server_that_ignores_n_is_asked_again_with_another_seed(server: Server, writer: OpenAIWriter) -> None:
    server.behaviour = lambda number, request: (200, {}, answer(request, n=1))
    assert len(ask(writer, samples=3)[0]) == 3
    assert [r["seed"] for r in server.requests] == [5, 6, 7]


def test_an_answer_cut_by_the_limit_is_marked(server: Server, writer: OpenAIWriter) -> None:
    server.behaviour = lambda number, request: (200, {}, answer(request, reason="length"))
    assert not ask(writer)[0][0].finished


def test_without_usage_an_answer_is_booked_at_its_most(server: Server, writer: OpenAIWriter) -> None:
    server.behaviour = lambda number, request: (200, {}, answer(request, usage=False))
    assert [reply.tokens for reply in ask(writer)[0]] == [64, 64]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_waited_for(server: Server, writer: OpenAIWriter, status: int) -> None:
    waited: list[float] = []
    server.behaviour = lambda n, request: (
        (status, {"retry-after": "2"}, b"{}") if n == 1 else (200, {}, answer(request))
    )
    assert len(ask(replace(writer, sleep=waited.append))[0]) == 2
    assert waited == [2.0]


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_never_recovers_is_given_up_after_a_few_tries(
    server: Server, writer: OpenAIWriter, status: int
) -> None:
    waited: list[float] = []
    server.behaviour = lambda n, request: (status, {}, b'{"error": {"message": "no"}}')
    with pytest.raises(RewriterError, match=f"openai:m answered {status}, 3 times in a row"):
        ask(replace(writer, sleep=waited.append))
    assert len(server.requests) == 3
    assert waited == sorted(waited)
    assert all(0 < seconds <= 30 for seconds in waited)


def test_a_long_retry_after_is_not_waited_for(server: Server, writer: OpenAIWriter) -> None:
    server.behaviour = lambda n, request: (429, {"retry-after": "3600"}, b"{}")
    with pytest.raises(RewriterError, match="asks to wait 3600 s"):
        ask(writer)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "hint"), [(401, "check the key"), (403, "check the key"), (404, "model's name")])
def test_a_refusal_is_not_tried_again_and_never_shows_the_key(
    server: Server, writer: OpenAIWriter, status: int, hint: str
) -> None:
    server.behaviour = lambda n, request: (status, {}, b'{"error": {"message": "refused"}}')
    with pytest.raises(RewriterError) as caught:
        ask(writer)
    assert f"answered {status}" in str(caught.value)
    assert hint in str(caught.value)
    assert "secret-key" not in str(caught.value) + repr(writer)
    assert len(server.requests) == 1


def test_a_server_that_is_silent_runs_into_the_timeout(server: Server, writer: OpenAIWriter) -> None:
    released = threading.Event()

    def silent(number: int, request: dict[str, Any]) -> None:
        released.wait(20)

    server.behaviour = silent
    with pytest.raises(RewriterError, match=r"gave no answer \(APITimeoutError\), 2 times in a row"):
        ask(replace(writer, timeout=0.2, tries=2))
    released.set()


def test_a_server_that_dies_in_the_middle_keeps_what_it_answered(server: Server, writer: OpenAIWriter) -> None:
    server.behaviour = lambda n, request: (200, {}, answer(request)) if n == 1 else None
    rows = replace(writer, concurrency=1).write([QUESTION, QUESTION], SETTINGS, samples=1)
    assert next(rows)[0].text == "<prompt>P0</prompt>"
    with pytest.raises(RewriterError, match="gave no answer"):
        next(rows)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"index": 0}]}', b"[1]"])
def test_what_is_no_chat_answer_is_an_error_and_no_traceback(server: Server, writer: OpenAIWriter, body: bytes) -> None:
    server.behaviour = lambda n, request: (200, {}, body)
    with pytest.raises(RewriterError, match="no chat answer"):
        ask(writer)


def test_a_server_that_wants_the_newer_name_of_the_limit_gets_it(server: Server, writer: OpenAIWriter) -> None:
    complaint = b'{"error": {"message": "use max_completion_tokens instead of max_tokens"}}'
    server.behaviour = lambda n, request: (
        (400, {}, complaint) if "max_tokens" in request else (200, {}, answer(request))
    )
    assert len(ask(writer)[0]) == 2
    assert server.requests[-1]["max_completion_tokens"] == 64


def test_the_time_limit_bounds_requests_and_waits(server: Server, writer: OpenAIWriter) -> None:
    server.behaviour = lambda n, request: (500, {"retry-after": "9"}, b"{}")
    began = time.monotonic()
    with pytest.raises(RewriterError, match="no time is left"):
        ask(replace(writer, sleep=time.sleep), seconds=5)
    assert time.monotonic() - began < 5
    with pytest.raises(RewriterError, match="no time is left to ask"):
        ask(writer, seconds=0)


def test_without_a_key_openai_itself_is_not_asked() -> None:
    with pytest.raises(RewriterError, match="no key for openai:m"):
        ask(OpenAIWriter("m"))


def test_nobody_listening_is_an_error() -> None:
    with pytest.raises(RewriterError, match="gave no answer"):
        ask(OpenAIWriter("m", "http://127.0.0.1:9/v1", tries=2, sleep=lambda seconds: None))
