"""Finding the line of a key in a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.config.toml_lines import find_line, keys

FILE = '''\
# tolerance = 1  (a comment)
title = "tolerance = 2"
text = """
tolerance = 3
[tool.pmpo]
\\"""tolerance = 4
"""
raw = \'\'\'
tolerance = 5
\'\'\'
list = [
  "tolerance = 6", # ]
  "[tool.pmpo]",
]

[tool.other]
tolerance = 7

[tool.pmpo]  # ours
prompts = ["a", "b"]
"quoted" = 1
'single quoted' = 2
a.b . "c" = 3
inline = { x = 1, tolerance = 8 }
tolerance = 0.1

[[tool.pmpo.override]]
paths = ["x"]

[[tool.pmpo.override]]
paths = ["y"]
tolerance = 9

[tool.pmpo.override.nested]
deep = true
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("tool", "other", "tolerance"), 17),
        (("tool", "pmpo"), 19),
        (("tool", "pmpo", "prompts"), 20),
        (("tool", "pmpo", "quoted"), 21),
        (("tool", "pmpo", "single quoted"), 22),
        (("tool", "pmpo", "a", "b", "c"), 23),
        (("tool", "pmpo", "tolerance"), 25),
        (("tool", "pmpo", "override", 0, "paths"), 28),
        (("tool", "pmpo", "override", 1), 30),
        (("tool", "pmpo", "override", 1, "paths"), 31),
        (("tool", "pmpo", "override", 1, "tolerance"), 32),
        (("tool", "pmpo", "override", 1, "nested", "deep"), 35),
    ],
)
def test_a_key_is_found_on_its_own_line_whatever_strings_and_comments_say(path: tuple[str | int, ...], line: int):
    """A key is found on its own line, whatever strings and comments around it say."""
    assert find_line(FILE, path) == line


def test_a_key_inside_an_inline_table_or_array_is_given_the_line_of_its_holder():
    """Parts of a value have the line of the key that holds the value."""
    assert find_line(FILE, ("tool", "pmpo", "inline", "tolerance")) == 24
    assert find_line(FILE, ("tool", "pmpo", "prompts", 1)) == 20


def test_a_key_that_is_not_there_has_the_line_of_its_table_or_none():
    """An absent key falls back to its table; an absent table to None."""
    assert find_line(FILE, ("tool", "pmpo", "absent")) == 19
    assert find_line(FILE, ("absent", "key")) is None


def test_dotted_headers_and_keys_in_the_parent_table_are_understood():
    """``pmpo.alpha`` under ``[tool]`` is ``tool.pmpo.alpha``."""
    assert find_line("[tool]\nx = 1\npmpo.alpha = 0.1\n", ("tool", "pmpo", "alpha")) == 3
    assert find_line("tool.pmpo.alpha = 0.1", ("tool", "pmpo", "alpha")) == 1


_names = st.text("abc-_", min_size=1, max_size=3)
_values = st.sampled_from(
    [
        "1",
        '"x = 1"',
        "'[a]'",
        '"""\n[a]\nb = 2\n"""',
        "'''\nb = 3\n'''",
        "[\n1,\n[2], # ]\n]",
        "{ b = 1 }",
        '""',
        "''''''",
    ]
)


@given(st.lists(st.tuples(_names, _names, _values), max_size=6, unique_by=lambda row: row[0]))
def test_every_key_tomllib_reads_is_found(tables: list[tuple[str, str, str]]):
    """What ``tomllib`` reads, the scanner finds, once and in order."""
    text = "".join(f"[{table}]\n{key} = {value}\n" for table, key, value in tables)
    document = tomllib.loads(text)
    found = [path for _, path in keys(text)]
    assert found == [path for table, content in document.items() for path in ((table,), *_leaves(table, content))]


def _leaves(table: str, content: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [(table, key) for key in content]
