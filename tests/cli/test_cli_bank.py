"""``pmpo bank`` on the framework-free model: real files, real git, and every kind of bad bank."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo

PROMPT = "prompts/spam.prompt.yml"
BANK = "prompts/spam.responses.jsonl"
QUICK = ("--per-fixture", "3", "--max-new-tokens", "6", "--grader", "contains")
FIXTURES = 6


def rows(repo: Repo) -> list[dict[str, Any]]:
    """The responses in the bank file."""
    lines = [json.loads(line) for line in (repo.path / BANK).read_text("utf-8").splitlines()]
    return [line for line in lines if line.get("kind") != "proposal"]


def rewrite(repo: Repo, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Change every response line, or take it away."""
    kept = []
    for line in (repo.path / BANK).read_text("utf-8").splitlines():
        value = json.loads(line)
        value = value if value.get("kind") == "proposal" else change(value)
        kept += [] if value is None else [json.dumps(value)]
    repo.write(BANK, "\n".join(kept) + "\n")


@pytest.fixture
def built(repo: Repo, pmpo: Callable[..., Any]) -> Repo:
    """A repository with a bank of three prompts, committed."""
    assert pmpo("bank", "build", PROMPT, *QUICK).code == 0
    repo.commit("bank")
    return repo


def test_build_draws_grades_and_says_what_the_bank_holds(repo: Repo, pmpo) -> None:
    done = pmpo("bank", "build", PROMPT, *QUICK)
    assert done.code == 0
    assert "18 responses drawn, 18 kept" in done.out
    assert f"{BANK}: 18 responses; 6 of 6 fixtures have graded ones" in done.out
    assert [line.split(":")[0].strip() for line in done.out.splitlines()[2:5]] == ["base", "steps", "none"]
    assert {row["grader"] for row in rows(repo)} == {"contains"}
    assert len({row["model"] for row in rows(repo)}) == 1
    assert "18 of 18 responses" in done.err


def test_the_same_build_again_draws_nothing(built: Repo, pmpo) -> None:
    before = (built.path / BANK).read_bytes()
    assert "the bank has them all: nothing to draw" in pmpo("bank", "build", PROMPT, *QUICK).out
    assert (built.path / BANK).read_bytes() == before


def test_build_draws_from_an_earlier_version_by_its_git_ref(built: Repo, pmpo) -> None:
    built.improve()
    done = pmpo("bank", "build", PROMPT, *QUICK, "--from", "base,HEAD", "--per-fixture", "4")
    assert done.code == 0
    assert "no variant" not in done.err
    assert pmpo("bank", "build", PROMPT, *QUICK, "--from", "bsae").code == 2


def test_build_stops_at_the_token_budget_and_says_what_is_missing(repo: Repo, pmpo) -> None:
    done = pmpo("bank", "build", PROMPT, *QUICK, "--max-tokens", "1")
    assert "12 still missing: the token budget ran out" in done.out
    assert len(rows(repo)) == 6


@pytest.mark.parametrize("option", ["--per-fixture", "--max-new-tokens", "--budget", "--max-tokens"])
def test_a_number_below_one_is_refused(repo: Repo, pmpo, option: str) -> None:
    done = pmpo("bank", "build", PROMPT, option, "0")
    assert done.code == 2
    assert f"argument {option}: has to be 1 or more" in done.err


def test_show_without_a_bank_says_how_to_make_one(repo: Repo, pmpo) -> None:
    done = pmpo("bank", "show", PROMPT)
    assert done.code == 0
    assert done.out == f"{PROMPT} has no bank yet: pmpo bank build {PROMPT}\n"


