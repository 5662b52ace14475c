"""Grades filled in afterwards are those a run would have given itself, on a small model with random weights."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from benchmarks.optimizers import grading, results, tables, tasks  # noqa: E402 - after the skips
from benchmarks.optimizers.grading import Answerer, Plan  # noqa: E402
from benchmarks.optimizers.runs import Outcome, answers, grade  # noqa: E402
from pytest_pmpo.optimize.demos import with_examples  # noqa: E402
from pytest_pmpo.prompts.model import Fixture, Prompt  # noqa: E402
from pytest_pmpo.scoring.models import resolve  # noqa: E402
from pytest_pmpo.scoring.scorer import Scorer  # noqa: E402

pytestmark = pytest.mark.skipif(not tasks.DATA.is_dir(), reason="the public data is not beside the project")

HELDOUT, GRADED, TOKENS = 12, 9, 6
TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }} <end> {% endfor %}assistant"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of few words, most of which are answers, so that some greedy answers are right and some are not."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("models") / "few-words"
    words = ["<unk>", "<end>", "user", "assistant", "True", "False", "and", "or", "not"]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<end>"])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=2048, eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    llama = transformers.LlamaForCausalLM(config)
    for parameter in llama.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    llama.eval().save_pretrained(folder)
    return folder


@pytest.fixture
def scorer(model: Path) -> Scorer:
    found = resolve(str(model), root=model)
    return Scorer(found.fingerprint, lambda: found.open("cpu", "float32"))


def outcome(task: str, prompt: Prompt, seed: int = 0) -> Outcome:
    """What a run without grades keeps, as far as grading reads it."""
    losses = (1.0,) * HELDOUT
    text = "\n".join(message.text for message in prompt.messages)
    return Outcome(
        task, "pmpo", ("structural",), seed, "few-words", "nats", "budget", True, losses, losses, (), (), 10, 0, 1.0,
        {}, text,
    )  # fmt: skip


def winner(task: tasks.Task) -> Prompt:
    """A prompt with examples in its text and a template's own signs among them."""
    train = [fixture for fixture in task.suite.fixtures if fixture.split == "train"]
    braced = replace(train[1], vars={"input": "not {{ False }} is {% raw %}"})
    found = with_examples(task.suite.prompt, [train[0], braced])
    assert found is not None
    return found


def heldout(task: tasks.Task) -> list[Fixture]:
    return [fixture for fixture in task.suite.fixtures if fixture.split == "heldout"][:GRADED]


def test_grades_and_answers_are_those_of_the_run_itself(model: Path, scorer: Scorer) -> None:
    loaded = [tasks.load("boolean_expressions", HELDOUT, seed) for seed in range(3)]
    kept = [outcome(task.name, winner(task), seed) for seed, task in enumerate(loaded)]
    answerer = Answerer(model, "cpu", "float32")
    plan = Plan(GRADED, answer_tokens=TOKENS, slots=7)
    graded = grading.grade_task(kept, answerer, plan)
    for task, found in zip(loaded, graded, strict=True):
        best = grading.winner(task.suite.prompt, found)
        assert best.template_digest == winner(task).template_digest
        assert found.right_before == grade(scorer, task.suite.prompt, heldout(task), TOKENS)
        assert found.right_after == grade(scorer, best, heldout(task), TOKENS)
        drawn = sorted(answerer.draw([(best, fixture) for fixture in heldout(task)], TOKENS, plan))
        assert [text for *_, text in drawn] == [text for text, _ in answers(scorer, best, heldout(task), TOKENS)]
    both = [right for found in graded for right in (*found.right_before, *found.right_after)]
    assert {0.0, 1.0} == set(both), "grades that are all alike would not show a mistake"
    assert not any(found.sampled_before or found.sampled_after for found in graded)


