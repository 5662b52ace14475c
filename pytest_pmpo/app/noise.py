"""How much a number moves when nothing changed but the company it was computed in: the noise floor of a machine.

The same fixtures are scored in several packings: whole, and split at random into calls of different sizes. A mean that
moves between them has no meaning below that; the gate's tolerance is never smaller. What was measured is kept beside
the cache, by fingerprint and metric, and used by every later run on the machine.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.scoring.metrics.base import Metric
from pytest_pmpo.scoring.scorer import Scorer

PACKINGS = 5


@dataclass(frozen=True, slots=True)
class Noise:
    """Spread over packings, largest minus smallest, in the metric's unit.

    Attributes:
        mean: of the mean over fixtures.
        fixture: of the fixture that moved most.
    """

    mean: float
    fixture: float


def measure(
    scorer: Scorer, prompt: Prompt, fixtures: Sequence[Fixture], metric: Metric, *, packings: int = PACKINGS
) -> Noise:
    """Score the same fixtures ``packings`` times, each time in other company.

    Args:
        scorer: without a cache, or nothing is measured.

    Raises:
        PmpoError: see ``Scorer.score``.
    """
    rng = random.Random(0)
    values: dict[str, list[float]] = {fixture.id: [] for fixture in fixtures}
    means: list[float] = []
    for packing in range(packings):
        shuffled = list(fixtures)
        if packing:
            rng.shuffle(shuffled)
        found: dict[str, float] = {}
        for part in _parts(shuffled, rng) if packing else [shuffled]:
            [score] = scorer.score([prompt], part, metric)
            found |= {fixture.fixture_id: fixture.value for fixture in score.fixtures}
        weights = {fixture.id: fixture.weight for fixture in fixtures}
        means.append(sum(weights[id_] * found[id_] for id_ in values) / sum(weights.values()))
        for id_, series in values.items():
            series.append(found[id_])
    return Noise(max(means) - min(means), max(max(series) - min(series) for series in values.values()))


def _parts(fixtures: Sequence[Fixture], rng: random.Random) -> list[Sequence[Fixture]]:
    """``fixtures`` cut into runs of one to half of them."""
    parts: list[Sequence[Fixture]] = []
    start = 0
    while start < len(fixtures):
        size = rng.randint(1, max(1, len(fixtures) // 2))
        parts.append(fixtures[start : start + size])
        start += size
    return parts


class NoiseFile:
    """What was measured on this machine, one small file per fingerprint."""

    def __init__(self, cache_folder: Path, fingerprint: str) -> None:
        self._path = cache_folder / "noise" / f"{fingerprint}.json"

    def floor(self, metric: str) -> float:
        """The measured spread of a mean, 0 where nothing was measured. A file that cannot be read counts as none."""
        found = self._read().get(metric, 0.0)
        return found if isinstance(found, float) and found >= 0 else 0.0

    def keep(self, floors: Mapping[str, float]) -> None:
        """Replace what was known of these metrics.

        Raises:
            OSError: the folder cannot be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({**self._read(), **floors}, sort_keys=True))
        temporary.replace(self._path)

    def _read(self) -> dict[str, object]:
        try:
            data = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}
