"""Settings recognised without pydantic: the same as with it, and only where nothing is wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.config import Settings, changed
from pytest_pmpo.config.record import NAMES, Override, plain_settings
from pytest_pmpo.config.settings import Settings as Model
from pytest_pmpo.errors import ConfigError

VALUE = st.one_of(
    st.sampled_from(["", "auto", "cpu", "cuda:0", "float32", "a", "é", True, False, None, 0, 1, 0.0, 0.02, 0.5, 1.0]),
    st.floats(),
    st.lists(st.sampled_from(["a", "", 1]), max_size=2),
    st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
)
TABLE = st.dictionaries(st.sampled_from([*NAMES, "model", "tolerence"]), VALUE, max_size=4)


def test_both_know_the_same_settings_with_the_same_defaults() -> None:
    assert list(Model.model_fields) == list(NAMES)
    assert Model().to_record() == Settings()


@given(TABLE)
def test_plain_settings_are_those_the_model_reads(table: dict[str, Any]) -> None:
    plain = plain_settings(table)
    if plain is not None:
        assert plain == Model.model_validate(table).to_record()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("graders", "override")])
def test_every_setting_but_the_tables_can_be_plain(name: str) -> None:
    usual = {"revision": "main", "base": "main", "baseline": "b.json", "cache_dir": "c", "max_batch_tokens": 9}
    value = usual.get(name, getattr(Settings(), name))
    assert plain_settings({name: value}) == dataclasses.replace(Settings(), **{name: value})


def test_contradictions_are_left_to_the_model() -> None:
    for table in (
        {"base": "main", "baseline": "b.json"},
        {"model": "a", "models": ["b"]},
        {"models": ["a", "b"], "revision": "main"},
    ):
        assert plain_settings(table) is None


def test_an_override_keeps_what_it_sets_and_nothing_else() -> None:
    table = {"override": [{"paths": ["a.md"], "hard_break": False, "model": "b"}]}
    [override] = Model.model_validate(table).to_record().override
    assert override == Override(("a.md",), {"hard_break": None, "models": ("b",)})


def test_changing_settings_keeps_the_others_and_checks_the_new_ones() -> None:
    table = {
        "tolerance": 0.5, "hard_break": False, "graders": {"*.md": "exact"},
        "override": [{"paths": ["a.md"], "hard_break": False, "strict": True}],
    }  # fmt: skip
    settings = Model.model_validate(table).to_record()
    assert changed(settings, {}) == settings
    assert changed(settings, {"alpha": 0.1}) == dataclasses.replace(settings, alpha=0.1)
    assert changed(settings, {"hard_break": None}) == settings
    with pytest.raises(ConfigError, match="alpha"):
        changed(settings, {"alpha": 2.0})
    with pytest.raises(ConfigError, match="contradict"):
        changed(changed(settings, {"base": "main"}), {"baseline": "b.json"})
