"""A candidate's text → the file's new bytes. Only segments that changed are written; every other byte stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pmpo.errors import EditError
from pytest_pmpo.optimize.shots import PROBE, place_of
from pytest_pmpo.prompts.edit import apply_edits, insert_turns, is_added
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.formats.paths import reads_nothing
from pytest_pmpo.prompts.model import Message, Prompt, Turn


@dataclass(frozen=True, slots=True)
class Home:
    """Where a prompt lives: its file's bytes, its format, the prompt as it was read, and how other files are read."""

    data: bytes
    format: Format
    prompt: Prompt
    context: ParseContext | None = None

    def write(self, candidate: Prompt) -> bytes:
        """The file with the candidate's text and the turns that were added to it.

        Raises:
            EditError: if the format cannot express the text or the turns there.
        """
        kept = [message for message in candidate.messages if not is_added(message)]
        data = apply_edits(
            self.data, self.prompt, changed_segments(self.prompt.messages, kept), self.format, self.context
        )
        added = [number for number, message in enumerate(candidate.messages) if is_added(message)]
        if not added:
            return data
        if added != list(range(added[0], added[0] + len(added))):
            raise EditError("turns were added in more than one place")
        turns = [Turn(candidate.messages[n].role, candidate.messages[n].text) for n in added]
        return insert_turns(data, self._read(data), added[0], turns, self.format, self.context)

    def unwritable(self, candidate: Prompt) -> str | None:
        """Why the candidate cannot be written, in a few words, or None."""
        try:
            self.write(candidate)
        except EditError:
            return "cannot be written in this file's format"
        return None

    def takes_turns(self) -> bool:
        """Whether few-shot turns can be put into this file."""
        place = place_of(self.prompt)
        if place is None:
            return False
        try:
            insert_turns(self.data, self.prompt, place, PROBE, self.format, self.context)
        except EditError:
            return False
        return True

    def _read(self, data: bytes) -> Prompt:
        if data == self.data:
            return self.prompt
        suites = self.format.parse(self.prompt.path, data, self.context or ParseContext(read=reads_nothing))
        return next(suite.prompt for suite in suites if suite.prompt.variant == self.prompt.variant)


def changed_segments(old: Sequence[Message], new: Sequence[Message]) -> dict[tuple[int, int], str]:
    """New texts by (message, segment)."""
    return {
        (m, s): after.text
        for m, (was, now) in enumerate(zip(old, new, strict=True))
        for s, (before, after) in enumerate(zip(was.segments, now.segments, strict=True))
        if before.text != after.text
    }
