"""LongRoPE (arXiv 2402.13753) in transformers: the longest row of a pass decides the frequencies of all its rows."""

from __future__ import annotations

from typing import Any


def long_rope_limit(config: Any) -> int | None:
    """Positions up to which frequencies are the same for all; None for a model whose frequencies never change.

    A row beyond it must go alone, or its neighbours' losses would change with it.
    """
    parameters = getattr(config.get_text_config(), "rope_parameters", None) or {}
    for kind in (parameters, *(value for value in parameters.values() if isinstance(value, dict))):
        if kind.get("rope_type") == "longrope":
            own = kind.get("original_max_position_embeddings")
            return int(own or config.get_text_config().original_max_position_embeddings)
    return None
