"""Settings from a file and the command line."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from pytest_pmpo.config import Settings, load
from pytest_pmpo.errors import ConfigError


def write(folder: Path, text: str, name: str = "pyproject.toml") -> Path:
    """A file with ``text``, its folder made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def refused(folder: Path, text: str, name: str = "pyproject.toml", **given: object) -> str:
    """The message settings are refused with."""
    write(folder, text, name)
    with pytest.raises(ConfigError) as caught:
        load(folder, None, given)
    return str(caught.value)


def test_without_a_file_the_defaults_hold(tmp_path: Path):
    """No file: every default, from the folder the run starts in."""
    config = load(tmp_path, None, {})
    assert config.settings == Settings()
    assert config.settings.prompts == ("prompts",)
    assert config.folder == tmp_path
    assert config.origin("tolerance") == "default"


def test_the_file_wins_over_the_defaults_and_the_command_line_over_the_file(tmp_path: Path):
    """Three layers, the later ones stronger, each value with its origin."""
    write(tmp_path, "[tool.pmpo]\ntolerance = 0.1\nalpha = 0.2\n")
    config = load(tmp_path, None, {"alpha": 0.01})
    assert (config.settings.tolerance, config.settings.alpha, config.settings.strict) == (0.1, 0.01, False)
    assert config.origin("tolerance") == "pyproject.toml:2"
    assert config.origin("alpha") == "command line"
    assert config.origin("strict") == "default"


def test_settings_are_frozen(tmp_path: Path):
    """Nobody changes settings in the middle of a run."""
    with pytest.raises(FrozenInstanceError):
        load(tmp_path, None, {}).settings.tolerance = 1.0  # type: ignore[misc]  # that is the point


def test_the_nearest_file_up_to_the_repository_root_is_taken(tmp_path: Path):
    """A file of the sub-project wins over the repository's; above the repository nothing is read."""
    write(tmp_path, "[tool.pmpo]\nalpha = 0.1\n")
    top = write(tmp_path / "repo", "[tool.pmpo]\nalpha = 0.2\n")
    service = write(top / "service", "[project]\nname = 'x'\n")
    config = load(service, top, {})
    assert config.settings.alpha == 0.2
    assert config.folder == top
    assert config.origin("alpha") == "../pyproject.toml:2"
    write(service, "alpha = 0.3\n", "pmpo.toml")
    assert load(service, top, {}).settings.alpha == 0.3
    other = write(tmp_path / "other", "")
    assert load(other, other, {}).settings.alpha == 0.05


def test_prompts_of_a_sub_project_are_found_below_it(tmp_path: Path):
    """Patterns are relative to the file's folder, the discovery's to the repository."""
    service = write(tmp_path / "service", "[tool.pmpo]\nprompts = ['prompts', '../shared/*.prompty', './x']\n")
    config = load(service, tmp_path, {})
    assert config.patterns(tmp_path) == ("service/prompts", "shared/*.prompty", "service/x")


def test_two_files_with_settings_in_one_folder_are_refused(tmp_path: Path):
    """One of them would silently lose."""
    write(tmp_path, "alpha = 0.1\n", "pmpo.toml")
    message = refused(tmp_path, "[tool.pmpo]\nalpha = 0.2\n")
    assert message == "pyproject.toml:1: settings stand here and in pmpo.toml: keep one of them"


def test_an_unknown_key_is_refused_with_line_and_near_miss(tmp_path: Path):
    """A typing mistake never switches a setting off silently."""
    message = refused(tmp_path, "[tool.pmpo]\n\ntolerence = 0.1\n")
    assert message == "pyproject.toml:3: unknown setting 'tolerence'\n  hint: did you mean 'tolerance'?"


