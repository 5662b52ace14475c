"""``pmpo doctor --validity``, what later reports cite of it, and ``pmpo rank`` by a bank."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repo

PROMPT = "prompts/spam.prompt.yml"
BANK = "prompts/spam.responses.jsonl"
BUILD = ("--per-fixture", "6", "--max-new-tokens", "6", "--grader", "contains")


@pytest.fixture
def built(repo: Repo, pmpo: Callable[..., Any]) -> Repo:
    """A repository with a bank whose grades differ from prompt to prompt, committed."""
    assert pmpo("bank", "build", PROMPT, *BUILD).code == 0
    regrade(repo, BANK, lambda proposal, number: float((number + proposal) % 3 == 0))
    repo.commit("bank")
    return repo


def regrade(repo: Repo, bank: str, grade: Callable[[int, int], float]) -> None:
    """Give every response a grade by the number of its proposal and its own."""
    proposals: list[str] = []
    lines = []
    for number, line in enumerate((repo.path / bank).read_text("utf-8").splitlines()):
        row = json.loads(line)
        if row.get("kind") == "proposal":
            proposals.append(row["digest"])
        else:
            row |= {"grade": grade(proposals.index(row["proposal"]), number), "grader": "given"}
        lines.append(json.dumps(row))
    repo.write(bank, "\n".join(lines) + "\n")


def test_without_a_bank_there_is_nothing_to_measure_with(repo: Repo, pmpo) -> None:
    done = pmpo("doctor", "--validity")
    assert done.code == 0
    assert "validity: no prompt has a response bank to measure with; pmpo bank build PROMPT makes one" in done.out


def test_it_measures_the_bank_and_the_metric_that_would_judge_without_it(built: Repo, pmpo) -> None:
    done = pmpo("doctor", "--validity")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"validity of {PROMPT} [fake]: "))
    assert lines[at + 1].startswith("  response-bank: left-out prompts: ")
    assert "accuracy off by 0." in lines[at + 1]
    assert lines[at + 2].startswith("  cross-entropy: ")
    assert "of 3 equal pairs called different" in lines[at + 2] or "differences point" in lines[at + 2]
    assert lines[at + 3] == "  with 3 prompts in the bank these figures are coarse: 4 say more"
    assert lines[-1] == "reports of later runs on this machine cite these figures"


def test_a_prompt_that_answers_better_is_found_to_and_by_how_much_the_proxy_agrees(built: Repo, pmpo) -> None:
    """The first prompt's responses are all right, the others' all wrong: every pair with it differs."""
    regrade(built, BANK, lambda proposal, number: float(proposal == 0))
    out = pmpo("doctor", "--validity").out
    assert "of 2 differences point the right way" in next(line for line in out.splitlines() if "cross-entropy:" in line)


def test_a_later_report_cites_it_with_its_date(built: Repo, pmpo) -> None:
    built.improve()
    before = pmpo("check", PROMPT, "--json", "before.json")
    assert "measured here" not in before.out
    pmpo("doctor", "--validity")
    after = pmpo("check", PROMPT, "--json", "after.json", "--html", "out.html", "--markdown", "out.md")
    cited = f"response-bank on 1 prompt with a bank, {date.today().isoformat()}: "
    assert f"measured here: {cited}" in after.out
    assert built.json("before.json")["info"]["validity"] is None
    assert built.json("after.json")["info"]["validity"].startswith(cited)
    for name in ("out.html", "out.md"):
        assert cited in (built.path / name).read_text("utf-8")


def test_what_is_cited_belongs_to_the_metric_that_judged(built: Repo, pmpo) -> None:
    pmpo("doctor", "--validity")
    built.improve()
    pmpo("check", PROMPT, "--metric", "cross-entropy", "--json", "out.json")
    assert built.json()["info"]["validity"].startswith("cross-entropy on 1 prompt with a bank, ")


def test_a_run_that_compares_nothing_cites_nothing(built: Repo, pmpo) -> None:
    pmpo("doctor", "--validity")
    pmpo("check", "--json", "out.json")
    assert built.json()["info"]["validity"] is None


def test_another_repository_is_not_cited(built: Repo, pmpo, clean_environment: Path) -> None:
    pmpo("doctor", "--validity")
    [file] = (clean_environment / "validity").iterdir()
    file.rename(file.with_stem("0" * 32))
    built.improve()
    pmpo("check", PROMPT, "--json", "out.json")
    assert built.json()["info"]["validity"] is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"p": 1}', b'{"p": {"response-bank": {"date": "x", "figures": {"differ": "a"}}}}']
)
def test_a_damaged_file_of_figures_counts_as_none(built: Repo, pmpo, clean_environment: Path, content: bytes) -> None:
    pmpo("doctor", "--validity")
    [file] = (clean_environment / "validity").iterdir()
    file.write_bytes(content)
    built.improve()
    done = pmpo("check", PROMPT, "--json", "out.json")
    assert done.code in (0, 1), done.err
    assert built.json()["info"]["validity"] is None
    assert "cite these figures" in pmpo("doctor", "--validity").out


def test_a_bank_of_one_prompt_says_what_it_takes(repo: Repo, pmpo) -> None:
    pmpo("bank", "build", PROMPT, *BUILD, "--from", "base")
    assert f"{BANK} was drawn from one prompt; it takes two, better three" in pmpo("doctor", "--validity").out


def test_a_broken_bank_is_told_with_its_line_and_the_others_are_measured(built: Repo, pmpo) -> None:
    pmpo("bank", "build", "prompts/greeting.md", *BUILD)
    built.write("prompts/greeting.responses.jsonl", "{broken\n{}\n")
    out = pmpo("doctor", "--validity").out
    assert "validity of prompts/greeting.md [fake]: not measured: prompts/greeting.responses.jsonl:1: " in out
    assert f"validity of {PROMPT} [fake]: what each metric says" in out


# rank


@pytest.fixture
def variants(repo: Repo, pmpo: Callable[..., Any]) -> Repo:
    """Two prompts that share fixtures and bank."""
    repo.write("prompts/ask.a.md", "Sort {{ t }} into spam or ham, spam or ham, spam, ham\n")
    repo.write("prompts/ask.b.md", "Sort {{ t }} into ham or spam, ham or spam, ham, spam\n")
    rows = [f"- {{id: f{i}, vars: {{t: message {i}}}, expected: {'spam' if i % 2 else 'ham'}}}\n" for i in range(8)]
    repo.write("prompts/ask.fixtures.yaml", "".join(rows))
    assert pmpo("bank", "build", "prompts/ask.a.md", *BUILD).code == 0
    assert pmpo("bank", "top-up", "prompts/ask.b.md", "--budget", "24").code == 0
    regrade(repo, "prompts/ask.responses.jsonl", lambda proposal, number: float(number % 2))
    return repo


def test_rank_uses_the_bank_the_variants_share_and_says_so(variants: Repo, pmpo) -> None:
    done = pmpo("rank")
    assert done.code == 0, done.err
    assert "8 fixtures under fake: response-bank in accuracy, higher is better\n" in done.out
    places = [line.split()[:2] for line in done.out.splitlines() if line.strip()[:1] in ("1", "2")]
    assert {name for _, name in places} == {"prompts/ask.a.md", "prompts/ask.b.md"}


def test_rank_by_a_metric_named_leaves_the_bank_alone(variants: Repo, pmpo) -> None:
    done = pmpo("rank", "--metric", "cross-entropy")
    assert "cross-entropy in nats/token, lower is better (a proxy for accuracy)" in done.out


def test_a_variant_the_bank_does_not_cover_has_no_place_and_the_cost_of_one_is_named(variants: Repo, pmpo) -> None:
    variants.write("prompts/ask.c.md", "qqqq zzzz {{ t }} wwww xxxx qqqq zzzz wwww xxxx\n")
    out = pmpo("rank").out
    assert "–  prompts/ask.c.md: the bank covers only " in out
    cost = r"a top-up of (\d+) responses \(about [\d,]+ tokens\) .*: pmpo bank top-up prompts/ask.c.md --budget \1"
    assert re.search(cost, out)


def test_variants_with_banks_of_their_own_are_ranked_by_a_proxy_and_told_why(variants: Repo, pmpo) -> None:
    (variants.path / "prompts/ask.responses.jsonl").rename(variants.path / "prompts/ask.a.responses.jsonl")
    out = pmpo("rank").out
    assert "cross-entropy in nats/token" in out
    assert "no bank is used, for these prompts do not share one: prompts/ask.a.responses.jsonl" in out


def test_a_bank_that_lacks_a_fixture_is_not_used_and_rank_says_so(variants: Repo, pmpo) -> None:
    text = (variants.path / "prompts/ask.fixtures.yaml").read_text()
    variants.write("prompts/ask.fixtures.yaml", text + "- {id: late, vars: {t: news}, expected: ham}\n")
    out = pmpo("rank").out
    assert "cross-entropy in nats/token" in out
    assert "the bank is not used: 1 fixture has no usable response" in out


# the form control, end to end


def test_a_significant_change_of_cross_entropy_is_told_apart_from_its_form(repo: Repo, pmpo) -> None:
    repo.worsen()
    done = pmpo("check", "--json", "out.json")
    [entry] = [e for e in repo.json()["entries"] if e["path"] == PROMPT]
    form, comparison = entry["verdict"]["form"], entry["verdict"]["comparison"]
    assert form["form"] + form["rest"] == pytest.approx(comparison["delta"])
    # two labels of three and four bytes over six fixtures, dealt the other way round, under base and head
    assert form["tokens"] == 2 * 3 * (3 + 4)
    assert "is form (the same on labels shuffled among the fixtures, 42 tokens)" in " ".join(done.out.split())


def test_labels_that_are_all_equal_have_no_control(repo: Repo, pmpo) -> None:
    text = (repo.path / PROMPT).read_text("utf-8").replace("expected: spam", "expected: ham")
    repo.write(PROMPT, text)
    repo.commit()
    repo.worsen()
    pmpo("check", "--json", "out.json")
    [entry] = [e for e in repo.json()["entries"] if e["path"] == PROMPT]
    assert entry["verdict"]["comparison"]["delta"] > 0
    assert entry["verdict"]["form"] is None


def test_the_control_is_cached_as_any_loss(repo: Repo, pmpo) -> None:
    repo.worsen()
    pmpo("check", "--json", "first.json")
    pmpo("check", "--json", "again.json")
    first, again = repo.json("first.json"), repo.json("again.json")
    assert again["info"]["tokens"] == 0
    assert [e["verdict"]["form"] for e in again["entries"]] == [e["verdict"]["form"] for e in first["entries"]]
