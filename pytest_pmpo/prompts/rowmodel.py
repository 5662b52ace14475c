"""The shape of one fixture, as pydantic checks it and as its JSON Schema tells editors.

Imported when the first row is read: pydantic is not free to import.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _text(value: Any) -> Any:
    """Numbers as text; a boolean is refused, since which text was meant (``yes``? ``true``?) is lost."""
    if isinstance(value, bool):
        raise ValueError("a boolean is not text: put it in quotes")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"the text is not Unicode: {error.reason}") from error
    return str(value) if isinstance(value, int | float) else value


def _words(value: Any) -> Any:
    return value.replace(",", " ").split() if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]


class TurnModel(BaseModel):
    """One earlier turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system", "developer", "user", "human", "assistant", "model", "ai", "tool"]
    content: Text


Texts = Annotated[Text | list[Text] | list[TurnModel], Field(union_mode="left_to_right")]


class RowModel(BaseModel):
    """One labelled input. Exactly one kind of label: ``expected``; ``prefix``; ``chosen`` and ``rejected``; or
    ``choices`` with ``expected`` or ``gold``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text | None = Field(None, description="Unique among the prompt's fixtures; made from the input where absent.")
    vars: dict[str, Any] = Field(default_factory=dict, description="Template variables.")
    input: Any = Field(None, description="The variable 'input', or a conversation that ends with a user message.")
    prompt: Any = Field(None, description="The variable 'prompt', or a conversation that ends with a user message.")
    expected: Text | list[Text] | None = Field(
        None, description="The right answer; one of 'choices' where there are any."
    )
    expected_output: Text | list[Text] | None = Field(None, description="Another name for 'expected'.")
    ideal: Text | list[Text] | None = Field(None, description="Another name for 'expected'.")
    prefix: Text | None = Field(None, description="How the right answer starts.")
    chosen: Texts | None = Field(None, description="The better answer, or several.")
    rejected: Texts | None = Field(None, description="The worse answer, or several.")
    choices: list[Text] | None = Field(None, description="All possible answers.")
    gold: int | Text | None = Field(None, description="The right one of 'choices', by its number (from 0) or its text.")
    history: list[TurnModel] = Field(default_factory=list, description="Earlier turns of the conversation.")
    group: Text | None = Field(None, description="Fixtures from one source share a group; statistics count it once.")
    weight: float = Field(1.0, gt=0, allow_inf_nan=False, description="Weight in every mean.")
    tags: Annotated[list[Text], BeforeValidator(_words)] = Field(default_factory=list, description="Free words.")
    split: Literal["train", "selection", "heldout"] | None = Field(None, description="Who may see it in optimization.")