def test_one_prompt_of_many_runs_is_answered_once(model: Path) -> None:
    task = tasks.load("boolean_expressions", HELDOUT, 0)
    answerer = Answerer(model, "cpu", "float32")
    plan = Plan(GRADED, samples=4, answer_tokens=TOKENS)
    unchanged = outcome(task.name, task.suite.prompt)
    first, second, same = grading.grade_task([outcome(task.name, winner(task)), unchanged, unchanged], answerer, plan)
    assert answerer.answers == 2 * GRADED * 5
    assert first.right_before == second.right_before == second.right_after
    assert second.sampled_before == second.sampled_after == first.sampled_before
    assert same == second
    assert len(first.sampled_after) == GRADED
    assert {4 * mean % 1 for mean in first.sampled_after} == {0.0}


def test_the_command_fills_files_in_place_and_then_has_nothing_left_to_do(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tasks.load("boolean_expressions", HELDOUT, 0)
    ungraded = tasks.load("alpaca_eval", HELDOUT, 0)
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    lines = [outcome(ungraded.name, ungraded.suite.prompt), outcome(task.name, winner(task))]
    results.rewrite(one, lines)
    results.rewrite(two, lines[1:])
    old = dict(json.loads(two.read_text()))
    del old["sampled_before"], old["sampled_after"]  # as runs wrote it before there were such fields
    two.write_text(json.dumps(old) + "\n")
    before = [*tables.by_task(lines), *tables.by_strategy(lines)]
    flags = ["--device", "cpu", "--dtype", "float32", "--graded", str(GRADED), "--answer-tokens", str(TOKENS)]
    monkeypatch.setattr(sys, "argv", ["grading", str(one), str(two), "--model", str(model), "--samples", "2", *flags])
    grading.main()
    assert "2 of 3 lines to grade" in capsys.readouterr().out
    found = results.read(one)
    assert found[0] == lines[0]
    assert [found[1]] == results.read(two)
    assert len(found[1].right_after) == len(found[1].sampled_before) == GRADED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.jsonl", "two.jsonl"]
    assert not any("sampled" in row for row in before)
    after = [row for rows in (tables.by_task(found), tables.by_strategy(found)) for row in rows if row]
    assert sum("sampled accuracy" in row for row in after) == 2
    grading.main()
    assert "0 of 3 lines to grade" in capsys.readouterr().out


def test_files_of_several_models_are_graded_only_for_the_one_given(model: Path, tmp_path: Path) -> None:
    task = tasks.load("boolean_expressions", HELDOUT, 0)
    mine = outcome(task.name, task.suite.prompt)
    mixed = {tmp_path / "a.jsonl": [mine, replace(mine, model="other")]}
    assert grading.of_model(mixed, "other") == "other"
    assert grading.of_model({tmp_path / "a.jsonl": [mine]}, "a-folder") == "few-words"
    with pytest.raises(SystemExit, match="few-words, other"):
        grading.of_model(mixed, "third")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_tables_of_runs_without_grades_show_dashes_and_no_warning() -> None:
    task = tasks.load("boolean_expressions", HELDOUT, 0)
    kept = [outcome(task.name, task.suite.prompt, seed) for seed in range(2)]
    assert next(row for row in tables.by_task(kept) if "boolean" in row).endswith("| – | – | – |")
    assert list(tables.by_strategy(kept))[-1] == "| pmpo | 0 | – | 10 | 0 |"


def test_a_run_without_a_patch_hands_over_what_was_there() -> None:
    task = tasks.load("boolean_expressions", HELDOUT, 0)
    won = replace(outcome(task.name, task.suite.prompt), loss_after=(0.5,) * HELDOUT, right_before=(0.0,))
    won = replace(won, right_after=(1.0,))
    lost = replace(won, won=False)
    handed = tables.handed_over([won, lost])
    assert handed[0] is won
    assert (handed[1].loss_after, handed[1].right_after) == (lost.loss_before, lost.right_before)
    assert "| 2 (1) |" in list(tables.by_task([won, lost]))[-1]
