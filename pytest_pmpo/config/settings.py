"""What the settings may hold, checked and explained by pydantic.

``record.py`` says which there are and what holds by default; imported only for settings that it does not recognise as
right. The field descriptions are what editors show through the published JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from pytest_pmpo.config import record
from pytest_pmpo.errors import ConfigError
from pytest_pmpo.gate.records import Blocking
from pytest_pmpo.scoring.devices import choose_device

_DEFAULT = record.Settings()


def _as_tuple(value: object) -> object:
    """TOML has arrays, the record has tuples; a lone string is not split into letters."""
    return tuple(value) if isinstance(value, list) else value


def _off_is_none(value: object) -> object:
    """``hard_break = false`` switches the guard off; ``true`` says nothing and is refused by the type."""
    return None if value is False else value


def _usable_grader(value: Any) -> Any:
    from pytest_pmpo.responses.graders.select import GraderSpec  # only a file that names graders pays for it

    if not isinstance(value, str | dict) or not value:
        raise ValueError(f"should be a grader's name, module:function, or a table with 'grader', not {value!r:.60}")
    try:
        GraderSpec.parse(value).check()
    except ConfigError as error:
        raise ValueError(error.message if error.hint is None else f"{error.message} ({error.hint})") from error
    return value


def _known_device(value: str) -> str:
    try:
        choose_device(value)
    except ConfigError as error:
        raise ValueError("should be one of auto, cpu, cuda, cuda:0, mps") from error
    return value


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Device = Annotated[str, AfterValidator(_known_device)]
DType = Literal["auto", "float32", "bfloat16", "float16"]
Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Grader = Annotated[
    Any,
    AfterValidator(_usable_grader),
    WithJsonSchema(
        {
            "description": "A grader's name, module:function, or a table with 'grader' and its options.",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "required": ["grader"], "properties": {"grader": {"type": "string"}}},
            ],
        }
    ),
]
HardBreak = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
    BeforeValidator(_off_is_none, json_schema_input_type=float | Literal[False]),
]


class _Table(BaseModel):
    """What all tables share: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Override(_Table):
    """``[[tool.pmpo.override]]``: other settings for some prompts. The last entry that matches wins, key by key."""

    paths: Texts = Field(description="Globs as in .gitignore, from the folder of the configuration file.")
    models: Texts | None = Field(None, description="Models these prompts are judged under.")
    metric: Text | None = Field(None, description="Metric of these prompts.")
    label_keys: Texts | None = Field(None, description="Test-data keys that hold the expected answer.")
    end_of_turn: bool | None = Field(None, description="Score the end-of-turn token of the answer as well.")
    tolerance: Tolerance | None = Field(None, description="How much worse counts as the same.")
    hard_break: HardBreak = Field(None, description="Nats per token one fixture may lose; false switches it off.")
    strict: bool | None = Field(None, description="An inconclusive verdict fails.")
    blocking: Blocking | None = Field(None, description="Which failing verdicts fail the build; the others inform.")

    @model_validator(mode="before")
    @classmethod
    def _model_means_models(cls, data: Any) -> Any:
        return model_means_models(data)

    def to_record(self) -> record.Override:
        """With the settings this entry sets, ``hard_break = false`` among them."""
        given = [key for key in type(self).model_fields if key in self.model_fields_set - {"paths"}]
        return record.Override(self.paths, {key: getattr(self, key) for key in given})


class Settings(_Table):
    """Everything a run can be told. Paths are relative to the folder of the configuration file."""

    prompts: Texts = Field(_DEFAULT.prompts, description="Folders, files or globs that hold the prompts.")
    models: Texts = Field(_DEFAULT.models, description="Models to judge under: names, hub ids, folders, GGUF files.")
    revision: Text | None = Field(None, description="Hub revision of the model; with several write name@revision.")
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    dtype: DType = Field("auto", description="Of the weights as they are run; auto is float32 on a CPU.")
    metric: Text = Field("auto", description="auto takes the most telling metric the fixtures support.")
    end_of_turn: bool = Field(False, description="Score the end-of-turn token of the answer as well.")
    label_keys: Texts = Field(_DEFAULT.label_keys, description="Test-data keys that hold the expected answer.")
    tolerance: Tolerance = Field(
        0.02, description="How much worse counts as the same: a share of the base's mean loss, or accuracy points."
    )
    hard_break: HardBreak = Field(1.0, description="Nats per token one fixture may lose; false switches it off.")
    alpha: float = Field(0.05, gt=0, le=0.5, description="Error rate of all verdicts of a run together.")
    strict: bool = Field(False, description="An inconclusive verdict fails.")
    blocking: Blocking = Field(
        "always",
        description="Which failing verdicts fail the build; the others inform. no-proxy: those that a metric reached "
        "which is no proxy for accuracy (a response bank).",
    )
    base: Text | None = Field(None, description="Git ref to compare with; by default the merge base.")
    baseline: Text | None = Field(None, description="Saved baseline to compare with instead of a git ref.")
    cache: bool = Field(True, description="Look losses up in, and add them to, the cache.")
    cache_dir: Text | None = Field(None, description="Folder of the cache and of converted models.")
    max_batch_tokens: int | None = Field(None, gt=0, description="Tokens per forward pass; by default from memory.")
    trust_remote_code: bool = Field(
        False, description="Run Python code that comes with a model. Read from the base commit, never from the head."
    )
    graders: dict[Text, Grader] = Field(
        default_factory=dict,
        description="What grades the responses of a bank, by glob of prompt files; the last that matches counts.",
    )
    override: Annotated[tuple[Override, ...], BeforeValidator(_as_tuple)] = Field(
        (), description="Other settings for some prompts."
    )

    @model_validator(mode="before")
    @classmethod
    def _model_means_models(cls, data: Any) -> Any:
        return model_means_models(data)

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.base is not None and self.baseline is not None:
            raise ValueError("base and baseline contradict each other: set one of them")
        if self.revision is not None and len(self.models) > 1:
            raise ValueError("revision is for one model; with several write name@revision in models")
        return self

    def to_record(self) -> record.Settings:
        """As plain values."""
        values = {name: getattr(self, name) for name in record.NAMES}
        return record.Settings(**{**values, "override": tuple(entry.to_record() for entry in self.override)})


def model_means_models(data: Any) -> Any:
    """``model = "a"`` is the short form of ``models = ["a"]``."""
    if not isinstance(data, Mapping) or "model" not in data:
        return data
    if "models" in data:
        raise ValueError("model and models contradict each other: set one of them")
    rest = {key: value for key, value in data.items() if key != "model"}
    model = data["model"]
    return {**rest, "models": [model] if isinstance(model, str) else model}
