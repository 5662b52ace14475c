"""Writing text as a JSON string, keeping the old spelling of what stays."""

from __future__ import annotations

import json
import re

from pytest_pmpo.prompts.formats.splice import splice

_UNIT = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL)


def encode(source: str, value: str, text: str) -> str:
    """``text`` in double quotes; characters beyond ASCII are escaped where the old source escaped all of its own."""
    escapes_all = source.isascii() and not value.isascii()

    def spelled(part: str) -> str:
        return json.dumps(part, ensure_ascii=escapes_all)[1:-1]

    def meant(unit: str) -> str:
        found = json.loads(f'"{unit}"', strict=False)
        return found if isinstance(found, str) else unit

    return f'"{splice(_UNIT.findall(source[1:-1]), value, text, meant, spelled)}"'
