"""Writing text as a YAML flow scalar: plain, single-quoted or double-quoted, on one line or folded over several."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pytest_pmpo.prompts.formats import folding
from pytest_pmpo.prompts.formats.splice import splice
from pytest_pmpo.prompts.formats.yamlplace import WIDTH, Place, printable

_UNIT = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|[^\\]", re.DOTALL)
_ESCAPES = {
    "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\x07": "\\a", "\x08": "\\b", "\x0b": "\\v",
    "\x0c": "\\f", "\x1b": "\\e", "\x85": "\\N", "\u2028": "\\L", "\u2029": "\\P",
}  # fmt: skip
_UNESCAPES = {escape[1]: char for char, escape in _ESCAPES.items()} | {"/": "/", " ": " ", "_": "\xa0", "0": "\0"}


def plain(place: Place, text: str) -> Iterator[str]:
    """No quotes. The caller's check finds out whether the text can stand without them."""
    if text and text == text.strip() and "\t" not in text:  # readers disagree about tabs outside quotes
        yield from _lines(place, text, "", str, str)


def single(place: Place, text: str) -> Iterator[str]:
    """``'…'``: a quote is doubled, nothing else is escaped."""
    yield from _lines(place, text, "'", lambda s: s.replace("'", "''"), lambda s: s.replace("''", "'"))


def double(place: Place, text: str) -> Iterator[str]:
    """``"…"``: anything, with escapes; the last one offered fits every text."""
    if _quoted(place, '"') and "\n" in place.source and printable(text):
        yield from _lines(place, text, '"', escape, unescape)
    source = place.source[1:-1] if _quoted(place, '"') else ""
    yield f'"{splice(_UNIT.findall(source), place.value, text, unescape, escape)}"'


def escape(text: str) -> str:
    """Text as it stands between YAML's double quotes; printable characters stay as they are."""
    return "".join(_escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if printable(char):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unescape(text: str) -> str:
    """The inverse of ``escape``, for every escape YAML knows."""
    return _UNIT.sub(_meaning, text)


def _meaning(found: re.Match[str]) -> str:
    unit = found.group()
    if len(unit) == 1:
        return unit
    if len(unit) > 2:
        code = int(unit[2:], 16)
        return chr(code) if code < 0x110000 else unit
    return _UNESCAPES.get(unit[1], unit)


def _quoted(place: Place, quote: str) -> bool:
    return len(place.source) > 1 and place.source[0] == place.source[-1] == quote


def _lines(
    place: Place, text: str, quote: str, encode: Callable[[str], str], decode: Callable[[str], str]
) -> Iterator[str]:
    """The text over as many lines as it needs: first re-using the old written lines, then one line per line of text."""
    same = _quoted(place, quote) if quote else place.source[:1] not in ("'", '"', "|", ">")
    written = place.source[len(quote) : len(place.source) - len(quote)].split("\n") if same else [""]
    pad = " " * place.indent
    if len(written) > 1:
        pad = next((re.sub(r"\S.*", "", line) for line in written[1:] if line.strip()), pad)
        bare = [written[0].rstrip(" \t"), *(line.strip(" \t") for line in written[1:-1]), written[-1].lstrip(" \t")]
        spelled = {decode(line): line for line in bare}
        old = folding.unfold([decode(line) for line in bare], block=False)
        if "\n".join(line.text for line in old) == place.value:
            width = max([WIDTH, *map(len, bare)])
            lines = folding.fold(folding.rewrite(old, text.split("\n"), width), block=False)
            yield _joined([spelled.get(line) or encode(line) for line in lines], pad, quote)
    fresh = folding.rewrite([], text.split("\n"), len(text))
    yield _joined([encode(line) for line in folding.fold(fresh, block=False)], pad, quote)


def _joined(lines: list[str], pad: str, quote: str) -> str:
    first, *rest = lines or [""]
    return quote + "\n".join([first, *(pad + line if line else "" for line in rest)]) + quote
