"""Drawing from an OpenAI-compatible server: a real one, on loopback, that behaves and misbehaves as told."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_pmpo.errors import BackendError, ConfigError
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment, Turn
from pytest_pmpo.responses.build import Writer, fill, load
from pytest_pmpo.responses.demands import demands
from pytest_pmpo.responses.graders.contains import Contains
from pytest_pmpo.responses.graders.judge import Judge
from pytest_pmpo.responses.variants import proposals
from pytest_pmpo.responses.weigh import weigh
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.chat_server import UNKNOWN, ChatServer, parse_server
from pytest_pmpo.scoring.backends.fake import FakeBackend, FakeTokenizer
from pytest_pmpo.scoring.scorer import Scorer

pytest.importorskip("openai")

Reply = Callable[["Server", BaseHTTPRequestHandler, dict[str, Any]], None]
ASK = [Turn("user", "is 2 even?")]
SETTINGS = SamplingSettings(max_new_tokens=8, seed=7)


def choice(text: str, logprob: float = -0.5, *, finished: bool = True, logprobs: bool = True) -> dict[str, Any]:
    """One choice, a log-probability per word."""
    content = [{"token": word, "logprob": logprob, "bytes": None, "top_logprobs": []} for word in text.split()]
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop" if finished else "length",
        "logprobs": {"content": content} if logprobs else None,
    }


def send(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def answer(*choices: dict[str, Any]) -> Reply:
    """A proper answer; as many choices as were asked for, round and round."""

    def reply(server: Server, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": request["model"],
            "choices": [choices[i % len(choices)] for i in range(request["n"])],
        }
        send(handler, 200, body)

    return reply


def refuse(status: int, **headers: str) -> Reply:
    return lambda server, handler, request: send(handler, status, {"error": {"message": f"no {status}"}}, **headers)


def hang_up(server: Server, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    """A server that dies while it answers."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "1", "cho')
    handler.wfile.flush()
    handler.connection.close()


