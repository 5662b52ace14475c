"""The option table, read by argparse as the plugin and the command line read it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pytest_pmpo.config.settings import Settings
from pytest_pmpo.options import OUTPUTS, RUN, SETTINGS, Given, given

FOLDER = Path("/somewhere")


def parse(*arguments: str, folder: Path = FOLDER) -> Given:
    """A command line, sorted out."""
    parser = argparse.ArgumentParser()
    for option in (*SETTINGS, *OUTPUTS, *RUN):
        parser.add_argument(f"--{option.name}", **option.arguments())
    namespace = parser.parse_args(arguments)
    return given(lambda dest: getattr(namespace, dest), folder)


def test_nothing_given_overrides_nothing():
    """The configuration file speaks where the command line is silent."""
    assert parse() == Given({})


def test_every_setting_of_the_table_is_a_setting():
    """The table cannot name a setting that does not exist."""
    assert {option.setting for option in SETTINGS} <= Settings.model_fields.keys()


def test_values_come_in_the_types_of_the_settings():
    """Numbers are numbers, flags are booleans, repeated options are tuples; all are accepted as settings."""
    got = parse(
        *("--tolerance", "0.1", "--alpha", "0.01", "--strict", "--no-cache", "--hard-break", "2"),
        *("--model", "fake", "--model", "org/name@abc", "--device", "cpu", "--dtype", "float32"),
        *("--metric", "preference", "--base", "v1", "--blocking", "never"),
    ).settings
    assert got == {
        "tolerance": 0.1,
        "alpha": 0.01,
        "strict": True,
        "cache": False,
        "hard_break": 2.0,
        "models": ("fake", "org/name@abc"),
        "device": "cpu",
        "dtype": "float32",
        "metric": "preference",
        "base": "v1",
        "blocking": "never",
    }
    assert Settings.model_validate(got).models == ("fake", "org/name@abc")


def test_the_hard_break_guard_can_be_switched_off():
    """``off`` is not the same as not given."""
    got = parse("--hard-break", "off").settings
    assert got == {"hard_break": False}
    assert Settings.model_validate(got).hard_break is None


def test_base_is_a_baseline_where_it_names_a_file(tmp_path: Path):
    """A file is a saved baseline, anything else a git ref."""
    (tmp_path / "numbers.json").write_text("{}")
    assert parse("--base", "numbers.json", folder=tmp_path).settings == {"baseline": str(tmp_path / "numbers.json")}
    assert parse("--base", "origin/main", folder=tmp_path).settings == {"base": "origin/main"}


def test_relative_model_paths_start_at_the_working_directory():
    """What is typed is typed in a folder; hub ids and home folders are left alone."""
    got = parse(*("--model", "./m", "--model", "m.gguf", "--model", "a/b", "--model", "~/m.gguf", "--model", "/m"))
    assert got.settings["models"] == (str(FOLDER / "m"), str(FOLDER / "m.gguf"), "a/b", "~/m.gguf", "/m")


def test_reports_are_named_by_their_option_or_by_name():
    """Short options for the built-in ones, one option for everyone's."""
    got = parse("--json", "a.json", "--report", "slack=out/b.txt", "--report", "json=/c=d.json")
    assert got.reports == (
        ("json", FOLDER / "a.json"),
        ("slack", FOLDER / "out/b.txt"),
        ("json", Path("/c=d.json")),
    )


@pytest.mark.parametrize("text", ["slack", "=file", "slack="])
def test_a_report_without_name_or_file_is_refused(text: str, capsys: pytest.CaptureFixture[str]):
    """argparse says which option it was."""
    with pytest.raises(SystemExit):
        parse("--report", text)
    assert "--report" in capsys.readouterr().err


def test_run_options_are_sorted_out():
    """What concerns one run is no setting."""
    got = parse("--save-baseline", "b.json", "--show-config")
    assert (got.settings, got.save_baseline, got.show_config) == ({}, FOLDER / "b.json", True)
