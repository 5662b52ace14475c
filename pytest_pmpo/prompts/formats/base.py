"""The protocol every prompt format implements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, runtime_checkable

from pytest_pmpo.prompts.model import Prompt, PromptSuite, Segment, Turn

READS_NOTHING: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class ParseContext:
    """What a format may know besides the bytes.

    Attributes:
        read: bytes of another file of the same version (working tree or git ref), by path relative to the repository
            root; raises ``SourceError`` when it is missing or outside. Formats never touch the disk themselves.
        glob: paths of the same version that match a glob relative to the repository root, sorted.
        label_keys: test-data keys that hold the expected answer, in order of preference.
        wants_fixtures: False asks for the prompts alone: fixtures in the file are not read, and nothing that is wrong
            with them may fail.
    """

    read: Callable[[str], bytes]
    glob: Callable[[str], tuple[str, ...]] = lambda pattern: ()
    label_keys: tuple[str, ...] = ("expected", "expected_output", "ideal", "answer", "output", "label", "reference")
    wants_fixtures: bool = True


@dataclass(frozen=True, slots=True)
class Insertion:
    """Bytes to put in front of byte ``at`` of a file."""

    at: int
    data: bytes


class Format(Protocol):
    """Reads one kind of prompt file and writes edited text back into it."""

    name: str

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        """Whether this format claims the file, from its path and first 4 KiB. Cheap, never raises."""
        ...

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        """Every prompt in the file, each with the fixtures the file itself carries (often none).

        Raises:
            FormatError: with file and line, if the file is not this format's or is refused by name.
            FixtureError: with file and line, for labels inside the file.
        """
        ...

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        """The bytes to put at ``segment.span`` of ``data`` so that it parses back to exactly ``text``.

        Raises:
            EditError: if this format cannot express ``text`` there.
        """
        ...


@runtime_checkable
class TakesTurns(Protocol):
    """A format whose files hold the turns of a conversation one by one, so that turns can be added."""

    def insertion(self, prompt: Prompt, data: bytes, place: int, turns: Sequence[Turn]) -> Insertion:
        """What to add to ``data`` so that the turns stand in front of message ``place``.

        Args:
            turns: their contents are template text of the prompt's engine.

        Raises:
            EditError: if this file is not written so that turns can be put there.
        """
        ...
