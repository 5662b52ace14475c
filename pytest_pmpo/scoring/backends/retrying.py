"""When a chat server is asked again, and how long after."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

KEY_VARIABLE = "OPENAI_API_KEY"
MAX_WAIT = 30.0
"""Seconds; a longer ``Retry-After`` is not waited for."""


def worth_it(status: int) -> bool:
    """Whether the same request may do better later."""
    return status in (408, 409, 425, 429) or status >= 500


def wants_other_limit(error: Any, request: Mapping[str, Any]) -> bool:
    """Whether the server knows the token limit by its newer name only."""
    return error.status_code == 400 and "max_tokens" in request and "max_completion_tokens" in str(error)


def pause(attempt: int, headers: Mapping[str, str]) -> float:
    """Seconds before the next try: what the server asks for, else 0.5 · 2^attempt, a little shaken."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return min(MAX_WAIT, 0.5 * 2.0**attempt) * random.uniform(0.75, 1.0)


def hint(status: int) -> str | None:
    """What to look at after a refusal."""
    if status in (401, 403):
        return f"check the key in {KEY_VARIABLE}"
    return "check the model's name and the URL (most servers want /v1 at its end)" if status == 404 else None


def said(error: Exception) -> str:
    """The error's words in one line of reasonable length."""
    return " ".join(str(error).split())[:300]
