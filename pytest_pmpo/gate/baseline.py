"""A saved baseline: the numbers of every fixture under every prompt, for those who cannot score the base again.

The file is JSON, sorted and indented so that its diff can be read::

    {"schema": 1,
     "models": {"smollm2-135m": {
        "fingerprint": {"model": "…", "torch": "…", …},
        "prompts": {"prompts/triage.prompt.yml": {
           "metric": {"name": "cross-entropy", "unit": "nats/token", …},
           "template": "<template digest>",
           "fixtures": {"case-1": {"digest": "…", "nll_per_token": 1.25, "value": 1.25}}}}}}}

Numbers from two machines or two library versions do not compare, so the fingerprint must be equal in every part or the
run stops. A fixture that is new, or whose variables, history or label changed since, has no number in the file: the
comparison is then made on the others, and the verdict names those it left out. Where none is left there is no base,
and the verdict is ``new``. Weights and groups are always today's.

Whether the path may be written to is the caller's business.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pytest_pmpo.errors import BaselineError, Location
from pytest_pmpo.gate.pairing import require_finite
from pytest_pmpo.prompts.model import Fixture
from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, PromptScore

SCHEMA = 1
_HINT = "save it anew with --pmpo-save-baseline"


@dataclass(frozen=True, slots=True)
class StoredFixture:
    """One fixture's number. ``digest`` is that of the fixture it was measured on (``fixture_digest``)."""

    digest: str
    value: float
    nll_per_token: float | None = None


@dataclass(frozen=True, slots=True)
class StoredPrompt:
    """One prompt's numbers, by fixture id. ``template`` is ``Prompt.template_digest``."""

    template: str
    metric: MetricInfo
    fixtures: Mapping[str, StoredFixture]


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What one model gave. ``fingerprint`` names everything two numbers must share besides prompt and fixture."""

    fingerprint: Mapping[str, str]
    prompts: Mapping[str, StoredPrompt]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The whole file, by model name."""

    models: Mapping[str, StoredModel]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Head and base over the fixtures both have. ``base`` is None where they share none."""

    head: PromptScore
    base: PromptScore | None
    left_out: tuple[str, ...]


def fixture_digest(fixture: Fixture) -> str:
    """sha256 (hex) over what a fixture's number depends on: variables, history, label (not id, weight, group, tags)."""
    seen = (sorted((key, repr(value)) for key, value in fixture.vars.items()), fixture.history, fixture.label)
    return hashlib.sha256(repr(seen).encode("utf-8", "surrogatepass")).hexdigest()


def store(score: PromptScore, template: str, fixtures: Sequence[Fixture]) -> StoredPrompt:
    """A prompt's numbers as they go into the file; ``fixtures`` in the order of the scores.

    Raises:
        NumericsError: naming the fixture whose number is NaN or infinite.
    """
    require_finite(score, "head")
    return StoredPrompt(
        template,
        score.metric,
        {
            scored.fixture_id: StoredFixture(fixture_digest(f), scored.value, scored.measurement.nll_per_token)
            for scored, f in zip(score.fixtures, fixtures, strict=True)
        },
    )


def pair(head: PromptScore, fixtures: Sequence[Fixture], stored: StoredPrompt) -> Pairing:
    """Head and the stored base over the fixtures that have a number in the file and did not change since.

    Raises:
        BaselineError: if the file's numbers are another metric's.
    """
    if stored.metric != head.metric:
        raise BaselineError(
            f"{head.prompt}: the baseline holds {stored.metric.name} ({stored.metric.unit}), "
            f"this run measures {head.metric.name} ({head.metric.unit})",
            hint=_HINT,
        )
    both: list[tuple[FixtureScore, FixtureScore]] = []
    left_out: list[str] = []
    for scored, fixture in zip(head.fixtures, fixtures, strict=True):
        was = stored.fixtures.get(scored.fixture_id)
        if was is None or was.digest != fixture_digest(fixture):
            left_out.append(scored.fixture_id)
        else:
            both.append((scored, replace(scored, measurement=Measurement(was.value, was.nll_per_token), scores=())))
    if not both:
        return Pairing(head, None, tuple(left_out))
    heads, bases = zip(*both, strict=True)
    return Pairing(replace(head, fixtures=heads), replace(head, fixtures=bases), tuple(left_out))


def save(path: Path, baseline: Baseline) -> None:
    """Write the file whole or not at all.

    Raises:
        BaselineError: if it cannot be written.
    """
    plain = {"schema": SCHEMA, "models": {name: asdict(model) for name, model in baseline.models.items()}}
    text = json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        _replace_file(path, text.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise BaselineError(f"cannot write the baseline {path}: {error.strerror or error}") from error


def _replace_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # mkstemp gives 0600, which a checked-in file should not have
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path, fingerprints: Mapping[str, Mapping[str, str]] | None = None) -> Baseline:
    """Read the file and check it against this run.

    Args:
        path: of the file.
        fingerprints: of this run's models, by name; None skips the check (for tools that only look).

    Raises:
        BaselineError: if the file is missing, malformed, of another schema, or was made under another fingerprint; the
            message says which part differs and how to save it anew.
    """
    location = Location(str(path))
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise BaselineError(f"cannot read the baseline: {error.strerror or error}", location=location) from error
    except json.JSONDecodeError as error:
        raise BaselineError(f"not JSON: {error.msg}", location=Location(str(path), error.lineno), hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"not a baseline: {error}", location=location, hint=_HINT) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise BaselineError(f"schema {schema!r} where {SCHEMA} is read", location=location, hint=_HINT)
    try:
        baseline = Baseline({str(name): _model(model) for name, model in data["models"].items()})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BaselineError(f"malformed: {error!r}", location=location, hint=_HINT) from error
    for name, fingerprint in (fingerprints or {}).items():
        _require_equal(name, fingerprint, baseline, location)
    return baseline


def _require_equal(name: str, fingerprint: Mapping[str, str], baseline: Baseline, location: Location) -> None:
    if name not in baseline.models:
        known = ", ".join(sorted(baseline.models)) or "none"
        raise BaselineError(f"no numbers of model {name!r}; it holds: {known}", location=location, hint=_HINT)
    saved = baseline.models[name].fingerprint
    parts = [key for key in dict.fromkeys([*saved, *fingerprint]) if saved.get(key) != fingerprint.get(key)]
    if parts:
        differing = "; ".join(f"{k} was {_short(saved.get(k))}, now {_short(fingerprint.get(k))}" for k in parts)
        raise BaselineError(f"made under another fingerprint: {differing}", location=location, hint=_HINT)


def _short(value: str | None) -> str:
    text = "absent" if value is None else value
    return text if len(text) <= 24 else text[:12] + "…"


def _model(data: Mapping[str, Any]) -> StoredModel:
    fingerprint = {str(key): str(value) for key, value in data["fingerprint"].items()}
    return StoredModel(fingerprint, {str(path): _prompt(prompt) for path, prompt in data["prompts"].items()})


def _prompt(data: Mapping[str, Any]) -> StoredPrompt:
    fixtures = {str(id_): _fixture(row) for id_, row in data["fixtures"].items()}
    return StoredPrompt(str(data["template"]), MetricInfo(**data["metric"]), fixtures)


def _fixture(data: Mapping[str, Any]) -> StoredFixture:
    nll = data["nll_per_token"]
    return StoredFixture(str(data["digest"]), _number(data["value"]), None if nll is None else _number(nll))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
