"""The noise floor: what moves when only the company changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_pmpo.app.noise import NoiseFile, measure
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, Segment
from pytest_pmpo.scoring.backends.base import Progress
from pytest_pmpo.scoring.backends.fake import FakeBackend
from pytest_pmpo.scoring.metrics.cross_entropy import CrossEntropy
from pytest_pmpo.scoring.records import EncodedSequence
from pytest_pmpo.scoring.scorer import Scorer

PROMPT = Prompt("a.md", "text", "jinja2", (Message("user", (Segment("Say {{ x }}"),)),), "d")
FIXTURES = tuple(Fixture(str(i), {"x": f"word{i}"}, Expected(f"word{i}"), weight=1.0 + i) for i in range(9))


class Swaying(FakeBackend):
    """Losses that depend on how many sequences are scored together, as low precision's do."""

    def score(
        self, sequences: Sequence[EncodedSequence], *, progress: Progress | None = None
    ) -> list[tuple[float, ...]]:
        """Each loss raised by a thousandth per companion."""
        return [tuple(loss + len(sequences) / 1000 for loss in row) for row in super().score(sequences)]


def noise(backend: FakeBackend):
    """Measured without a cache."""
    return measure(Scorer("f", lambda: backend), PROMPT, FIXTURES, CrossEntropy())


def test_a_model_that_does_not_mind_its_company_has_no_noise():
    """Sums in another order are the same to rounding."""
    found = noise(FakeBackend())
    assert found.fixture == 0.0
    assert found.mean < 1e-12


def test_a_model_that_minds_its_company_is_found_out():
    """Alone against all nine: up to 8 thousandths for a fixture, less for the mean."""
    found = noise(Swaying())
    assert 0.004 < found.fixture <= 0.008 + 1e-12
    assert 0 < found.mean <= found.fixture


def test_what_was_measured_is_kept_by_fingerprint_and_metric(tmp_path: Path):
    """Read back by later runs; other fingerprints and metrics know nothing."""
    NoiseFile(tmp_path, "f").keep({"cross-entropy": 0.25})
    NoiseFile(tmp_path, "f").keep({"choice": 0.5})
    assert NoiseFile(tmp_path, "f").floor("cross-entropy") == 0.25
    assert NoiseFile(tmp_path, "f").floor("choice") == 0.5
    assert NoiseFile(tmp_path, "f").floor("preference") == 0.0
    assert NoiseFile(tmp_path, "g").floor("cross-entropy") == 0.0


def test_a_damaged_file_counts_as_nothing_measured(tmp_path: Path):
    """It is a memory of this machine, not a setting."""
    NoiseFile(tmp_path, "f").keep({"cross-entropy": 0.25})
    for text in ("{", "[]", '{"cross-entropy": "x"}', '{"cross-entropy": -1.0}', '{"cross-entropy": NaN}'):
        (tmp_path / "noise" / "f.json").write_text(text)
        assert NoiseFile(tmp_path, "f").floor("cross-entropy") == 0.0