def test_show_fetches_no_model_and_says_what_is_unknown_without_it(
    built: Repo, pmpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download would end in an error here: there is no index, and the hub is a port nobody listens on."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    built.edit(PROMPT, "{message: Lunch at noon, expected: ham}", "{message: Lunch at noon, expected: lunch}")
    for model in ("smollm2-135m", "org/absent"):
        done = pmpo("bank", "show", PROMPT, "--model", model)
        assert (done.code, done.err) == (0, "")
        assert "3 responses were graded by a label that has changed since" in done.out
        assert f"note: which responses are of another model than {model} is not known: the model " in done.out
        assert "is not on this machine yet" in done.out


def test_top_up_draws_from_the_changed_prompt_until_the_bank_covers_it(built: Repo, pmpo) -> None:
    assert "the bank covers this prompt: nothing to draw" in pmpo("bank", "top-up", PROMPT).out
    built.edit(PROMPT, "Is the message spam or ham? Answer spam or ham.", "qqqq zzzz qqqq zzzz. Answer spam or ham.")
    built.edit(PROMPT, "Examples of answers: spam, ham, spam, ham.", "wwww xxxx wwww xxxx wwww xxxx")
    done = pmpo("bank", "top-up", PROMPT)
    assert done.code == 0, done.err
    assert "6 responses were needed" in done.out
    assert "  head: 6 to 6 fixtures" in done.out
    assert len(rows(built)) == 24
    assert "nothing to draw" in pmpo("bank", "top-up", PROMPT).out


def test_top_up_spends_no_more_than_its_budget(built: Repo, pmpo) -> None:
    built.edit(PROMPT, "Is the message spam or ham? Answer spam or ham.", "qqqq zzzz qqqq zzzz. Answer spam or ham.")
    built.edit(PROMPT, "Examples of answers: spam, ham, spam, ham.", "wwww xxxx wwww xxxx wwww xxxx")
    assert pmpo("bank", "top-up", PROMPT, "--budget", "4").code == 0
    assert len(rows(built)) == 22


def test_a_top_up_draws_with_the_token_limit_of_the_bank(built: Repo, pmpo) -> None:
    pmpo("bank", "top-up", PROMPT, "--budget", "12")
    assert len(rows(built)) == 30
    assert max(len(row["response"]) for row in rows(built)) <= 6


def test_building_on_goes_on_with_the_token_limit_of_the_bank(built: Repo, pmpo) -> None:
    """A cut answer is likelier than the whole one that begins so: two limits in one bank would tilt the weights."""
    assert pmpo("bank", "build", PROMPT, "--per-fixture", "6", "--grader", "contains").code == 0
    assert len(rows(built)) == 36
    assert max(len(row["response"]) for row in rows(built)) <= 6


@pytest.mark.parametrize("action", ["top-up", "grade"])
def test_without_a_bank_the_command_that_makes_one_is_named(repo: Repo, pmpo, action: str) -> None:
    done = pmpo("bank", action, PROMPT)
    assert done.code == 2
    assert f"hint: pmpo bank build {PROMPT}" in done.err


def test_grade_replaces_the_grades_of_another_grader_and_says_so(built: Repo, pmpo) -> None:
    done = pmpo("bank", "grade", PROMPT, "--grader", "exact")
    assert "18 responses graded" in done.out
    assert "grades by contains were replaced by those of exact" in done.out
    assert {row["grader"] for row in rows(built)} == {"exact"}
    assert "0 responses graded" in pmpo("bank", "grade", PROMPT).out


def test_lines_others_add_while_it_grades_stay(built: Repo, pmpo) -> None:
    """The grader, a process of its own, stands for a run that tops the bank up meanwhile."""
    line = json.dumps({"fixture": "a", "response": "drawn meanwhile", "source": "written", "grade": 1.0})
    bank = str(built.path / BANK)
    body = f"open({bank!r}, 'a').write({line + chr(10)!r}) if not done else None\n    done.append(1)\n    return 1"
    built.write("mine.py", f"done = []\ndef grade(response, expected, vars):\n    {body}\n")
    done = pmpo("bank", "grade", PROMPT, "--grader", "mine:grade")
    assert "18 responses graded" in done.out
    assert {row["grader"] for row in rows(built) if row["response"] != "drawn meanwhile"} == {"function(mine:grade)"}
    assert len(rows(built)) == 19


def test_grades_that_people_gave_stay(built: Repo, pmpo) -> None:
    rewrite(built, lambda row: {**row, "grade": 0.25, "grader": "given"})
    assert "0 responses graded" in pmpo("bank", "grade", PROMPT, "--grader", "exact", "--anew").out
    assert {row["grade"] for row in rows(built)} == {0.25}


def test_a_changed_label_is_graded_anew(built: Repo, pmpo) -> None:
    built.edit(PROMPT, "{message: Lunch at noon, expected: ham}", "{message: Lunch at noon, expected: lunch}")
    assert "3 responses were graded by a label that has changed since" in pmpo("bank", "show", PROMPT).out
    assert "3 responses graded" in pmpo("bank", "grade", PROMPT).out


def test_a_file_with_several_prompts_or_models_asks_which_one_is_meant(repo: Repo, pmpo) -> None:
    repo.settings('models = ["fake", "./other.gguf"]\n')
    repo.write("pyproject.toml", '[tool.pmpo]\nmodels = ["fake", "fake@2"]\n')
    done = pmpo("bank", "show", PROMPT)
    assert done.code == 2
    assert "is judged under 2 models; name one" in done.err


# what the bank file may hold


def test_an_empty_bank_is_not_used_and_the_verdict_says_so(repo: Repo, pmpo) -> None:
    repo.write(BANK, "")
    repo.commit()
    repo.improve()
    done = pmpo("check", PROMPT)
    assert "cross-entropy is a proxy for accuracy" in done.out
    assert "the bank is not used: it holds no response" in done.out
    assert f"{BANK}: 0 responses" in pmpo("bank", "show", PROMPT).out


def test_a_bank_of_another_model_keeps_its_grades_and_its_log_probabilities_are_computed_again(
    built: Repo, pmpo
) -> None:
    """The numbers in the file do not count: no verdict moves when they are made up."""
    built.improve()
    pmpo("check", PROMPT, "--json", "own.json")
    rewrite(built, lambda row: {**row, "model": "another model, another tokenizer", "logprob": -1000.0})
    done = pmpo("check", PROMPT, "--json", "foreign.json")
    assert "18 responses are of another model: their grades are kept, their weights are nominal" in done.out
    own, foreign = (built.json(name)["entries"][0]["verdict"] for name in ("own.json", "foreign.json"))
    assert own["metric"]["name"] == "response-bank"
    assert own == foreign


def test_responses_cut_by_the_token_limit_are_counted(built: Repo, pmpo) -> None:
    cut = sum(row.get("finished") is False for row in rows(built))
    done = pmpo("bank", "show", PROMPT)
    assert cut > 18 / 5
    assert f"{cut} of 18 responses were cut by the token limit they were drawn with" in done.out


def test_fixtures_whose_responses_are_all_right_or_all_wrong_are_counted(built: Repo, pmpo) -> None:
    rewrite(built, lambda row: {**row, "grade": 1.0})
    done = pmpo("bank", "show", PROMPT)
    assert "0 of them right and wrong ones" in done.out
    assert "6 of 6 fixtures have responses of one grade only and cannot tell prompts apart" in done.out


def test_lines_that_are_there_twice_count_once(built: Repo, pmpo) -> None:
    built.write(BANK, (built.path / BANK).read_bytes() * 2)
    done = pmpo("bank", "show", PROMPT)
    assert f"{BANK}: 18 responses" in done.out
    assert "18 lines are there twice and count once" in done.out


def test_a_response_longer_than_the_context_is_named_by_its_line(built: Repo, pmpo) -> None:
    text = (built.path / BANK).read_text("utf-8")
    first = rows(built)[0]
    built.write(BANK, text + json.dumps({**first, "response": "x" * 70_000, "draw": 99, "grade": 1.0}) + "\n")
    done = pmpo("check", PROMPT)
    assert done.code == 2
    line = text.count("\n") + 1
    assert f"{BANK}:{line}: a response of the bank cannot be scored" in done.out
    assert "the model takes" in done.out
    assert "hint: take its line out of the bank" in done.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "not a line of JSON"),
        ('{"fixture": "a", "response": "", "source": "written"}', "'response' is empty"),
        ('{"fixture": "a", "response": "b", "grade": 2, "source": "written"}', "'grade' is a number from 0 to 1"),
        ('{"fixture": "a", "response": "b", "garde": 1}', "unknown key 'garde'"),
        ('{"fixture": "a", "response": "b"}', "a sampled response names the prompt it was drawn from"),
    ],
)
@pytest.mark.parametrize("command", ["check", "show", "top-up", "build", "grade"])
def test_a_broken_line_is_named_by_file_and_line(built: Repo, pmpo, line: str, message: str, command: str) -> None:
    number = (built.path / BANK).read_text("utf-8").count("\n") + 1
    built.write(BANK, (built.path / BANK).read_text("utf-8") + line + "\n")
    done = pmpo("check", PROMPT) if command == "check" else pmpo("bank", command, PROMPT)
    assert done.code == 2
    assert f"{BANK}:{number}: " in done.out + done.err
    assert message in done.out + done.err