def sleep(server: Server, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    server.leave.wait(20)


class Server(ThreadingHTTPServer):
    """Answers the requests it gets by ``replies`` in turn, the last one again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[Reply] = [answer(choice("yes it is"))]
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.owner: str | None = None
        self.leave = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that were cut on purpose are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.server.owner is None:
            send(self, 404, {"error": {"message": "no such page"}})
        else:
            model = {"id": "m", "object": "model", "created": 1, "owned_by": self.server.owner}
            send(self, 200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(request)
            self.server.keys.append(self.headers.get("Authorization"))
            replies = self.server.replies
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
        reply(self.server, self, request)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield made
        made.leave.set()
        made.shutdown()
        thread.join()


def client(server: Server, **more: Any) -> ChatServer:
    return ChatServer("m", server.url, **{"timeout": 5.0, "concurrency": 1, "sleep": lambda seconds: None, **more})


def test_answers_come_with_the_log_probabilities_the_server_states(server: Server) -> None:
    server.replies = [answer(choice("yes it is", -0.25), choice("no", -2.0, finished=False))]
    [row] = client(server).generate([ASK], SETTINGS, samples=2)
    assert [(g.text, g.logprob, g.finished) for g in row] == [("yes it is", -0.75, True), ("no", -2.0, False)]
    assert row[0].tokens == (UNKNOWN,) * 3


def test_the_models_own_distribution_is_asked_for(server: Server) -> None:
    client(server).generate([ASK], SETTINGS, samples=2)
    [request] = server.requests
    assert {key: request[key] for key in ("temperature", "top_p", "logprobs", "n", "max_tokens", "seed", "model")} == {
        "temperature": 1.0,
        "top_p": 1.0,
        "logprobs": True,
        "n": 2,
        "max_tokens": 8,
        "seed": 7,
        "model": "m",
    }
    assert request["messages"] == [{"role": "user", "content": "is 2 even?"}]
    assert "top_k" not in request


@pytest.mark.parametrize(
    ("owner", "wanted"),
    [
        ("vllm", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("llamacpp", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
    ],
)
def test_a_server_that_samples_in_a_way_of_its_own_is_told_not_to(
    server: Server, owner: str, wanted: dict[str, float]
) -> None:
    server.owner = owner
    client(server).generate([ASK], SETTINGS)
    assert {key: server.requests[0][key] for key in wanted} == wanted


def test_a_server_that_ignores_n_is_asked_again_with_another_seed(server: Server) -> None:
    def one(made: Server, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        answer(choice("yes"))(made, handler, {**request, "n": 1})

    server.replies = [one]
    [row] = client(server).generate([ASK], SETTINGS, samples=3)
    assert len(row) == 3
    assert [(request["n"], request["seed"]) for request in server.requests] == [(3, 7), (2, 8), (1, 9)]


@pytest.mark.parametrize("reply", [refuse(429, Retry_After="1"), refuse(500), refuse(503), hang_up])
def test_a_passing_failure_is_waited_out(server: Server, reply: Reply) -> None:
    waited: list[float] = []
    server.replies = [reply, reply, answer(choice("yes"))]
    [row] = client(server, sleep=waited.append).generate([ASK], SETTINGS)
    assert row[0].text == "yes"
    assert len(waited) == 2
    assert all(0 < seconds <= 30 for seconds in waited)


def test_a_request_that_takes_too_long_is_given_up(server: Server) -> None:
    server.replies = [sleep]
    began = time.monotonic()
    with pytest.raises(BackendError, match=r"gave no answer \(APITimeoutError\), 2 times in a row"):
        client(server, timeout=0.2, tries=2).generate([ASK], SETTINGS)
    assert time.monotonic() - began < 15  # it ends at all, long before the server would


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refuse(500), r"openai:m at http://127.0.0.1:\d+/v1 answered 500, 4 times in a row"),
        (refuse(401), "answered 401: .*no 401"),
        (refuse(404), "answered 404"),
        (refuse(429, Retry_After="3600"), "answered 429 and asks to wait 3600 s"),
        (hang_up, "gave no answer"),
        (answer(choice("yes", logprobs=False)), "tells no log-probabilities, so nothing can be drawn from it"),
        (answer(choice("yes", math.nan)), "a log-probability is no number"),
        (lambda s, h, r: send(h, 200, b"<html>"), "sent something that is no chat answer"),
        (lambda s, h, r: send(h, 200, {"choices": []}), "sent something that is no chat answer"),
    ],
)
def test_what_does_not_pass_is_an_error_that_says_what_the_server_said(
    server: Server, reply: Reply, message: str
) -> None:
    server.replies = [reply]
    with pytest.raises(BackendError, match=message):
        client(server).generate([ASK], SETTINGS)


def test_a_server_that_is_not_there_is_named(server: Server) -> None:
    gone = ChatServer("m", "http://127.0.0.1:9/v1", tries=2, sleep=lambda seconds: None)
    with pytest.raises(BackendError, match=r"openai:m at http://127.0.0.1:9/v1 gave no answer"):
        gone.generate([ASK], SETTINGS)


def test_what_was_answered_is_given_before_a_failure_is_raised_and_the_rest_is_not_asked(server: Server) -> None:
    server.replies = [answer(choice("one")), answer(choice("two")), refuse(400), answer(choice("under way"))]
    found: list[str] = []

    def collect() -> None:
        for _, row in client(server).rows([ASK] * 50, SETTINGS):
            found.append(row[0].text)

    with pytest.raises(BackendError, match="answered 400"):
        collect()
    assert found[:2] == ["one", "two"]
    assert set(found[2:]) <= {"under way"}
    assert len(server.requests) < 50


@pytest.mark.parametrize("url", ["http://me:pass@word@host/v1", "http://host/v1?key=pass", "http://host/v1#pass"])
def test_nothing_secret_of_a_url_is_shown(url: str) -> None:
    assert ChatServer("m", url)._shown == "openai:m at http://host/v1"


def test_the_key_goes_to_the_server_and_into_no_message(server: Server) -> None:
    server.replies = [refuse(401)]
    with pytest.raises(BackendError) as caught:
        client(server, api_key="sk-secret").generate([ASK], SETTINGS)
    assert server.keys == ["Bearer sk-secret"]
    assert "sk-secret" not in str(caught.value) + repr(client(server, api_key="sk-secret"))
    hidden = ChatServer("m", server.url.replace("//", "//user:pass-word@"), sleep=lambda seconds: None)
    with pytest.raises(BackendError, match=r"openai:m at http://127.0.0.1:\d+/v1 answered 401") as caught:
        hidden.generate([ASK], SETTINGS)
    assert "pass-word" not in str(caught.value)


def test_a_judge_is_asked_greedily_and_once(server: Server) -> None:
    server.replies = [answer(choice("It is right.\nGRADE: 1", logprobs=False))]
    fixture = Fixture("f", {"q": "is 2 even?"}, Expected("yes"))
    assert Judge(client(server).ask, "m").grade(fixture, "it is").score == 1
    [request] = server.requests
    assert (request["temperature"], request["n"], "logprobs" in request) == (0.0, 1, False)


@pytest.mark.parametrize(
    ("spec", "model", "url"),
    [
        ("openai:gpt-4.1-mini", "gpt-4.1-mini", None),
        ("openai:org/name:7b@http://127.0.0.1:8000/v1", "org/name:7b", "http://127.0.0.1:8000/v1"),
        ("openai:m@https://host/v1", "m", "https://host/v1"),
    ],
)
def test_a_server_is_named_by_model_and_url(spec: str, model: str, url: str | None) -> None:
    found = parse_server(spec, {"OPENAI_API_KEY": "k"})
    assert (found.model, found.base_url, found.api_key) == (model, url, "k")


@pytest.mark.parametrize("spec", ["", "openai:", "vllm:m", "m@http://x", "openai:m@httpfoo", "openai:@http://x/v1"])
def test_what_names_no_server_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="names no server"):
        parse_server(spec, {})


def test_without_a_key_and_a_url_nothing_is_asked() -> None:
    with pytest.raises(BackendError, match="no key for openai:m"):
        ChatServer("m").generate([ASK], SETTINGS)


# building a bank from it

PROMPT = Prompt("p.prompt", "test", "fstring", (Message("user", (Segment("{q}"),)),), "")
FIXTURES = [Fixture(f"f{i}", {"q": f"is {i} even?"}, Expected("yes")) for i in range(20)]


def build(file: Path, made: ChatServer, **more: Any) -> Any:
    bank = load(file, file.name)
    wanted = demands(bank, FIXTURES, proposals(PROMPT, ("base",)), 2, made.name)
    return fill(file, bank, wanted, Writer(made, FakeTokenizer(), 4096, made.name, Contains(), SETTINGS, **more))


def test_a_bank_names_the_servers_model_and_keeps_what_it_states(server: Server, tmp_path: Path) -> None:
    server.replies = [answer(choice("yes it is", -0.25), choice("no", -2.0, finished=False))]
    report = build(tmp_path / "b", client(server))
    rows = load(tmp_path / "b", "b").responses
    assert (report.drawn, report.kept, report.cut, report.tokens, report.right) == (40, 40, 20, 80, 0.5)
    assert {(row.model, row.origin) for row in rows} == {("openai:m", "sampled")}
    assert {(row.text, row.logprob) for row in rows} == {("yes it is", -0.75), ("no", -2.0)}
    assert build(tmp_path / "b", client(server)).drawn == 0


def test_the_gates_model_computes_the_weights_of_a_servers_responses_itself(server: Server, tmp_path: Path) -> None:
    server.replies = [answer(choice("yes it is", -0.25), choice("no", -2.0))]
    build(tmp_path / "b", client(server))
    weighed = weigh(load(tmp_path / "b", "b"), FIXTURES, Scorer("x", FakeBackend), model="gate")
    stated = {round(-0.25 * 3, 6), -2.0}
    assert not stated & {round(value, 6) for values in weighed.log_p.values() for value in values}
    assert any("40 responses are of another model" in note.message for note in weighed.notes)


@pytest.mark.parametrize("reply", [refuse(400), hang_up, answer(choice("yes", logprobs=False))])
def test_a_server_that_dies_in_the_middle_leaves_what_was_drawn_and_graded(
    server: Server, tmp_path: Path, reply: Reply
) -> None:
    server.replies = [*[answer(choice("yes"))] * 11, reply]
    with pytest.raises(BackendError):
        build(tmp_path / "b", client(server, tries=2))
    rows = load(tmp_path / "b", "b").responses
    assert len(rows) == 22
    assert {row.grade for row in rows} == {1.0}
    server.replies = [answer(choice("yes"))]
    assert build(tmp_path / "b", client(server)).drawn == 18


def test_many_requests_are_under_way_at_once(server: Server) -> None:
    together = threading.Barrier(4, timeout=10)

    def wait(made: Server, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        together.wait()
        answer(choice(request["messages"][0]["content"]))(made, handler, request)

    server.replies = [wait]
    asked = [[Turn("user", f"question {i}")] for i in range(4)]
    rows = client(server, concurrency=4).generate(asked, SETTINGS)
    assert [row[0].text for row in rows] == [turns[0].content for turns in asked]