def test_an_unknown_key_without_a_near_miss_lists_what_there_is(tmp_path: Path):
    """Someone who guesses sees all names."""
    message = refused(tmp_path, "[tool.pmpo]\nzzz = 1\n")
    assert "known settings: alpha, base, baseline, blocking, cache" in message


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path):
    """One run is enough to mend a file."""
    text = '[tool.pmpo]\ntolerance = -1\nprompt = ["a"]\n[[tool.pmpo.override]]\npaths = ["x"]\nstrickt = true\n'
    assert refused(tmp_path, text).splitlines() == [
        "pyproject.toml:2: tolerance: should be greater than or equal to 0",
        "pyproject.toml:3: unknown setting 'prompt' (did you mean 'prompts'?)",
        "pyproject.toml:6: unknown setting 'override.strickt' (did you mean 'strict'?)",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('alpha = "0.05"', "alpha: should be a valid number"),
        ("alpha = 0", "alpha: should be greater than 0"),
        ("tolerance = nan", "tolerance: should be a finite number"),
        ("prompts = []", "prompts: should not be empty"),
        ('prompts = "prompts"', "prompts: should be a list\n  hint: write ['prompts']"),
        ('prompts = [""]', "prompts: should not be empty"),
        ('device = "tpu"', "device: should be one of auto, cpu, cuda, cuda:0, mps"),
        ('dtype = "int8"', "dtype: should be 'auto', 'float32', 'bfloat16' or 'float16'"),
        ("blocking = true", "blocking: should be 'always', 'no-proxy' or 'never'"),
        (
            'blocking = "no_proxies"',
            "blocking: should be 'always', 'no-proxy' or 'never'\n  hint: did you mean 'no-proxy'?",
        ),
        ("hard_break = true", "hard_break: should be a valid number"),
        ("strict = 1", "strict: should be true or false"),
        ("max_batch_tokens = 1.5", "max_batch_tokens: should be a valid integer"),
        ("model = 3", "model: should be a name, or a list of names"),
        ("override = 3", "override: should be a list"),
        ("override = [{strict = true}]", "override.paths is missing"),
        ('graders = "exact"', "graders: should be a table"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_line(tmp_path: Path, line: str, message: str):
    """Nothing is converted silently."""
    assert refused(tmp_path, f"# first\n[tool.pmpo]\n{line}\n") == f"pyproject.toml:3: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.pmpo]\nmodel = "a"\nmodels = ["b"]', "model and models contradict each other"),
        ('[tool.pmpo]\nbase = "a"\nbaseline = "b"', "base and baseline contradict each other"),
        ('[tool.pmpo]\nrevision = "a"\nmodels = ["b/c", "d/e"]', "revision is for one model"),
        ("[tool]\npmpo = 3", "tool.pmpo is not a table"),
        ("[tool.pmpo\n", "the file is not valid TOML"),
    ],
)
def test_a_contradiction_or_a_broken_file_is_refused_with_a_place(tmp_path: Path, text: str, message: str):
    """Never a guess at what was meant."""
    said = refused(tmp_path, text)
    assert message in said
    assert said.startswith("pyproject.toml:")


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path):
    """No traceback from the decoder."""
    (tmp_path / "pmpo.toml").write_bytes(b"alpha = 0.1\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"^pmpo\.toml:2: the file is not UTF-8$"):
        load(tmp_path, None, {})


def test_a_bad_value_on_the_command_line_names_the_option(tmp_path: Path):
    """The file is not blamed for what was typed."""
    write(tmp_path, "[tool.pmpo]\ntolerance = 0.1\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, None, {"tolerance": -3.0})
    assert str(caught.value) == "--pmpo-tolerance should be greater than or equal to 0, not -3.0"


def test_model_is_the_short_form_of_models(tmp_path: Path):
    """One model needs no list; its origin is the line it stands on."""
    write(tmp_path, '[tool.pmpo]\nmodel = "fake"\n')
    config = load(tmp_path, None, {})
    assert config.settings.models == ("fake",)
    assert config.origin("models") == "pyproject.toml:2"
    assert load(tmp_path, None, {"models": ("a/b",)}).settings.models == ("a/b",)


def test_a_model_on_the_command_line_drops_the_revision_of_the_file(tmp_path: Path):
    """The revision belongs to the file's model."""
    write(tmp_path, '[tool.pmpo]\nmodel = "a/b"\nrevision = "abc"\n')
    assert load(tmp_path, None, {}).settings.revision == "abc"
    assert load(tmp_path, None, {"models": ("c/d",)}).settings.revision is None


def test_a_base_on_the_command_line_replaces_a_baseline_of_the_file(tmp_path: Path):
    """Base and baseline exclude each other; the command line decides."""
    write(tmp_path, '[tool.pmpo]\nbaseline = "numbers.json"\n')
    settings = load(tmp_path, None, {"base": "v1"}).settings
    assert (settings.base, settings.baseline) == ("v1", None)


def test_hard_break_can_be_switched_off(tmp_path: Path):
    """``false`` is no number: the guard is off."""
    write(tmp_path, "[tool.pmpo]\nhard_break = false\n")
    assert load(tmp_path, None, {}).settings.hard_break is None


OVERRIDES = """\
[tool.pmpo]
tolerance = 0.1
revision = "abc"
model = "a/b"

[[tool.pmpo.override]]
paths = ["prompts/legal/", "*.prompty"]
tolerance = 0.2
hard_break = false

[[tool.pmpo.override]]
paths = ["prompts/legal/strict.*"]
tolerance = 0.0
model = "fake"
"""


def test_overrides_hold_for_the_paths_they_name_and_the_last_one_wins(tmp_path: Path):
    """Globs as in .gitignore, merged key by key in order."""
    write(tmp_path, OVERRIDES)
    config = load(tmp_path, None, {})
    assert config.for_path("prompts/triage.prompt.yml") == config.settings
    legal = config.for_path("prompts/legal/a.prompt.yml")
    assert (legal.tolerance, legal.hard_break, legal.models) == (0.2, None, ("a/b",))
    strict = config.for_path("prompts/legal/strict.prompt.yml")
    assert (strict.tolerance, strict.hard_break, strict.models, strict.revision) == (0.0, None, ("fake",), None)
    assert config.for_path("deep/down/x.prompty").tolerance == 0.2


def test_the_command_line_wins_over_overrides_too(tmp_path: Path):
    """Whoever types an option means it for everything."""
    write(tmp_path, OVERRIDES)
    config = load(tmp_path, None, {"tolerance": 0.5})
    assert config.for_path("prompts/legal/a.prompt.yml").tolerance == 0.5


def test_describe_tells_every_setting_its_value_and_its_origin(tmp_path: Path):
    """What ``--pmpo-show-config`` prints."""
    write(tmp_path, OVERRIDES)
    lines = list(load(tmp_path, None, {"strict": True}).describe())
    assert "tolerance = 0.1  (pyproject.toml:2)" in lines
    assert 'models = ["a/b"]  (pyproject.toml:4)' in lines
    assert "strict = true  (command line)" in lines
    assert "hard_break = 1.0  (default)" in lines
    assert (
        lines[-2] == "override for prompts/legal/, *.prompty: tolerance = 0.2, hard_break = false  (pyproject.toml:6)"
    )
