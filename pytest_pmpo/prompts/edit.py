"""New text for a prompt's segments, or new turns → new bytes of its file, every other byte unchanged.

A format only has to say how a text is spelled at its place (``Format.encode``). Whether the result means what was
intended is not taken on trust: the new file is read again and compared with the old one, turn by turn and fixture by
fixture, and anything but the intended difference is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_pmpo.errors import EditError, FormatError, Location, PmpoError
from pytest_pmpo.prompts.formats.base import Format, ParseContext, TakesTurns
from pytest_pmpo.prompts.formats.paths import reads_nothing
from pytest_pmpo.prompts.model import Fixture, Message, Prompt, PromptSuite, Segment, Turn

ADDED = "added"
"""Style of a segment that stands in no file yet."""


def apply_edits(
    data: bytes,
    prompt: Prompt,
    edits: Mapping[tuple[int, int], str],
    format: Format,
    context: ParseContext | None = None,
) -> bytes:
    """The file with the texts of some segments replaced.

    Args:
        data: the file as ``prompt`` was read from it.
        prompt: the prompt.
        edits: new text by (message, segment); a text equal to the old one changes nothing.
        format: the format that read the prompt.
        context: how the format reads other files, where the prompt refers to some.

    Raises:
        EditError: a segment cannot be edited, a text cannot be written in this format at this place (a null character,
            a role line…), or the file is not the one the prompt was read from.
    """
    changes = {
        place: text for place, text in edits.items() if text != _segment(prompt, place).text or _must_refuse(text)
    }
    intended = prompt
    new = data
    for place in sorted(
        changes, key=lambda p: _start(prompt, p), reverse=True
    ):  # from behind: earlier spans stay valid
        segment, text = _segment(prompt, place), changes[place]
        _check(prompt, place, segment, text)
        span = segment.span
        assert span is not None  # _check refuses segments without one
        new = new[: span.start] + format.encode(prompt, segment, text, new) + new[span.end :]
        intended = intended.with_text(*place, text)
    if changes:
        _verify(data, new, prompt, intended, format, context or ParseContext(read=reads_nothing))
    return new


def insert_turns(
    data: bytes,
    prompt: Prompt,
    place: int,
    turns: Sequence[Turn],
    format: Format,
    context: ParseContext | None = None,
) -> bytes:
    """The file with turns in front of a message.

    Args:
        data: the file as ``prompt`` was read from it.
        place: index of the message.
        turns: in order; their contents are template text of the prompt's engine.
        format: the format that read the prompt.
        context: how the format reads other files, where the prompt refers to some.

    Raises:
        EditError: the format holds no turns, the file is not written so that turns can be put there, or they would not
            read back as they are.
    """
    where = Location(prompt.path)
    if not isinstance(format, TakesTurns):
        raise EditError(f"a file of the format {format.name} holds no turns one by one", location=where)
    if any(_must_refuse(turn.content) or not turn.content for turn in turns):
        raise EditError("a turn needs text without null characters and halves of surrogate pairs", location=where)
    added = format.insertion(prompt, data, place, turns)
    new = data[: added.at] + added.data + data[added.at :]
    intended = with_turns(prompt, place, turns)
    _verify(data, new, prompt, intended, format, context or ParseContext(read=reads_nothing))
    return new


def with_turns(prompt: Prompt, place: int, turns: Sequence[Turn]) -> Prompt:
    """The prompt in memory with turns in front of message ``place``. They have no bytes yet and cannot be edited."""
    added = tuple(Message(turn.role, (Segment(turn.content, editable=False, style=ADDED),)) for turn in turns)
    metadata = dict(prompt.metadata)
    history = metadata.get("history_index")
    if isinstance(history, int) and not isinstance(history, bool) and history >= place:
        metadata["history_index"] = history + len(added)
    messages = (*prompt.messages[:place], *added, *prompt.messages[place:])
    return replace(prompt, messages=messages, metadata=metadata)


def is_added(message: Message) -> bool:
    """Whether ``with_turns`` put the message there."""
    return any(segment.style == ADDED for segment in message.segments)


def _segment(prompt: Prompt, place: tuple[int, int]) -> Segment:
    message, segment = place
    if not 0 <= message < len(prompt.messages) or not 0 <= segment < len(prompt.messages[message].segments):
        raise EditError(f"there is no segment {segment} in message {message}", location=Location(prompt.path))
    return prompt.messages[message].segments[segment]


def _start(prompt: Prompt, place: tuple[int, int]) -> int:
    span = _segment(prompt, place).span
    return -1 if span is None else span.start


def _must_refuse(text: str) -> bool:
    return "\0" in text or any("\ud800" <= char <= "\udfff" for char in text)


def _check(prompt: Prompt, place: tuple[int, int], segment: Segment, text: str) -> None:
    where = Location(prompt.path, prompt.messages[place[0]].line)
    if segment.path is not None:
        raise EditError(f"this text stands in another file, {segment.path}", location=where)
    if not segment.editable or segment.span is None:
        raise EditError("this text has no place of its own in the file", location=where)
    if "\0" in text:
        raise EditError("a null character cannot be written into a prompt file", location=where)
    if _must_refuse(text):
        raise EditError("half of a surrogate pair is no text", location=where)


def _verify(old: bytes, new: bytes, prompt: Prompt, intended: Prompt, format: Format, context: ParseContext) -> None:
    where = Location(prompt.path)
    try:
        before = format.parse(prompt.path, old, context)
    except PmpoError as error:
        raise EditError(f"the file cannot be read again: {error.message}", location=error.location or where) from error
    number = next((n for n, suite in enumerate(before) if _is(suite.prompt, prompt)), None)
    if number is None:
        raise EditError("the file is not the one this prompt was read from", location=where)
    try:
        after = format.parse(prompt.path, new, context)
    except PmpoError as error:
        what = "this text breaks the file" if isinstance(error, FormatError) else "this text changes the fixtures"
        raise EditError(f"{what}: {error.message}", location=error.location or where) from error
    wanted = list(map(_meaning, before))
    wanted[number] = _meaning(
        replace(
            before[number],
            prompt=replace(before[number].prompt, messages=intended.messages, metadata=intended.metadata),
        )
    )
    if list(map(_meaning, after)) != wanted:
        raise EditError(_difference(after, number, intended), location=where)


def _is(read: Prompt, given: Prompt) -> bool:
    return (
        read.variant == given.variant
        and read.digest == given.digest
        and _turns(read.messages) == _turns(given.messages)
    )


def _turns(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    # by turn, not by segment: white space at the edge of a text may come back as part of the segment beside it
    return [(message.role, message.text) for message in messages]


def _meaning(suite: PromptSuite) -> tuple[object, ...]:
    """What a suite says, without where it says it."""
    prompt = suite.prompt
    return (
        prompt.name,
        prompt.variant,
        prompt.engine,
        prompt.undefined,
        _turns(prompt.messages),
        {name: variable for name, variable in prompt.inputs.items() if variable.kind != "implied"},
        dict(prompt.partials),
        dict(prompt.metadata),
        [_placeless(fixture) for fixture in suite.fixtures],
    )


def _placeless(fixture: Fixture) -> Fixture:
    return replace(fixture, location=None)


def _difference(after: tuple[PromptSuite, ...], number: int, intended: Prompt) -> str:
    if number >= len(after):
        return "with this text the file holds fewer prompts"
    got, wanted = _turns(after[number].prompt.messages), _turns(intended.messages)
    if [role for role, _ in got] != [role for role, _ in wanted]:
        return f"with this text the prompt has other turns: {', '.join(role for role, _ in got)}"
    for (_, text), (_, goal) in zip(got, wanted, strict=True):
        if text != goal:
            return f"this text would read back as {text[:60]!r} instead of {goal[:60]!r}"
    if after[number].prompt.engine != intended.engine:
        return f"with this text the prompt becomes a template ({after[number].prompt.engine})"
    return "this text would change something else in the file"
