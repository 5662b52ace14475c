"""A candidate's text → the file's new bytes. Only segments that changed are written; every other byte stays."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pmpo.errors import EditError
from pytest_pmpo.prompts.edit import apply_edits
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.model import Prompt


@dataclass(frozen=True, slots=True)
class Home:
    """Where a prompt lives: its file's bytes, its format, the prompt as it was read, and how other files are read."""

    data: bytes
    format: Format
    prompt: Prompt
    context: ParseContext | None = None

    def write(self, candidate: Prompt) -> bytes:
        """The file with the candidate's text.

        Raises:
            EditError: if the format cannot express the text there.
        """
        return apply_edits(self.data, self.prompt, changed_segments(self.prompt, candidate), self.format, self.context)

    def unwritable(self, candidate: Prompt) -> str | None:
        """Why the candidate cannot be written, in a few words, or None."""
        try:
            self.write(candidate)
        except EditError:
            return "cannot be written in this file's format"
        return None


def changed_segments(old: Prompt, new: Prompt) -> dict[tuple[int, int], str]:
    """New texts by (message, segment)."""
    return {
        (m, s): after.text
        for m, (was, now) in enumerate(zip(old.messages, new.messages, strict=True))
        for s, (before, after) in enumerate(zip(was.segments, now.segments, strict=True))
        if before.text != after.text
    }
