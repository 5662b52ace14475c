"""Where the answer stands in a response: shared by the graders that compare a short answer.

A response that reasons first ends in its answer, so the last marker wins. All patterns are linear in the length of the
text; a response is cut to its last ``WINDOW`` characters, for text of models is hostile.
"""

from __future__ import annotations

import re

WINDOW = 20_000
_MARKER = re.compile(
    r"(?:final answer|correct answer|answer|antwort|####)(?:\s{0,3}(?:is|are|ist|:|=|->))?", re.IGNORECASE
)
_BOX = re.compile(r"\\boxed\s{0,3}\{([^{}\n]{0,200})\}")
_ENDS = " \t\r\n.,;:!?\"'`*_$()[]{}"


def final_answer(response: str) -> str | None:
    """What follows the last answer marker on its line (``The answer is …``, ``Answer: …``, ``#### …``, ``\\boxed{…}``).

    None where there is no marker.
    """
    text = response[-WINDOW:]
    box = _last(_BOX, text)
    marker = _last(_MARKER, text)
    if box is not None and (marker is None or box.start() >= marker.start()):
        return box.group(1).strip()
    if marker is None:
        return None
    rest = text[marker.end() :].lstrip(" \t:=*_\"'`$")
    line = (rest if rest.strip() else "").lstrip().split("\n", 1)[0]
    return line.strip() or None


def normalised(text: str) -> str:
    """Case, runs of white space, and punctuation at both ends do not count."""
    return " ".join(text.casefold().split()).strip(_ENDS)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007 - the loop runs for its last value
        pass
    return found
