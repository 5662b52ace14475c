"""What changed, word by word, with every blank kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_pmpo.report.redline import Piece, redline

text = st.text(alphabet="ab .\n\t\ré", max_size=60)


def rebuilt(pieces: tuple[Piece, ...]) -> tuple[str, str]:
    before = "".join(p.text for p in pieces if p.kind != "added")
    return before, "".join(p.text for p in pieces if p.kind != "removed")


@given(text, text)
def test_both_texts_can_be_read_off_exactly(before: str, after: str) -> None:
    assert rebuilt(redline(before, after)) == (before, after)


@given(text)
def test_equal_texts_show_no_change(same: str) -> None:
    assert {p.kind for p in redline(same, same)} <= {"same"}


def test_a_changed_word_is_all_that_is_marked() -> None:
    pieces = redline("Answer with one word, please.\nThanks.", "Answer with two words, please.\nThanks.")
    assert [p for p in pieces if p.kind != "same"] == [
        Piece("removed", "one"),
        Piece("added", "two"),
        Piece("removed", "word"),
        Piece("added", "words"),
    ]


def test_a_blank_line_is_a_change() -> None:
    assert Piece("added", "\n") in redline("a\nb", "a\n\nb")
    assert Piece("removed", " ") in redline("a  b", "a b")


def test_lines_with_little_in_common_are_replaced_whole() -> None:
    changed = [p for p in redline("Be brief.\n", "Think about every step of it, slowly.\n") if p.kind != "same"]
    assert len(changed) == 2


def test_long_repetitive_text_is_still_exact() -> None:
    before, after = "a " * 20_000, "b\n" + "a " * 19_000 + "c"
    assert rebuilt(redline(before, after)) == (before, after)
