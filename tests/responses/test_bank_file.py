"""The bank file: what is read comes back as it was, and what is wrong is named with its line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo import responses
from pytest_pmpo.errors import BankError, Location
from pytest_pmpo.prompts.model import Message, Prompt, Segment, Variable
from pytest_pmpo.responses.bank import append, bank_names, read_bank, replace_all
from pytest_pmpo.responses.lines import parse_line, proposal_line, response_line
from pytest_pmpo.responses.records import Proposal, Response

SCHEMA = json.loads((Path(responses.__file__).parent / "responses.schema.json").read_text(encoding="utf-8"))
PROMPT = Prompt(
    "p.prompt.yml",
    "github",
    "jinja2",
    (Message("system", (Segment("Be "), Segment("brief."))), Message("user", (Segment("{{ q }}"),))),
    "00",
    inputs={"q": Variable("q"), "tone": Variable("tone", "dry", True), "must": Variable("must", required=True)},
    partials={"style": "plain"},
    metadata={"trim": "blank-lines", "author": "someone"},
)
PROPOSAL = Proposal("base", PROMPT)
RESPONSE = Response(
    "f1", "The answer is 4.", 1.0, "number", PROPOSAL.digest, "ab", "cd", -12.5, "model1", "2026-11-24", draw=3
)


def lines(*records: object) -> bytes:
    texts = [proposal_line(r) if isinstance(r, Proposal) else response_line(r) for r in records]  # type: ignore[arg-type]
    return "".join(text + "\n" for text in texts).encode()


def test_a_proposal_comes_back_as_a_prompt_the_model_sees_the_same() -> None:
    bank = read_bank("p.responses.jsonl", lines(PROPOSAL))
    (proposal,) = bank.proposals.values()
    assert proposal.digest == PROMPT.template_digest
    assert [m.text for m in proposal.prompt.messages] == ["Be brief.", "{{ q }}"]
    assert proposal.prompt.inputs["must"].required
    assert proposal.prompt.metadata == {"trim": "blank-lines"}


def test_a_response_comes_back_as_it_was() -> None:
    (back,) = read_bank("p.responses.jsonl", lines(RESPONSE)).responses
    assert replace(back, location=None) == RESPONSE


@given(st.text(min_size=1, alphabet=st.characters()), st.text(min_size=1, alphabet=st.characters()))
def test_any_text_survives_the_file(text: str, fixture: str) -> None:
    response = replace(RESPONSE, text=text, fixture=fixture)
    line = response_line(response)
    assert "\n" not in line
    (back,) = read_bank("b", line.encode() + b"\n").responses
    assert (back.text, back.fixture) == (text, fixture)


@given(
    st.builds(
        Response,
        fixture=st.text(min_size=1),
        text=st.text(min_size=1),
        grade=st.none() | st.floats(0, 1),
        grader=st.none() | st.text(min_size=1),
        proposal=st.text(min_size=1),
        logprob=st.none() | st.floats(-1e5, 0),
        date=st.none() | st.dates(date(1900, 1, 1)).map(str),
        origin=st.sampled_from(["sampled", "production", "written"]),
        finished=st.booleans(),
        draw=st.none() | st.integers(),
    )
)
def test_what_is_written_fits_the_published_schema(response: Response) -> None:
    jsonschema.validate(json.loads(response_line(response)), SCHEMA)
    jsonschema.validate(json.loads(proposal_line(PROPOSAL)), SCHEMA)


def test_a_person_may_write_a_line_with_four_keys() -> None:
    line = b'{"fixture": "f1", "response": "4", "grade": 1, "source": "written"}\n'
    (response,) = read_bank("b", line).responses
    assert (response.origin, response.grade, response.proposal) == ("written", 1.0, None)
    jsonschema.validate(json.loads(line), SCHEMA)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not a line of JSON"),
        ("[1]", "a JSON object"),
        ('{"fixture": "f", "source": "written"}', "'response' is missing"),
        ('{"fixture": "", "response": "x", "source": "written"}', "'fixture' is empty"),
        ('{"fixture": "f", "response": "x"}', "names the prompt"),
        ('{"fixture": "f", "response": "x", "source": "writen"}', "one of sampled, production, written"),
        ('{"fixture": "f", "response": "x", "source": "written", "grade": 2}', "a number from 0 to 1"),
        ('{"fixture": "f", "response": "x", "source": "written", "grade": true}', "a number from 0 to 1"),
        ('{"fixture": "f", "response": "x", "source": "written", "grade": NaN}', "NaN is no number"),
        ('{"fixture": "f", "response": "x", "source": "written", "grade": 1' + "0" * 400 + "}", "a number from 0 to 1"),
        ('{"fixture": "f", "response": "x", "source": "written", "logprob": 1e999}', "at most 0"),
        ('{"fixture": "f", "response": "x", "source": "written", "date": "yesterday"}', "ISO date"),
        ('{"fixture": "f", "response": "x", "source": "written", "garde": 1}', "did you mean 'grade'"),
        ('{"fixture": "f", "fixture": "g", "response": "x"}', "a key is there twice"),
        ('{"kind": "propsal"}', "unknown kind"),
        ('{"kind": "proposal", "messages": [{"role": "user", "text": "a"}], "digest": "00"}', "the line was edited"),
        ('{"kind": "proposal", "messages": [{"role": "boss", "text": "a"}]}', "is no role"),
        ('{"kind": "proposal", "messages": [{"role": "user"}]}', "a 'role' and a 'text'"),
        ('{"kind": "proposal", "schema": 9, "messages": []}', "schema 9 is not known"),
        ("[" * 100_000, "not a line of JSON"),
    ],
)
def test_a_wrong_line_is_named_with_its_place(line: str, words: str) -> None:
    data = lines(PROPOSAL, RESPONSE) + line.encode() + b"\n"
    with pytest.raises(BankError, match=words) as caught:
        read_bank("p.responses.jsonl", data)
    assert str(caught.value.location) == "p.responses.jsonl:3"


def test_bytes_that_are_no_utf8_are_named_with_their_line() -> None:
    with pytest.raises(BankError, match="not UTF-8"):
        read_bank("b", b'{"fixture": "\xff"}\n')


def test_a_torn_last_line_is_passed_over_and_nothing_else_is_lost() -> None:
    data = lines(PROPOSAL, RESPONSE) + lines(replace(RESPONSE, draw=4))[:40]
    bank = read_bank("b", data)
    assert len(bank.responses) == 1
    assert [str(note.location) for note in bank.notes] == ["b:3"]


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_adding_after_a_torn_line_cuts_it_off_first(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "p.responses.jsonl"
    whole = lines(PROPOSAL, RESPONSE)
    file.write_bytes(whole + lines(replace(RESPONSE, draw=4))[:cut])
    notes = append(file, [replace(RESPONSE, draw=5)])
    assert [note.message for note in notes] == ["a torn last line was cut off"]
    assert file.read_bytes() == whole + lines(replace(RESPONSE, draw=5))


def test_a_last_line_with_a_mistake_in_it_is_named_and_not_cut_off(tmp_path: Path) -> None:
    """Somebody edited it by hand, without a line break at the end."""
    file = tmp_path / "p.responses.jsonl"
    file.write_bytes(b'{"kind": "response", "gread": 1}')
    with pytest.raises(BankError, match=r"p\.responses\.jsonl:1"):
        append(file, [RESPONSE])
    assert file.read_bytes() == b'{"kind": "response", "gread": 1}'


def test_adding_after_a_whole_line_without_a_line_break_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    file.write_bytes(lines(RESPONSE)[:-1])
    assert append(file, [replace(RESPONSE, draw=4)]) == ()
    assert [response.draw for response in read_bank("b", file.read_bytes()).responses] == [3, 4]


def test_a_second_draw_of_the_same_text_counts_and_a_line_that_is_there_twice_does_not() -> None:
    bank = read_bank("b", lines(RESPONSE, RESPONSE, replace(RESPONSE, draw=4)))
    assert [response.draw for response in bank.responses] == [3, 4]
    assert bank.notes[0].message.startswith("1 lines are there twice")


def test_a_written_text_that_is_there_twice_counts_once() -> None:
    written = Response("f1", "4", 1.0, origin="written")
    assert len(read_bank("b", lines(written, written)).responses) == 1


def test_two_branches_may_add_a_draw_of_the_same_number() -> None:
    bank = read_bank("b", lines(RESPONSE, replace(RESPONSE, text="5")))
    assert [response.text for response in bank.responses] == [RESPONSE.text, "5"]
    assert bank.notes == ()


def test_two_grades_of_one_response_are_named_and_the_first_counts() -> None:
    bank = read_bank("b", lines(RESPONSE, replace(RESPONSE, grade=0.0)))
    assert [response.grade for response in bank.responses] == [1.0]
    assert str(bank.notes[0].location) == "b:2"
    assert "another grade" in bank.notes[0].message


def test_a_draw_that_was_graded_later_takes_the_grade() -> None:
    bank = read_bank("b", lines(replace(RESPONSE, grade=None), RESPONSE))
    assert [response.grade for response in bank.responses] == [1.0]


def test_an_empty_file_is_an_empty_bank() -> None:
    assert read_bank("b", b"").responses == ()
    assert read_bank("b", b"\n\n").notes == ()


def test_replacing_leaves_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "p.responses.jsonl"
    append(file, [PROPOSAL, RESPONSE])
    replace_all(file, [PROPOSAL, replace(RESPONSE, grade=0.0)])
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert read_bank("b", file.read_bytes()).responses[0].grade == 0.0


def test_a_bank_that_cannot_be_written_is_a_bank_error(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="cannot be written"):
        append(tmp_path / "missing" / "p.responses.jsonl", [RESPONSE])
    with pytest.raises(BankError, match="cannot be written"):
        replace_all(tmp_path / "missing" / "p.responses.jsonl", [RESPONSE])


def test_a_default_json_does_not_know_is_refused_by_name() -> None:
    prompt = replace(PROMPT, inputs={"day": Variable("day", date(2026, 1, 1), True)})
    with pytest.raises(BankError, match=r"p\.prompt\.yml has a default"):
        proposal_line(Proposal("base", prompt))


def test_the_bank_lies_beside_the_prompt_under_its_name_less_one_or_two_suffixes() -> None:
    assert bank_names("a/triage.prompt.yml") == ("a/triage.prompt.responses.jsonl", "a/triage.responses.jsonl")
    assert bank_names("x.prompt") == ("x.responses.jsonl",)


def test_parse_line_names_no_line_it_was_not_given() -> None:
    assert isinstance(parse_line(response_line(RESPONSE), Location("b")), Response)
