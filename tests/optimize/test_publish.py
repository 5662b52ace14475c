"""Pull requests: against a mock that GitHub's own published OpenAPI description drives, and a stand-in for gh."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from markdown_it import MarkdownIt

from pytest_pmpo.errors import ProposalError
from pytest_pmpo.optimize.publish import (
    PullRequestText,
    Remote,
    api_url,
    detect_service,
    gitlab_options,
    open_on_github,
    parse_remote,
)

DESCRIPTION: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "github-pulls.openapi.json").read_text())
REMOTE = Remote("github.com", "octo-org/octo-repo")
TEXT = PullRequestText("main", "pmpo/triage", "Improve triage", "Report.")


class Mock:
    """Answers as the description says: its paths and methods alone, bodies that fit its schema, its own examples."""

    def __init__(self, rights: str = "all") -> None:
        jsonschema = pytest.importorskip("jsonschema")
        self.pulls: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []
        self.rights = rights
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                url = urlsplit(self.path)
                operation, parameters = outer.find(self.command, url.path)
                outer.calls.append((self.command, url.path))
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                if "requestBody" in operation:
                    schema = operation["requestBody"]["content"]["application/json"]["schema"]
                    jsonschema.validate(body, schema)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                allowed = {outer.resolve(p)["name"] for p in operation["parameters"]}
                assert set(query) <= allowed, query
                status, answer = outer.answer(operation["operationId"], query, body, parameters, self.headers)
                assert str(status) in operation["responses"] or status == 401
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_PATCH(self) -> None:
                self._serve()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.environ = {
            "GITHUB_TOKEN": "secret-token",
            "GITHUB_API_URL": f"http://127.0.0.1:{self.http.server_port}",
            "PATH": "",
        }

    def resolve(self, node: dict[str, Any]) -> Any:
        if "$ref" not in node:
            return node
        found: Any = DESCRIPTION
        for part in node["$ref"][2:].split("/"):
            found = found[part]
        return found

    def find(self, method: str, path: str) -> tuple[dict[str, Any], dict[str, str]]:
        for template, operations in DESCRIPTION["paths"].items():
            match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), path)
            if match and method.lower() in operations:
                return operations[method.lower()], match.groupdict()
        raise AssertionError(f"GitHub has no {method} {path}")

    def example(self, operation: str) -> Any:
        for operations in DESCRIPTION["paths"].values():
            for described in operations.values():
                if described["operationId"] == operation:
                    for code in ("200", "201"):
                        if code in described["responses"]:
                            examples = described["responses"][code]["content"]["application/json"]["examples"]
                            return self.resolve(next(iter(examples.values())))["value"]
        raise AssertionError(operation)

    def answer(self, operation: str, query: Any, body: Any, parameters: Any, headers: Any) -> tuple[int, Any]:
        if headers["authorization"] != "token secret-token":
            return 401, {"message": "Bad credentials"}
        if self.rights == "none" and operation != "pulls/list":
            return 403, {"message": "Resource not accessible by integration"}
        if operation == "pulls/list":
            return 200, [p for p in self.pulls if query["head"] == f"octo-org:{p['head']['ref']}"]
        if operation == "pulls/create":
            if body["head"] == "never-pushed":
                return 422, {"message": "Validation Failed", "errors": [{"field": "head", "code": "invalid"}]}
            number = 1000 + len(self.pulls)
            made = {
                **self.example(operation),
                "number": number,
                "url": f"{self.environ['GITHUB_API_URL']}/repos/octo-org/octo-repo/pulls/{number}",
                "html_url": f"https://github.com/octo-org/octo-repo/pull/{number}",
                "title": body["title"],
                "body": body["body"],
            }
            made["head"] = {**made["head"], "ref": body["head"]}
            self.pulls.append(made)
            return 201, made
        found = next(p for p in self.pulls if str(p["number"]) == parameters["pull_number"])
        found.update(body)
        return 200, found


@pytest.fixture
def github() -> Iterator[Mock]:
    pytest.importorskip("github")
    mock = Mock()
    yield mock
    mock.http.shutdown()
    mock.http.server_close()


def test_a_pull_request_is_opened(github: Mock) -> None:
    opened = open_on_github(REMOTE, TEXT, github.environ)
    assert (opened.url, opened.updated) == ("https://github.com/octo-org/octo-repo/pull/1000", False)
    assert [(p["title"], p["body"], p["head"]["ref"]) for p in github.pulls] == [
        ("Improve triage", "Report.", TEXT.head)
    ]


def test_an_open_one_is_updated_and_not_duplicated(github: Mock) -> None:
    open_on_github(REMOTE, TEXT, github.environ)
    again = PullRequestText("main", TEXT.head, "Improve triage more", "New report.")
    opened = open_on_github(REMOTE, again, github.environ)
    assert opened.updated
    assert [(p["title"], p["body"]) for p in github.pulls] == [("Improve triage more", "New report.")]


def test_another_branch_is_another_pull_request(github: Mock) -> None:
    open_on_github(REMOTE, TEXT, github.environ)
    open_on_github(REMOTE, PullRequestText("main", "pmpo/other", "Other", "Report."), github.environ)
    assert len(github.pulls) == 2


def test_a_body_longer_than_github_takes_is_cut_and_says_so(github: Mock) -> None:
    open_on_github(REMOTE, PullRequestText("main", "pmpo/x", "T", "x" * 100_000), github.environ)
    body = github.pulls[0]["body"]
    assert len(body) < 65_536
    assert "cut here" in body


def test_a_token_without_rights_says_which_it_needs_and_is_never_shown(github: Mock) -> None:
    github.rights = "none"
    with pytest.raises(ProposalError, match=r"refused .* \(403\): Resource not accessible") as caught:
        open_on_github(REMOTE, TEXT, github.environ)
    assert "pull-requests: write" in str(caught.value)
    assert "secret-token" not in str(caught.value)


def test_a_token_that_is_not_valid_is_said(github: Mock) -> None:
    with pytest.raises(ProposalError, match="401") as caught:
        open_on_github(REMOTE, TEXT, {**github.environ, "GITHUB_TOKEN": "wrong"})
    assert "not valid" in str(caught.value)


def test_a_branch_that_was_not_pushed_is_said(github: Mock) -> None:
    with pytest.raises(ProposalError, match="422"):
        open_on_github(REMOTE, PullRequestText("main", "never-pushed", "T", "B"), github.environ)


def test_a_host_that_cannot_be_reached_is_said() -> None:
    pytest.importorskip("github")
    environ = {"GITHUB_TOKEN": "t", "GITHUB_API_URL": "http://127.0.0.1:9", "PATH": ""}
    with pytest.raises(ProposalError, match="cannot be reached"):
        open_on_github(REMOTE, TEXT, environ)


def test_without_token_and_gh_there_is_no_way() -> None:
    with pytest.raises(ProposalError, match="no token and no gh"):
        open_on_github(REMOTE, TEXT, {"PATH": ""})


GH = """#!/bin/sh
echo "$@" >> "$GH_LOG"
case "$2" in
  list) cat "$GH_OPEN" 2>/dev/null ;;
  create) cat > "$GH_LOG.body"; echo "Creating pull request"; echo https://github.com/octo-org/octo-repo/pull/7 ;;
  edit) cat > "$GH_LOG.body" ;;
