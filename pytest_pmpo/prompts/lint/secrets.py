"""Credentials that should not stand in a prompt file.

The patterns are those formats which the providers themselves document (see GitHub's list of supported secret scanning
patterns, https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns, and
the rules of gitleaks, https://github.com/gitleaks/gitleaks): a fixed prefix and a fixed length, so that prose does not
match. Nothing here guesses by entropy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PATTERNS = {
    "an AWS access key id": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{82}\b",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "an OpenAI key": r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,200}T3BlbkFJ[A-Za-z0-9_-]{20,200}\b",
    "an Anthropic key": r"\bsk-ant-(?:api|admin)\d{2}-[A-Za-z0-9_-]{80,}",
    "a Google API key": r"\bAIza[A-Za-z0-9_-]{35}\b",
    "a Hugging Face token": r"\bhf_[A-Za-z]{34}\b",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Slack webhook": r"https://hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",
    "a Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{20,}\b",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a PyPI token": r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
    "a SendGrid key": r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b",
    "a Twilio key": r"\bSK[0-9a-f]{32}\b",
    "an Azure storage key": r"\bAccountKey=[A-Za-z0-9+/]{86}==",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "a signed JSON web token": r"\beyJ[A-Za-z0-9_-]{10,500}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{20,1000}\b",
    "a URL with a password": r"\b[a-z][a-z0-9+.-]{1,15}://[^\s/:@{}$<]{1,64}:[^\s/:@{}$<]{3,64}@[A-Za-z0-9.-]+",
}
_ANY = re.compile("|".join(f"(?P<p{number}>{pattern})" for number, pattern in enumerate(_PATTERNS.values())))
_KINDS = tuple(_PATTERNS)


def secrets(text: str) -> Iterator[tuple[str, int, str]]:
    """Every credential in a text: what kind, the index it begins at, and its first characters, safe to print."""
    for found in _ANY.finditer(text):
        kind = _KINDS[int((found.lastgroup or "p0")[1:])]
        yield kind, found.start(), found[0][:6] + "…"