# graders that fail


def grader(repo: Repo, body: str) -> None:
    """A grader of the user's own, in a module of the repository."""
    repo.write("mine.py", f"import time\ndef grade(response, expected, vars):\n    {body}\n")


def test_a_function_named_on_the_command_line_grades(repo: Repo, pmpo) -> None:
    grader(repo, "return (0.5, 'half')")
    done = pmpo("bank", "build", PROMPT, *QUICK[:4], "--grader", "mine:grade")
    assert done.code == 0, done.err
    assert {(row["grade"], row["grader"]) for row in rows(repo)} == {(0.5, "function(mine:grade)")}


def test_a_grader_that_raises_stops_the_run_and_what_was_drawn_is_kept(repo: Repo, pmpo) -> None:
    grader(repo, "raise KeyError('team')")
    done = pmpo("bank", "build", PROMPT, *QUICK[:4], "--grader", "mine:grade")
    assert done.code == 2
    assert f"{PROMPT}:" in done.err
    assert "raised KeyError: 'team'" in done.err
    assert "6 responses drawn before this error are kept in prompts/spam.responses.jsonl" in done.err
    assert [row.get("grade") for row in rows(repo)] == [None] * 6
    assert "6 responses have no grade; pmpo bank grade gives them one" in pmpo("bank", "show", PROMPT).out


