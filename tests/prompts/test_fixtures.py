"""Fixture files become fixtures, each with its line and one checked label; what is wrong is an error with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_pmpo.errors import FixtureError, Location
from pytest_pmpo.prompts.fixtures import Row, check_unique, flat_row, parse_rows, read_fixtures, read_rows
from pytest_pmpo.prompts.model import Choice, Expected, Fixture, Preference, Turn
from pytest_pmpo.prompts.rowmodel import RowModel

EXAMPLES = Path(__file__).parents[3] / "shared" / "data"


def read(name: str, text: str | bytes) -> tuple[Fixture, ...]:
    return read_fixtures(name, text if isinstance(text, bytes) else text.encode())


def one(text: str, name: str = "a.yaml") -> Fixture:
    (found,) = read(name, text)
    return found


def failure(text: str | bytes, name: str = "a.yaml") -> FixtureError:
    with pytest.raises(FixtureError) as caught:
        read(name, text)
    assert caught.value.location is not None
    return caught.value


def line(error: FixtureError) -> int | None:
    assert error.location is not None
    return error.location.line


class TestRows:
    FULL: ClassVar[dict[str, Any]] = {
        "id": "f1",
        "vars": {"text": "T", "n": 3},
        "expected": "yes",
        "history": [{"role": "user", "content": "h"}, {"role": "model", "content": "i"}],
        "group": "g",
        "weight": 2.5,
        "tags": ["a", "b"],
        "split": "heldout",
    }

    def expected(self, path: str, at: int) -> Fixture:
        return Fixture(
            "f1",
            {"text": "T", "n": 3},
            Expected("yes"),
            (Turn("user", "h"), Turn("assistant", "i")),
            "g",
            2.5,
            ("a", "b"),
            "heldout",
            Location(path, at),
        )

    def test_every_key_is_read_alike_from_every_syntax(self) -> None:
        row = json.dumps(self.FULL)
        assert read("a.jsonl", row) == (self.expected("a.jsonl", 1),)
        assert read("a.json", f"[\n{row}\n]") == (self.expected("a.json", 2),)
        assert read("a.json", f'{{"fixtures":\n [{row}]}}') == (self.expected("a.json", 2),)
        assert read("a.yaml", f"- {row}") == (self.expected("a.yaml", 1),)
        assert read("a.yml", f"fixtures:\n- {row}") == (self.expected("a.yml", 2),)

    def test_csv_has_the_same_keys_and_variables_in_the_other_columns(self) -> None:
        history = json.dumps(self.FULL["history"]).replace('"', '""')
        text = f'id,text,n,expected,history,group,weight,tags,split\nf1,T,3,yes,"{history}",g,2.5,"a, b",heldout\n'
        (found,) = read("a.csv", text)
        assert found.vars == {"text": "T", "n": "3"}
        assert (found.id, found.label, found.history[1], found.group, found.weight, found.tags, found.split) == (
            ("f1", Expected("yes"), Turn("assistant", "i"), "g", 2.5, ("a", "b"), "heldout")
        )

    def test_an_empty_file_has_no_fixtures(self) -> None:
        for name in ("a.yaml", "a.jsonl", "a.csv"):
            assert read(name, "") == ()
            assert read(name, "\n\n") == ()
        assert read("a.yaml", "[]") == read("a.json", "[]") == read("a.csv", "text,expected\n") == ()

    def test_defaults_fill_in_what_a_row_does_not_say(self) -> None:
        rows = '[{"expected": "a", "vars": {"x": 2}}, {"expected": "b", "group": "own"}]'
        for name, text in (
            (
                "a.json",
                f'{{"defaults": {{"group": "g", "choices": ["a", "b"], "vars": {{"x": 1, "y": 1}}}},'
                f'"fixtures": {rows}}}',
            ),
            ("a.yaml", f"defaults: {{group: g, choices: [a, b], vars: {{x: 1, y: 1}}}}\nfixtures: {rows}"),
        ):
            first, second = read(name, text)
            assert (first.vars, first.group, first.label) == ({"x": 2, "y": 1}, "g", Choice(("a", "b"), 0))
            assert (second.vars, second.group, second.label) == ({"x": 1, "y": 1}, "own", Choice(("a", "b"), 1))

    def test_defaults_cannot_set_an_id(self) -> None:
        assert "id" in failure("defaults: {id: x}\nfixtures: []").message

    @pytest.mark.parametrize("text", ["a: 1\n", "fixtures: []\nfixture: []\n", '{"fixtures": [], "x": 1}'])
    def test_other_keys_at_the_top_are_refused(self, text: str) -> None:
        assert "unknown key" in failure(text).message
        if text.startswith("{"):
            assert "unknown key" in failure(text, "a.json").message

    def test_a_byte_order_mark_is_no_text(self) -> None:
        for name, text in (("a.yaml", "- expected: a"), ("a.json", '[{"expected": "a"}]'), ("a.csv", "expected\na")):
            assert read(name, b"\xef\xbb\xbf" + text.encode())[0].label == Expected("a")

    def test_windows_line_ends(self) -> None:
        assert one("- vars:\r\n    x: a\r\n  expected: b\r\n").vars == {"x": "a"}
        assert [f.location for f in read("a.jsonl", '{"expected": "a"}\r\n\r\n{"expected": "b"}\r\n')] == [
            Location("a.jsonl", 1),
            Location("a.jsonl", 3),
        ]
        assert read("a.csv", "x,expected\r\na,b\r\n")[0].vars == {"x": "a"}


class TestText:
    @pytest.mark.parametrize(
        "written", ["yes", "no", "on", "1.50", "007", "true", "1:30", "2026-01-31", "1e5", "0x1F", "~x"]
    )
    def test_a_label_is_the_text_in_the_file(self, written: str) -> None:
        assert one(f"- expected: {written}").label == Expected(written)
        assert one(f"- {{chosen: {written}, rejected: other}}").label == Preference((written,), ("other",))
        assert one(f"- {{choices: [a, {written}], expected: {written}}}").label == Choice(("a", written), 1)

    @pytest.mark.parametrize("written", ["true", "false", "1.50", "7", "1e5", "-0.0"])
    def test_a_label_in_json_is_the_text_in_the_file(self, written: str) -> None:
        for name, text in (("a.json", f'[{{"expected": {written}}}]'), ("a.jsonl", f'{{"expected": {written}}}')):
            assert read(name, text)[0].label == Expected(written)

    def test_ids_groups_and_tags_are_text_too(self) -> None:
        found = one("- {id: 007, group: 1.0, tags: [yes, 2], expected: a}")
        assert (found.id, found.group, found.tags) == ("007", "1.0", ("yes", "2"))

    def test_variables_keep_their_types_but_nothing_is_respelt(self) -> None:
        typed = "i: 3, t: true, n: null, f: 0.5, l: [1, a], m: {k: 1}"
        text = "w: yes, z: 007, d: 2026-01-31, c: 1:30, p: 1.50, q: '1'"
        assert one(f"- vars: {{{typed}, {text}}}\n  expected: a").vars == {
            "i": 3,
            "t": True,
            "n": None,
            "f": 0.5,
            "l": [1, "a"],
            "m": {"k": 1},
            "w": "yes",
            "z": "007",
            "d": "2026-01-31",
            "c": "1:30",
            "p": "1.50",
            "q": "1",
        }

    def test_variables_of_json_keep_their_types_but_nothing_is_respelt(self) -> None:
        found = one('{"vars": {"i": 3, "t": true, "n": null, "f": 0.5, "p": 1.50}, "expected": "a"}', "a.jsonl")
        assert found.vars == {"i": 3, "t": True, "n": None, "f": 0.5, "p": "1.50"}

    @pytest.mark.parametrize("nothing", ["", "~", "null"])
    def test_nothing_is_not_given(self, nothing: str) -> None:
        assert "no label" in failure(f"- vars: {{}}\n  expected: {nothing}").message
        assert one(f"- expected: {nothing}\n  prefix: a").label == Expected("a", prefix=True)
        assert one("- expected: 'null'").label == Expected("null")

    def test_an_alias_and_a_merge_are_followed(self) -> None:
        first, second = read(
            "a.yaml", "- vars: &v {x: 1, y: 1}\n  expected: a\n- vars: {<<: *v, y: 2}\n  expected: a\n"
        )
        assert (first.vars, second.vars) == ({"x": 1, "y": 1}, {"x": 1, "y": 2})

    def test_a_row_may_come_from_a_format_with_numbers_but_not_with_a_boolean(self) -> None:
        here = Location("p.yml", 3)
        assert parse_rows([Row({"expected": 7}, here)])[0].label == Expected("7")
        with pytest.raises(FixtureError, match="boolean"):
            parse_rows([Row({"expected": True}, here)])


class TestLabels:
    @pytest.mark.parametrize(
        ("row", "label"),
        [
            ({"expected": "a"}, Expected("a")),
            ({"ideal": "a"}, Expected("a")),
            ({"expected_output": "a"}, Expected("a")),
            ({"ideal": ["a"]}, Expected("a")),
            ({"prefix": "a"}, Expected("a", prefix=True)),
            ({"expected": " a\n"}, Expected(" a\n")),
            ({"chosen": "a", "rejected": "b"}, Preference(("a",), ("b",))),
            ({"chosen": ["a", "b"], "rejected": ["c"]}, Preference(("a", "b"), ("c",))),
            ({"choices": ["a", "b"], "expected": "b"}, Choice(("a", "b"), 1)),
            ({"choices": ["a", "b"], "expected": "1"}, Choice(("a", "b"), 1)),
            ({"choices": ["a", "b"], "expected": 1}, Choice(("a", "b"), 1)),
            ({"choices": ["0", "2", "1"], "expected": "1"}, Choice(("0", "2", "1"), 2)),
            ({"choices": ["0", "2", "1"], "gold": 1}, Choice(("0", "2", "1"), 1)),
            ({"choices": ["a", "b"], "gold": "b"}, Choice(("a", "b"), 1)),
        ],
    )
    def test_each_kind_is_read(self, row: dict[str, Any], label: object) -> None:
        assert one(json.dumps(row), "a.jsonl").label == label

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({}, "no label"),
            ({"vars": {"x": 1}}, "no label"),
            ({"expected": ""}, "'expected' is empty"),
            ({"expected": " \n"}, "'expected' is empty"),
            ({"prefix": ""}, "'prefix' is empty"),
            ({"expected": ["a", "b"]}, "lists 2 answers"),
            ({"expected": []}, "lists 0 answers"),
            ({"expected": {"a": 1}}, "expected"),
            ({"expected": "a", "ideal": "b"}, "both give the right answer"),
            ({"expected": "a", "prefix": "b"}, "two labels"),
            ({"expected": "a", "chosen": "b", "rejected": "c"}, "two labels"),
            ({"choices": ["a", "b"], "expected": "a", "chosen": "b"}, "two labels"),
            ({"chosen": "a"}, "'rejected' is missing"),
            ({"rejected": "a"}, "'chosen' is missing"),
            ({"chosen": "a", "rejected": []}, "'rejected' is empty"),
            ({"chosen": "a", "rejected": ["b", ""]}, "'rejected' is empty"),
            ({"chosen": "a", "rejected": ["a"]}, "both chosen and rejected"),
            ({"choices": ["a", "b"]}, "needs one of 'expected' and 'gold'"),
            ({"choices": ["a", "b"], "expected": "a", "gold": 0}, "needs one of 'expected' and 'gold'"),
            ({"choices": ["a"], "expected": "a"}, "two answers or more"),
            ({"choices": ["a", "a"], "expected": "a"}, "two answers or more"),
            ({"choices": ["a", ""], "expected": "a"}, "'choices' is empty"),
            ({"choices": ["a", "b"], "expected": "c"}, "not one of the choices"),
            ({"choices": ["a", "b"], "expected": 2}, "not one of the choices"),
            ({"choices": ["a", "b"], "gold": -1}, "not one of the choices"),
            ({"gold": 1}, "there are none"),
        ],
    )
    def test_a_label_that_is_missing_empty_doubled_or_does_not_fit_is_an_error(
        self, row: dict[str, Any], message: str
    ) -> None:
        assert message in failure(json.dumps(row), "a.jsonl").message

    def test_a_choice_that_is_missed_by_a_letter_is_named(self) -> None:
        assert "'question'" in (failure("- {choices: [bug, question], expected: qestion}").hint or "")

    def test_a_variable_that_is_a_misspelt_label_is_named(self) -> None:
        assert "'expcted'" in (failure("text,expcted\na,b", "a.csv").hint or "")

    @pytest.mark.parametrize(("sign", "name"), [(";", "';'"), ("\t", "tabs")])
    def test_a_table_parted_by_other_signs_than_commas_says_so(self, sign: str, name: str) -> None:
        """As spreadsheets save them in half of Europe."""
        error = failure(sign.join(["text", "expected"]) + "\na,b\n", "a.csv")
        assert error.message == f"the columns are parted by {name}, not by commas"
        assert error.location == Location("a.csv", 1)


class TestDataSets:
    def test_openai_evals(self) -> None:
        contents = [("user", "a"), ("assistant", "b"), ("user", "c")]
        turns = [{"role": role, "content": content} for role, content in contents]
        text = json.dumps({"input": turns, "ideal": "d"})
        found = one(text, "a.jsonl")
        assert (found.vars, found.label) == ({"input": "c"}, Expected("d"))
        assert found.history == (Turn("user", "a"), Turn("assistant", "b"))

    def test_deepeval_and_dspy(self) -> None:
        assert one('{"input": "a", "expected_output": "b"}', "a.jsonl").vars == {"input": "a"}
        assert read("a.csv", "input,expected_output\na,b")[0].vars == {"input": "a"}

    def test_hugging_face_preferences(self) -> None:
        plain = one('{"prompt": "p", "chosen": "a", "rejected": "b"}', "a.jsonl")
        chat = one(
            '{"prompt": [{"role": "user", "content": "p"}], "chosen": [{"role": "assistant", "content": "a"}],'
            ' "rejected": [{"role": "assistant", "content": "b"}]}',
            "a.jsonl",
        )
        assert plain.vars == chat.vars == {"prompt": "p"}
        assert plain.label == chat.label == Preference(("a",), ("b",))

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"input": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}, "system message"),
            ({"input": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}, "user message"),
            (
                {"input": [{"role": "user", "content": "u"}], "history": [{"role": "user", "content": "h"}]},
                "history too",
            ),
            ({"input": "a", "vars": {"input": "b"}}, "given twice"),
        ],
    )
    def test_conversations_that_do_not_fit_are_errors(self, row: dict[str, Any], message: str) -> None:
        assert message in failure(json.dumps({**row, "ideal": "x"}), "a.jsonl").message

    def test_an_answer_that_is_a_whole_conversation_is_refused(self) -> None:
        turns = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "a"}]
        row = {"chosen": turns, "rejected": "b"}
        assert "conversation" in failure(json.dumps(row), "a.jsonl").message

    def test_flat_test_data_is_split_into_label_and_variables(self) -> None:
        here = Location("p.yml", 3)
        row = flat_row({"input": "a", "answer": "b", "expected": "c"}, here, ("expected", "answer"))
        (found,) = parse_rows([row])
        assert (found.vars, found.label, found.location) == ({"input": "a", "answer": "b"}, Expected("c"), here)
        with pytest.raises(FixtureError, match="no label"):
            parse_rows([flat_row({"input": "a"}, here, ("expected",))])


class TestIds:
    def test_an_id_is_made_of_the_input_and_not_of_the_position_or_the_label(self) -> None:
        before = read("a.yaml", "- {vars: {t: Cannot log in!}, expected: a}\n")
        after = read("a.yaml", "- {vars: {t: new}, expected: z}\n- {vars: {t: Cannot log in!}, expected: b}\n")
        assert before[0].id == after[1].id
        assert before[0].id.startswith("cannot-log-in-")

    def test_equal_inputs_get_different_ids(self) -> None:
        found = read("a.yaml", "- {vars: {t: x}, expected: a}\n- {vars: {t: x}, expected: b}\n")
        assert found[1].id == f"{found[0].id}-2"

    def test_inputs_without_letters_have_ids_too(self) -> None:
        assert (
            len({f.id for f in read("a.jsonl", '{"vars": {"t": "漢"}, "expected": "a"}\n{"expected": "a"}')} - {""})
            == 2
        )

    def test_doubled_ids_name_both_places(self) -> None:
        error = failure("- {id: x, expected: a}\n\n- {id: x, expected: b}\n")
        assert (line(error), error.hint) == (3, "first at a.yaml:1")

    def test_ids_of_two_files_may_not_meet_either(self) -> None:
        with pytest.raises(FixtureError, match="exists already"):
            check_unique([one("- {id: x, expected: a}"), one("- {id: x, expected: a}", "b.yaml")])

    @pytest.mark.parametrize("bad", ["''", "' '", '"a\\nb"'])
    def test_an_id_is_one_line_of_text(self, bad: str) -> None:
        assert "id" in failure(f"- id: {bad}\n  expected: a").message


class TestErrors:
    def test_an_unknown_key_is_named_with_its_line_and_near_miss(self) -> None:
        error = failure("- id: x\n  wieght: 2\n  expected: a")
        assert (error.message, line(error), error.hint) == ("unknown key 'wieght'", 2, "did you mean 'weight'?")
        assert "vars" in (failure('{"question": "q", "expected": "a"}', "a.jsonl").hint or "")

    @pytest.mark.parametrize(
        ("row", "key"),
        [
            ("weight: 0", "weight"),
            ("weight: -1", "weight"),
            ("weight: .inf", "weight"),
            ("weight: x", "weight"),
            ("split: dev", "split"),
            ("history: [{role: bot, content: a}]", "history.0.role"),
            ("history: [{role: user}]", "history.0.content"),
            ("history: [{role: user, content: a, name: b}]", "history.0.name"),
            ("history: hello", "history"),
            ("vars: [a]", "vars"),
            ("choices: a", "choices"),
            ("tags: {a: 1}", "tags"),
        ],
    )
    def test_a_value_of_the_wrong_kind_is_named_with_its_line(self, row: str, key: str) -> None:
        error = failure(f"- expected: a\n  {row}")
        assert error.message.startswith(f"{key}: ")
        assert line(error) == 2

    @pytest.mark.parametrize(
        ("name", "text", "at"),
        [
            ("a.yaml", "- expected: a\n- 'x", 2),
            ("a.yaml", "- expected: a\n\t- b", 2),
            ("a.yaml", "- expected: a\n  expected: b", 2),
            ("a.yaml", "- expected: a\n- just text", 2),
            ("a.yaml", "just text", 1),
            ("a.yaml", "- expected: *nowhere", 1),
            ("a.yaml", "- &a [*a]", 1),
            ("a.yaml", "- {expected: a}\n---\n- {expected: b}", 2),
            ("a.json", '[\n{"expected": "a"},\n{"expected": }]', 3),
            ("a.json", '[\n{"expected": "a", "expected": "b"}]', 2),
            ("a.json", '[{"expected": "a"}\n{"expected": "b"}]', 2),
            ("a.json", '[{"expected": "a"}]\nmore', 2),
            ("a.json", '{"fixtures": [], "fixtures": []}', 1),
            ("a.json", '[{"vars": {"x": NaN}, "expected": "a"}]', 1),
            ("a.json", "", 1),
            ("a.json", "[[1]]", 1),
            ("a.jsonl", '{"expected": "a"}\n\nnot json', 3),
            ("a.jsonl", '{"expected": "a"} {"expected": "b"}', 1),
            ("a.csv", 'text,expected\na,"b', 2),
            ("a.csv", "text,expected\na,b\nc", 3),
            ("a.csv", 'text,expected\n"a\nb",c\nd', 4),
            ("a.csv", "text,text\na,b", 1),
            ("a.csv", "text,\na,b", 1),
        ],
    )
    def test_a_file_that_does_not_parse_points_at_the_line(self, name: str, text: str, at: int) -> None:
        assert line(failure(text, name)) == at

    def test_a_line_break_in_a_cell_does_not_shift_the_lines(self) -> None:
        found = read("a.csv", 'text,expected\n"a\nb",c\nd,e\n')
        assert [f.location for f in found] == [Location("a.csv", 2), Location("a.csv", 4)]
        assert found[0].vars == {"text": "a\nb"}

    def test_unusual_line_breaks_do_not_shift_the_lines_of_json_lines(self) -> None:
        found = read("a.jsonl", '{"vars": {"t": "a\u2028\u0085b"}, "expected": "x"}\n{"expected": "y"}')
        assert [f.location for f in found] == [Location("a.jsonl", 1), Location("a.jsonl", 2)]

    def test_a_variable_named_like_a_key_has_a_column_of_its_own(self) -> None:
        assert read("a.csv", "vars.id,id,expected\nv,i,a")[0] == Fixture(
            "i", {"id": "v"}, Expected("a"), location=Location("a.csv", 2)
        )

    def test_choices_in_csv(self) -> None:
        found = read("a.csv", 'choices,expected\na|b,b\n"[""x|y"", ""z""]",z\n')
        assert [f.label for f in found] == [Choice(("a", "b"), 1), Choice(("x|y", "z"), 1)]

    @pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.jsonl", "a.csv"])
    def test_what_is_no_utf8_names_line_and_byte(self, name: str) -> None:
        error = failure(b"a\nb\xffc", name)
        assert line(error) == 2
        assert "0xff at offset 3" in error.message
        assert "UTF-16" in failure("- expected: a".encode("utf-16"), name).message

    def test_text_that_is_no_unicode_is_refused(self) -> None:
        for row in (
            '{"expected": "\\ud800"}',
            '{"expected": "a", "vars": {"x": ["\\ud800"]}}',
            '{"expected": "a", "vars": {"\\ud800": 1}}',
            '{"expected": "a", "history": [{"role": "user", "content": "\\ud800"}]}',
        ):
            assert "Unicode" in failure(row, "a.jsonl").message

    def test_another_suffix_is_refused(self) -> None:
        assert ".toml" in failure("", "a.toml").message

    def test_tags_build_nothing(self) -> None:
        with pytest.raises(FixtureError):
            read("a.yaml", "- expected: !!python/object/apply:os.getcwd []")
        assert one("- expected: !!python/name:os.system x").label == Expected("x")

    @pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.jsonl"])
    @pytest.mark.parametrize(
        "deep", ["[" * 100_000, '[{"vars":' * 50_000, '{"a":' * 100_000, "- " * 50_000, "? " * 50_000]
    )
    def test_deep_nesting_is_an_error_and_no_crash(self, name: str, deep: str) -> None:
        failure(deep, name)

    def test_deep_variables_are_an_error(self) -> None:
        deep = "[" * 200 + "]" * 200
        assert "deep" in failure(f'{{"vars": {{"x": {deep}}}, "expected": "a"}}', "a.jsonl").message

    def test_aliases_that_unfold_to_billions_are_an_error(self) -> None:
        lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a]"]
        lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12)]
        body = "\n".join(f"    {text}" for text in lines)
        assert "values" in failure(f"- expected: a\n  vars:\n{body}\n").message


def test_the_rows_of_a_file_know_the_lines_of_their_keys() -> None:
    (row,) = read_rows("a.yaml", b"# comment\n- id: x\n\n  vars: {}\n  expected: a\n")
    assert row.location == Location("a.yaml", 2)
    assert (row.at("expected"), row.at("none")) == (Location("a.yaml", 5), Location("a.yaml", 2))


def test_the_schema_for_editors_knows_every_key() -> None:
    schema = RowModel.model_json_schema()
    assert schema["additionalProperties"] is False
    assert {"id", "vars", "expected", "chosen", "rejected", "choices", "split"} <= schema["properties"].keys()


VALID = b"""defaults: {group: g}
fixtures:
- id: a
  vars: {text: "x", n: 1.5, l: [1, yes]}
  expected: "yes"
  history: [{role: user, content: hi}]
