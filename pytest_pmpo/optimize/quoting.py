"""Which fixtures a prompt shows, however they got into it."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pmpo.optimize import demos, shots
from pytest_pmpo.optimize.shown import Shown
from pytest_pmpo.prompts.lint.fixtures import leaked
from pytest_pmpo.prompts.model import Fixture, Prompt


def shown(prompt: Prompt, fixtures: Sequence[Fixture]) -> Shown:
    """Examples an optimizer has put in, and whatever ``pmpo lint`` would find."""
    ids = {*demos.quoted(prompt, fixtures), *shots.quoted(prompt, fixtures), *leaked(prompt, fixtures)}
    found = [fixture for fixture in fixtures if fixture.id in ids]
    files = dict.fromkeys(fixture.location.path if fixture.location else prompt.path for fixture in found)
    return Shown(tuple(fixture.id for fixture in found), tuple(files))
