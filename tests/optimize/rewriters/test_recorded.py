"""Recorded answers replay to the letter, and what was not recorded is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pmpo.errors import RewriterError
from pytest_pmpo.optimize.rewriters.local import LocalWriter
from pytest_pmpo.optimize.rewriters.recorded import RecordedWriter, Recording
from pytest_pmpo.prompts.model import Turn
from pytest_pmpo.scoring.backends.base import SamplingSettings
from pytest_pmpo.scoring.backends.fake import FakeBackend

SETTINGS = SamplingSettings(1.0, 1.0, 12)
QUESTIONS = [(Turn("user", "one one one"),), (Turn("user", "two two two"),)]


def test_a_recording_replays_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.jsonl"
    live = list(Recording(LocalWriter(FakeBackend, "fake"), path).write(QUESTIONS, SETTINGS, samples=2))
    assert list(RecordedWriter(path).write(QUESTIONS, SETTINGS, samples=2)) == live


def test_a_star_answers_any_question(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "*", "answers": ["<prompt>A</prompt>", "<prompt>B</prompt>"]}\n')
    rows = list(RecordedWriter(path).write(QUESTIONS, SETTINGS, samples=1))
    assert [[reply.text for reply in row] for row in rows] == [["<prompt>A</prompt>"]] * 2


def test_an_unknown_question_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "k", "answers": ["x"]}\n')
    with pytest.raises(RewriterError, match="no answer was recorded for the question that begins 'one one one'"):
        list(RecordedWriter(path).write(QUESTIONS, SETTINGS, samples=1))


@pytest.mark.parametrize("line", ["{", "[]", '{"question": "k"}', '{"question": "k", "answers": [{"text": 1}]}'])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "*", "answers": []}\n' + line + "\n")
    with pytest.raises(RewriterError, match=r"a\.jsonl:2: not a recorded answer"):
        RecordedWriter(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RewriterError, match="cannot be read"):
        RecordedWriter(tmp_path / "none")


def test_another_file_is_another_identity(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"question": "*", "answers": ["x"]}\n')
    (tmp_path / "b").write_text('{"question": "*", "answers": ["y"]}\n')
    assert RecordedWriter(tmp_path / "a").identity != RecordedWriter(tmp_path / "b").identity
