"""Writing into a cache of fixed size: the same tokens as transformers' own loop, on every architecture it serves."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the model libraries are not installed")
transformers = pytest.importorskip("transformers", reason="the model libraries are not installed")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from pytest_pmpo.scoring.backends.decoding import CHECK_EVERY, Decoder  # noqa: E402
from pytest_pmpo.scoring.backends.head import TargetHead  # noqa: E402
from pytest_pmpo.scoring.backends.transformers import TransformersBackend  # noqa: E402

SERVED = ("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "mistral", "gpt2", "opt", "mixtral", "qwen2_moe")
NOT_SERVED = ("bloom", "falcon", "mamba")
MOST = 3 * CHECK_EVERY + 3


def _contexts(seed: int) -> list[tuple[int, ...]]:
    """Of several lengths, longer than the small models' windows, one of them twice."""
    rng = random.Random(seed)
    contexts = [tuple(rng.randrange(3, 97) for _ in range(n)) for n in (1, 5, 14, 23)]
    return [*contexts, contexts[2]]


def _likeliest(logits: Any) -> Any:
    return logits.argmax(dim=-1)


def _transformers(model: Any, context: tuple[int, ...], end: int | None) -> tuple[int, ...]:
    """The greedy answer of transformers' own loop, alone in its batch; what follows the end is not part of it."""
    ids = torch.tensor([context])
    with torch.inference_mode():
        written = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=MOST,
            pad_token_id=0, eos_token_id=end,
        )  # fmt: skip
    return tuple(written[0, len(context) :].tolist())


@pytest.mark.parametrize("name", SERVED)
def test_greedy_answers_are_those_of_transformers(build: Callable[[str], Any], name: str) -> None:
    model = build(name)
    model.generation_config.eos_token_id = None
    before = model.config._attn_implementation
    with torch.inference_mode():
        written = Decoder(model, TargetHead(model)).write(_contexts(0), _likeliest, None, MOST)
    assert model.config._attn_implementation == before
    assert written == [_transformers(model, context, None) for context in _contexts(0)]
    assert {len(answer) for answer in written} == {MOST}


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_rows_that_end_leave_the_batch_and_the_others_go_on_as_before(build: Callable[[str], Any], name: str) -> None:
    """Any token may be the end: whichever is chosen, answers are the endless ones, cut behind it."""
    model = build(name)
    decoder, contexts = Decoder(model, TargetHead(model)), _contexts(1)
    with torch.inference_mode():
        endless = decoder.write(contexts, _likeliest, None, MOST)
        lengths = set()
        for end in sorted({token for answer in endless for token in answer}):
            written = decoder.write(contexts, _likeliest, end, MOST)
            expected = [a[: a.index(end) + 1] if end in a else a for a in endless]
            assert written == expected
            lengths.add(tuple(sorted(map(len, written))))
    assert any(first[0] < CHECK_EVERY and first[-1] == MOST for first in lengths)  # some ended long before others


@pytest.mark.parametrize("name", SERVED)
def test_every_served_model_passes_the_trial(build: Callable[[str], Any], name: str) -> None:
    assert TransformersBackend(build(name), None)._decoder is not None


LOOKS = ("is_nonzero", "item", "_local_scalar_dense", "nonzero", "unique_consecutive", "_unique2")


class Unseen(TorchDispatchMode):
    """Refuses what makes a program wait for its device: a number of a tensor, or a shape that hangs on numbers."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert function.overloadpacket.__name__ not in LOOKS, function
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [n for n in SERVED if n not in ("mixtral", "qwen2_moe")])
def test_a_step_never_looks_at_its_numbers(build: Callable[[str], Any], name: str) -> None:
    """Or it could not be recorded. (Experts are chosen by looking; those models take eager steps.)"""
    model = build(name)
    decoder, seen = Decoder(model, TargetHead(model)), []
    step = decoder._step

    def watched(*arguments: Any) -> Any:
        with Unseen():
            seen.append(step(*arguments))
        return seen[-1]

    decoder._step = watched  # type: ignore[method-assign]
    with torch.inference_mode():
        decoder.write(_contexts(0), _likeliest, None, 4)
    assert len(seen) == 3


@pytest.mark.parametrize("name", NOT_SERVED)
def test_other_models_are_left_to_transformers(build: Callable[[str], Any], name: str) -> None:
    assert TransformersBackend(build(name), None)._decoder is None


def test_a_decoder_whose_steps_give_other_losses_is_not_used(
    build: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a model would do it whose attention knows positions by other means than those it is given."""
    step = Decoder._step

    def forgetful(self: Decoder, cache: Any, tokens: Any, visible: int) -> Any:
        cache.positions -= 1
        try:
            return step(self, cache, tokens, visible)
        finally:
            cache.positions += 1

    monkeypatch.setattr(Decoder, "_step", forgetful)
    assert TransformersBackend(build("llama"), None)._decoder is None


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "mixtral"])
def test_losses_of_steps_are_those_of_scoring(build: Callable[[str], Any], name: str) -> None:
    model, rng = build(name), random.Random(3)
    contexts = _contexts(2)
    targets = [tuple(rng.randrange(97) for _ in range(MOST)) for _ in contexts]
    with torch.inference_mode():
        stepped = Decoder(model, TargetHead(model)).losses(contexts, targets)
        for context, target, row in zip(contexts, targets, stepped, strict=True):
            logits = model(input_ids=torch.tensor([context + target]), use_cache=False).logits[0].float()
            expected = torch.nn.functional.cross_entropy(
                logits[len(context) - 1 : -1], torch.tensor(target), reduction="none"
            )
            assert torch.allclose(row, expected, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: a step is recorded as a CUDA graph only there")
def test_a_recorded_step_writes_what_an_eager_one_writes(build: Callable[[str], Any]) -> None:
    model = build("llama").to("cuda")
    recorded, eager = Decoder(model, TargetHead(model)), Decoder(model, TargetHead(model))
    eager._recorder = None
    with torch.inference_mode():
        assert recorded.write(_contexts(4), _likeliest, 5, MOST) == eager.write(_contexts(4), _likeliest, 5, MOST)
    assert recorded._recorder is not None
