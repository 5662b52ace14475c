"""What can be wrong with a model, its numbers and its memory, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
transformers = pytest.importorskip("transformers", reason="the model libraries are not installed")

from pytest_pmpo.errors import ModelError, NumericsError  # noqa: E402
from pytest_pmpo.scoring.backends.loading import open_directory  # noqa: E402
from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402
from pytest_pmpo.scoring.records import EncodedSequence  # noqa: E402

Build = Callable[[str], Any]
Tree = Callable[[int], list[EncodedSequence]]


class Tokenizer:
    """Sequences are ids already."""

    chat_template = None
    eos_token_id = 2


def test_nan_names_the_sequence(build: Build, tree: Tree) -> None:
    model = build("llama")
    model.model.norm.weight.data.fill_(float("nan"))
    backend = TransformersBackend(model, Tokenizer())
    with pytest.raises(NumericsError, match="row: the model gave nan at target token 1"):
        backend.score(tree(1))


def test_a_tokenizer_of_another_model_is_refused(build: Build) -> None:
    backend = TransformersBackend(build("llama"), Tokenizer())
    with pytest.raises(
        ModelError, match=r"fixture 'a': the tokenizer gives id 500, but .* LlamaForCausalLM has 97 rows"
    ):
        backend.score([EncodedSequence((3, 500), 1, "fixture 'a'")])


def test_a_model_that_does_something_else_to_its_logits_is_refused(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("llama")
    forward = model.forward

    def louder(**options: Any) -> Any:
        outputs = forward(**options)
        outputs.logits = outputs.logits * 1.5
        return outputs

    monkeypatch.setattr(model, "forward", louder)
    with pytest.raises(ModelError, match="LlamaForCausalLM makes logits of its layers' output in a way"):
        TransformersBackend(model, Tokenizer())


def test_a_model_with_a_layer_between_its_last_one_and_its_head_is_refused() -> None:
    """The hidden states that are read here come from before that layer."""
    config = transformers.AutoConfig.for_model(
        "modernbert-decoder", vocab_size=97, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    between = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in between.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    with pytest.raises(ModelError, match="ModernBertDecoderForCausalLM makes logits of its layers' output in a way"):
        TransformersBackend(between, Tokenizer())


def test_rows_that_would_change_each_others_frequencies_go_apart(build: Build) -> None:
    """LongRoPE: beyond its limit the longest row of a pass decides for all."""
    backend = TransformersBackend(build("phi3-longrope"), Tokenizer())
    rows = [EncodedSequence(tuple(3 + (7 * i + n) % 90 for i in range(n)), 2) for n in (20, 60, 20, 33, 34, 45)]
    together = backend.score(rows)
    for row, losses in zip(rows, together, strict=True):
        logits = backend.model(input_ids=torch.tensor([row.tokens[:-1]]), use_cache=False).logits[0]
        expected = torch.nn.functional.cross_entropy(logits[1:], torch.tensor(row.tokens[2:]), reduction="none")
        assert losses == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_window_that_only_the_mask_knows_is_left_to_transformers(build: Build) -> None:
    """The tree makes no mask: beyond the window it would see what the model does not."""
    backend = TransformersBackend(build("qwen2_moe-window"), Tokenizer())
    assert "prefix path" in backend.description
    tokens = tuple(3 + (7 * i) % 90 for i in range(60))
    logits = backend.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    expected = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(tokens[1:]), reduction="none")
    assert backend.score([EncodedSequence(tokens, 1)])[0] == pytest.approx(expected.tolist(), abs=1e-4)


def refuse_above_70_tokens(model: Any, monkeypatch: pytest.MonkeyPatch, error: RuntimeError) -> None:
    forward = model.model.forward

    def small(input_ids: Any, **options: Any) -> Any:
        if input_ids.numel() > 70:
            raise error
        return forward(input_ids=input_ids, **options)

    monkeypatch.setattr(model.model, "forward", small)


def test_out_of_memory_halves_the_budget_goes_on_and_says_so_once(
    build: Build, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = build("llama"), tree(1)
    backend = TransformersBackend(model, Tokenizer())
    expected = backend.score(rows)
    refuse_above_70_tokens(model, monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    backend._budget.tokens = 800
    with pytest.warns(RuntimeWarning, match="out of memory; going on with 400 tokens") as caught:
        scores = backend.score(rows)
    assert len([w for w in caught if "out of memory" in str(w.message)]) == 1
    assert backend._budget.tokens == 64
    for a, b in zip(scores, expected, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "CUDA error: out of memory",
        "Triton Error [CUDA]: out of memory",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa, opb, m, n, k`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "Expected mha_graph.execute(handle, variant_pack, workspace_ptr.get()).is_good() to be true, but got false.",
    ],
)
def test_libraries_that_find_a_full_gpu_are_tried_again_with_less(
    build: Build, tree: Tree, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    model, rows = build("llama"), tree(1)
    backend = TransformersBackend(model, Tokenizer())
    expected = backend.score(rows)
    refuse_above_70_tokens(model, monkeypatch, RuntimeError(words))
    backend._budget.tokens = 800
    with pytest.warns(RuntimeWarning, match="out of memory; going on"):
        scores = backend.score(rows)
    for a, b in zip(scores, expected, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_other_failures_are_not_taken_for_want_of_memory(
    build: Build, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("llama")
    backend = TransformersBackend(model, Tokenizer())

    def broken(**options: Any) -> Any:
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(model.model, "forward", broken)
    with pytest.raises(RuntimeError, match="illegal instruction"):
        backend.score(tree(1))


def save(model: Any, directory: Path) -> Path:
    from tokenizers import Tokenizer as Words
    from tokenizers.models import WordLevel

    model.save_pretrained(directory)
    words = Words(WordLevel({f"w{i}": i for i in range(97)}, unk_token="w0"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w2").save_pretrained(directory)
    return directory


def test_a_saved_model_scores_as_the_one_in_memory(build: Build, tree: Tree, tmp_path: Path) -> None:
    model, rows = build("qwen2"), tree(1)
    expected = TransformersBackend(model, Tokenizer()).score(rows)
    opened = open_directory(save(model, tmp_path), device="cpu", dtype="float32", threads=1)
    for a, b in zip(opened.score(rows), expected, strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    assert opened.context_length == 256


def save_body(directory: Path, *, tied: bool) -> Path:
    config = transformers.AutoConfig.for_model(
        "qwen2", vocab_size=97, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    return save(transformers.AutoModel.from_config(config), directory)


@pytest.mark.parametrize("tied", [True, False])
def test_an_embedding_model_is_refused_for_its_missing_head(tied: bool, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a Qwen2Model, which has no language-model head"):
        open_directory(save_body(tmp_path, tied=tied), device="cpu", dtype="float32", threads=1)


def test_weights_that_lack_the_head_are_refused_whatever_the_configuration_says(tmp_path: Path) -> None:
    configuration = save_body(tmp_path, tied=False) / "config.json"
    configuration.write_text(configuration.read_text().replace("Qwen2Model", "Qwen2ForCausalLM"))
    with pytest.raises(ModelError, match=r"does not hold all weights .*lm_head"):
        open_directory(tmp_path, device="cpu", dtype="float32", threads=1)


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("t5", vocab_size=97, d_model=16, d_ff=16, num_layers=1, num_heads=2)
    save(transformers.T5ForConditionalGeneration(config), tmp_path)
    with pytest.raises(ModelError, match="encoder-decoder"):
        open_directory(tmp_path, device="cpu", dtype="float32", threads=1)


def test_a_device_that_is_not_there_is_an_error_of_ours(build: Build, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(ModelError, match="on cuda"):
        open_directory(save(build("llama"), tmp_path), device="cuda", dtype="float32")