def test_a_grader_that_hangs_is_stopped(repo: Repo, pmpo) -> None:
    grader(repo, "time.sleep(600)")
    repo.settings('[tool.pmpo.graders]\n"*" = {grader = "mine:grade", time_limit = 0.3}\n')
    repo.commit()
    done = pmpo("bank", "build", PROMPT, *QUICK[:4])
    assert done.code == 2
    assert "gave no answer within 0.3 s and was stopped" in done.err


def test_a_grader_that_disagrees_with_grades_it_gave_is_refused_until_the_bank_is_graded_anew(repo: Repo, pmpo) -> None:
    function = ("--grader", "mine:grade")
    grader(repo, "return 1")
    pmpo("bank", "build", PROMPT, *QUICK[:4], *function)
    grader(repo, "return 0")
    done = pmpo("bank", "build", PROMPT, "--per-fixture", "6", *function)
    assert done.code == 2
    assert "18 kept grades differ from what the grader gives now" in done.err
    assert f"{BANK}:2" in done.err
    assert "gives 0 now, the bank holds 1" in pmpo("bank", "grade", PROMPT, *function).out
    assert "18 responses graded" in pmpo("bank", "grade", PROMPT, *function, "--anew").out
    assert pmpo("bank", "build", PROMPT, *QUICK[:1], "4", *function).code == 0


def test_another_grader_than_the_banks_is_refused(built: Repo, pmpo) -> None:
    done = pmpo("bank", "build", PROMPT, "--per-fixture", "6", "--grader", "exact")
    assert done.code == 2
    assert "the bank was graded by contains, but new responses would be by exact" in done.err


def test_the_grader_of_the_bank_goes_on_grading_it(built: Repo, pmpo) -> None:
    assert pmpo("bank", "build", PROMPT, "--per-fixture", "6", "--max-new-tokens", "6").code == 0
    assert {row["grader"] for row in rows(built)} == {"contains"}