esac
[ "$2" != "$GH_FAILS" ] || { echo "HTTP 403: no rights" >&2; exit 1; }
"""


@pytest.fixture
def gh(tmp_path: Path) -> dict[str, str]:
    """A stand-in that writes down how it was called: the real one needs an account."""
    script = tmp_path / "bin" / "gh"
    script.parent.mkdir()
    script.write_text(GH)
    script.chmod(0o755)
    return {
        "PATH": f"{script.parent}:/usr/bin:/bin",
        "GH_LOG": str(tmp_path / "log"),
        "GH_OPEN": str(tmp_path / "open"),
        "GH_FAILS": "",
    }


def test_gh_is_used_where_there_is_no_token(gh: dict[str, str]) -> None:
    opened = open_on_github(REMOTE, TEXT, gh)
    assert opened.url == "https://github.com/octo-org/octo-repo/pull/7"
    calls = Path(gh["GH_LOG"]).read_text().splitlines()
    assert calls[1] == (
        "pr create --head pmpo/triage --base main --repo octo-org/octo-repo --title Improve triage --body-file -"
    )
    assert Path(gh["GH_LOG"] + ".body").read_text() == "Report."


def test_gh_updates_the_open_one(gh: dict[str, str]) -> None:
    Path(gh["GH_OPEN"]).write_text("https://github.com/octo-org/octo-repo/pull/5\n")
    opened = open_on_github(REMOTE, TEXT, gh)
    assert (opened.url, opened.updated) == ("https://github.com/octo-org/octo-repo/pull/5", True)
    assert " pr create" not in " " + Path(gh["GH_LOG"]).read_text()


def test_gh_that_fails_is_quoted(gh: dict[str, str]) -> None:
    with pytest.raises(ProposalError, match="gh pr create failed: HTTP 403: no rights"):
        open_on_github(REMOTE, TEXT, {**gh, "GH_FAILS": "create"})


@pytest.mark.parametrize(
    ("url", "host", "name"),
    [
        ("git@github.com:octo-org/octo-repo.git", "github.com", "octo-org/octo-repo"),
        ("https://github.com/octo-org/octo-repo", "github.com", "octo-org/octo-repo"),
        ("https://x-access-token:abc@github.com/octo-org/octo-repo.git", "github.com", "octo-org/octo-repo"),
        ("ssh://git@git.example.org:2222/group/sub/repo.git", "git.example.org", "group/sub/repo"),
        ("http://127.0.0.1:8080/owner/repository.git/", "127.0.0.1", "owner/repository"),
    ],
)
def test_remotes_are_read_in_every_spelling(url: str, host: str, name: str) -> None:
    assert parse_remote(url) == Remote(host, name)


@pytest.mark.parametrize("url", ["/srv/git/repo.git", "../repo", "file:///srv/repo.git", "https://secret@host/"])
def test_a_remote_without_a_host_is_refused_and_secrets_stay_hidden(url: str) -> None:
    with pytest.raises(ProposalError, match="names no host") as caught:
        parse_remote(url)
    assert "secret" not in str(caught.value)


def test_where_the_interface_lies() -> None:
    assert api_url(REMOTE, {}) == "https://api.github.com"
    assert api_url(Remote("git.example.org", "a/b"), {}) == "https://git.example.org/api/v3"
    assert api_url(REMOTE, {"GITHUB_API_URL": "https://ghe/api/"}) == "https://ghe/api"


def test_gitlab_is_known_by_its_ci_or_host() -> None:
    assert detect_service(REMOTE, {}) == "github"
    assert detect_service(REMOTE, {"GITLAB_CI": "true"}) == "gitlab"
    assert detect_service(Remote("gitlab.example.org", "a/b"), {}) == "gitlab"


def described(body: str) -> str:
    """The description as GitLab makes it of the push option: ``description.gsub('\\n', "\\n")``."""
    [said] = [o for o in gitlab_options(replace(TEXT, body=body)) if o.startswith("merge_request.description=")]
    assert "\n" not in said
    return said.partition("=")[2].replace("\\n", "\n")


def test_push_options_hold_no_line_breaks() -> None:
    options = gitlab_options(PullRequestText("main", "b", "A\ntitle", "Body\n\nof\rlines"))
    assert not any(mark in option for option in options for mark in "\n\r")
    assert "merge_request.title=A title" in options
    assert described("Body\n\nof\rlines") == "Body\n\nof lines"


def test_a_merge_requests_description_is_the_first_section_of_the_report() -> None:
    """A heading is a heading and a table a table; what would need a fenced block is left to the report."""
    body = "## Won\n\nBecause.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n### What changed\n\nuser\n\n```diff\n+x\n```\n"
    parsed = MarkdownIt("commonmark").enable("table").parse(described(body))
    inline = [token.content for token in parsed if token.type == "inline"]
    assert inline == ["Won", "Because.", "a", "b", "1", "2"]
    assert [token.tag for token in parsed if token.type in ("heading_open", "table_open")] == ["h2", "table"]


def test_a_long_description_ends_with_a_whole_line() -> None:
    body = "".join(f"Line {number} of many.\n" for number in range(1000))
    lines = described(body).split("\n")
    assert lines == body.split("\n")[: len(lines)]
    assert 100 < len(lines) < 1000


def test_a_report_that_begins_with_code_has_no_description() -> None:
    """An empty value would mean ``true`` to GitLab."""
    assert len(gitlab_options(replace(TEXT, body="```\ncloses #1\n```\n"))) == 3


def test_a_name_cannot_leave_its_code_by_what_gitlab_takes_for_a_line_break() -> None:
    """Two characters, a backslash and an n, in a fixture's name."""
    said = described("The new prompt shows `a\\n\\n@all closes #1\\\\n/merge`.\n")
    assert said.count("\n") == 0
    [inline] = [token for token in MarkdownIt("commonmark").parse(said) if token.type == "inline"]
    assert [t.content for t in inline.children or () if t.type == "text"] == ["The new prompt shows ", "."]


@pytest.mark.parametrize(
    "hostile",
    ["```diff\n[-closes #1-]{+@all+}\n```\n", f"{'x' * 3900}\n`{'y' * 60} closes #1 @all {'z' * 60}`\n"],
    ids=["a fenced block", "a code span at the limit"],
)
def test_a_merge_requests_description_opens_no_code_that_it_does_not_close(hostile: str) -> None:
    """What a prompt says stands in code; cut in two it would close issues and notify people."""
    text = PullRequestText("main", "b", "A title", f"Seen.\n\n{hostile}More.\n" + "word " * 400)
    said = next(option for option in gitlab_options(text) if option.startswith("merge_request.description="))
    assert "Seen." in said
    assert "closes" not in said
    assert "@all" not in said
    assert "`" not in said
