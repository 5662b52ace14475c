"""Which fixtures a prompt shows, however they got into it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_pmpo.errors import PmpoError
from pytest_pmpo.optimize import demos
from pytest_pmpo.optimize.constraints import label_texts
from pytest_pmpo.optimize.shown import Shown
from pytest_pmpo.prompts.lint.fixtures import leaked
from pytest_pmpo.prompts.model import Fixture, Prompt
from pytest_pmpo.prompts.render import render


def shown(prompt: Prompt, fixtures: Sequence[Fixture]) -> Shown:
    """Examples as an optimizer writes them, few-shot turns, and fixtures whose own input stands in the prompt."""
    ids = {*demos.quoted(prompt, fixtures), *answered(prompt, fixtures), *leaked(prompt, fixtures)}
    found = [fixture for fixture in fixtures if fixture.id in ids]
    files = dict.fromkeys(fixture.location.path if fixture.location else prompt.path for fixture in found)
    return Shown(tuple(fixture.id for fixture in found), tuple(files))


def answered(prompt: Prompt, fixtures: Sequence[Fixture]) -> tuple[str, ...]:
    """Ids of the fixtures that the prompt's own turns ask and answer, word for word."""
    roles = [message.role for message in prompt.messages]
    if ("user", "assistant") not in pairwise(roles):
        return ()
    return tuple(fixture.id for fixture in fixtures if not fixture.history and _answered(prompt, fixture))


def _answered(prompt: Prompt, fixture: Fixture) -> bool:
    try:
        turns = render(prompt, fixture)
    except PmpoError:
        return False
    last = max((n for n, turn in enumerate(turns) if turn.role == "user"), default=0)
    return any(
        asked == turns[last] and answer.role == "assistant" and answer.content.strip() in label_texts(fixture)
        for asked, answer in pairwise(turns[:last])
    )