def test_an_unknown_grader_is_an_error_that_names_the_nearest(repo: Repo, pmpo) -> None:
    done = pmpo("bank", "build", PROMPT, "--grader", "exakt")
    assert done.code == 2
    assert "did you mean 'exact'?" in done.err


def test_preference_labels_need_a_grader(repo: Repo, pmpo) -> None:
    repo.write("prompts/greeting.fixtures.yaml", "- vars: {name: Ada}\n  chosen: hi\n  rejected: [no]\n")
    done = pmpo("bank", "build", "prompts/greeting.md")
    assert done.code == 2
    assert "preference pairs do not say which other responses are good" in done.err


# drawing from a server


@pytest.fixture
def server() -> Iterator[_Server]:
    """A chat server on loopback that answers ``spam`` with a log-probability, as long as it has patience."""
    pytest.importorskip("openai")
    with _Server(("127.0.0.1", 0), _Chat) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


class _Server(ThreadingHTTPServer):
    patience = 1_000
    logprobs = True

    @property
    def spec(self) -> str:
        return f"openai:big-model@http://127.0.0.1:{self.server_address[1]}/v1"


class _Chat(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.patience -= 1
        if self.server.patience < 0:
            self.send_error(400)
            return
        content = [{"token": "spam", "logprob": -0.125, "bytes": None, "top_logprobs": []}]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "spam"},
            "finish_reason": "stop",
            "logprobs": {"content": content} if self.server.logprobs else None,
        }
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice] * request["n"],
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_build_draws_from_a_server_and_the_gate_judges_by_what_it_drew(repo: Repo, pmpo, server: _Server) -> None:
    done = pmpo("bank", "build", PROMPT, "--per-fixture", "6", "--server", server.spec)
    assert done.code == 0, done.err
    assert "36 responses drawn, 36 kept, 50 % right" in done.out
    assert "  models: openai:big-model" in done.out
    assert {(row["model"], row["logprob"], row["source"]) for row in rows(repo)} == {
        ("openai:big-model", -0.125, "sampled")
    }
    assert "nothing to draw" in pmpo("bank", "build", PROMPT, "--per-fixture", "6", "--server", server.spec).out
    repo.commit()
    repo.improve()
    out = pmpo("check", PROMPT, "--json", "out.json").out
    assert "36 responses are of another model: their grades are kept, their weights are nominal" in out
    assert repo.json()["entries"][0]["verdict"]["metric"]["name"] == "response-bank"


def test_a_server_that_gives_up_in_the_middle_leaves_what_it_answered(repo: Repo, pmpo, server: _Server) -> None:
    server.patience = 8
    done = pmpo("bank", "build", PROMPT, "--per-fixture", "6", "--server", server.spec)
    assert done.code == 2
    assert "openai:big-model at http://127.0.0.1:" in done.err
    assert "answered 400" in done.err
    assert "16 responses drawn before this error are kept in prompts/spam.responses.jsonl" in done.err
    server.patience = 1_000
    assert "20 responses drawn" in pmpo("bank", "build", PROMPT, "--per-fixture", "6", "--server", server.spec).out


def test_a_server_without_log_probabilities_is_refused_with_a_hint(repo: Repo, pmpo, server: _Server) -> None:
    server.logprobs = False
    done = pmpo("bank", "build", PROMPT, "--server", server.spec)
    assert done.code == 2
    assert "tells no log-probabilities, so nothing can be drawn from it" in done.err
    assert "hint: a server that answers logprobs=true is needed" in done.err
    assert not (repo.path / BANK).exists()


@pytest.mark.parametrize("spec", ["localhost:8000", "openai:m@ftp://127.0.0.1/v1"])
def test_what_names_no_server_is_an_error(repo: Repo, pmpo, spec: str) -> None:
    done = pmpo("bank", "build", PROMPT, "--server", spec)
    assert done.code == 2
    assert f"{spec!r} names no server" in done.err
