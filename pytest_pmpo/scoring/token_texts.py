"""What each token of a text says, for people to read beside its loss."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pmpo.scoring.backends.base import Tokenizer

_INCOMPLETE = "\ufffd"


def token_texts(tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[str, ...]:
    """One text per token; together they are the tokens' text.

    A token is decoded together with those before it, as alone it may lose its space or be a part of a character. The
    tokens of such a character say nothing until its last one, which says it.
    """
    texts: list[str] = []
    said = ""
    for end in range(1, len(tokens) + 1):
        whole = tokenizer.decode(tokens[:end])
        if not whole.startswith(said) or (whole.endswith(_INCOMPLETE) and end < len(tokens)):
            texts.append("")
            continue
        texts.append(whole[len(said) :])
        said = whole
    return tuple(texts)