- vars: &v {text: |
      block
    }
  chosen: a
  rejected: [b, c]
- {vars: *v, choices: [a, b], gold: 1, weight: 2}
"""
VALID_JSON = b"""{"defaults": {"group": "g"},
 "fixtures": [{"id": "a", "vars": {"x": 1.50}, "expected": true},
 {"prefix": "p"}]}"""
VALID_JSONL = b'{"id": "a", "vars": {"x": 1.50}, "expected": true}\n\n{"chosen": ["p"], "rejected": "q"}\n'
VALID_CSV = b'id,text,expected,tags\na,"x\ny",yes,"[""p""]"\n,z,no,\n'


@given(
    source=st.sampled_from([("a.yaml", VALID), ("a.json", VALID_JSON), ("a.jsonl", VALID_JSONL), ("a.csv", VALID_CSV)]),
    cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), st.binary(max_size=6)), max_size=4),
)
@example(source=("a.yaml", VALID), cuts=[])
def test_a_damaged_file_gives_fixtures_or_a_fixture_error(
    source: tuple[str, bytes], cuts: list[tuple[int, int, bytes]]
) -> None:
    name, data = source
    for at, length, put in cuts:
        data = data[:at] + put + data[at + length :]
    try:
        outcome: object = read_fixtures(name, data)
    except FixtureError as error:
        outcome = error.location
    assert isinstance(outcome, tuple | Location)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    label=TEXT.filter(str.strip),
    values=st.dictionaries(TEXT, TEXT | st.integers() | st.booleans() | st.none(), max_size=4),
)
def test_what_is_written_as_json_is_read_back(label: str, values: dict[str, Any]) -> None:
    row = {"vars": values, "expected": label}
    for name, text in (("a.jsonl", json.dumps(row)), ("a.json", json.dumps([row], ensure_ascii=False, indent=1))):
        found = one(text, name)
        assert (found.vars, found.label) == (values, Expected(label))


def test_the_labelled_rows_of_a_public_set_are_read_as_they_are() -> None:
    file = EXAMPLES / "alpaca_eval" / "pairs.jsonl"
    if not file.exists():
        pytest.skip("the shared example data is not beside this checkout")
    rows = [json.loads(text) for text in file.read_text("utf-8").splitlines()[:50]]
    kept = [{"prompt": row["instruction"], "chosen": row["chosen"], "rejected": row["rejected"]} for row in rows]
    found = read("a.jsonl", "\n".join(json.dumps(row) for row in kept))
    assert [f.label for f in found] == [Preference((row["chosen"],), (row["rejected"],)) for row in kept]
    assert len({f.id for f in found}) == len(kept)


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ("{vars: {text: Give it back, you fool.}, expected: rude}", "you fool."),
        ("{expected: rude, or not}", "or not"),
        ('{vars: {text: "a, b", more: [x, {y: c, d}]}, expected: e}', "d"),
    ],
)
def test_a_text_that_a_comma_cuts_in_braces_is_refused_and_not_read_in_part(row: str, key: str) -> None:
    error = failure(f"- vars: {{text: a}}\n  expected: b\n- {row}\n")
    assert f"{key!r} stands alone between commas" in error.message
    assert error.location == Location("a.yaml", 3)
    assert error.hint == "put a text with commas in quotes"


def test_an_empty_value_behind_a_colon_is_none_as_ever() -> None:
    assert one("- vars: {text: a, more: , last: ''}\n  expected: b\n").vars == {"text": "a", "more": None, "last": ""}
    assert one("- vars:\n    text: a\n    more:\n  expected: b\n").vars == {"text": "a", "more": None}
