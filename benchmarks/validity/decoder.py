"""A small Llama/Qwen2 decoder for the benchmark: many samples at once on one GPU, and many scored responses.

`transformers.generate` spends most of its time on Python and on copying the cache; the benchmark draws a hundred
thousand samples, so it runs its own loop: a fixed set of slots, each with its own key/value rows, filled again as soon
as an answer ends. The arithmetic is checked against `transformers` in tests/benchmarks and at the start of every run.

Shapes: b rows, t tokens, h query heads, g key/value heads, d head size, v vocabulary.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch.nn import functional

KeyValues = list[tuple[torch.Tensor, torch.Tensor]]  # one pair [b, g, t, d] per layer


@dataclass(frozen=True)
class Shape:
    """What config.json says of a Llama or Qwen2 model."""

    layers: int
    heads: int
    groups: int
    head_size: int
    epsilon: float
    theta: float
    tied: bool

    @classmethod
    def read(cls, directory: Path) -> Shape:
        config = json.loads((directory / "config.json").read_text())
        if config["model_type"] not in ("llama", "qwen2"):
            raise SystemExit(f"this decoder knows llama and qwen2, not {config['model_type']}")
        rope = config.get("rope_parameters") or {}
        if rope.get("rope_type", "default") != "default" or config.get("rope_scaling"):
            raise SystemExit("this decoder knows plain rotary embeddings only")
        heads = config["num_attention_heads"]
        return cls(
            config["num_hidden_layers"],
            heads,
            config["num_key_value_heads"],
            config.get("head_dim") or config["hidden_size"] // heads,
            config["rms_norm_eps"],
            rope.get("rope_theta") or config["rope_theta"],
            config.get("tie_word_embeddings", False),
        )


@dataclass(frozen=True)
class Layer:
    norm1: torch.Tensor
    qkv: torch.Tensor
    bias: torch.Tensor | None
    out: torch.Tensor
    norm2: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class Decoder:
    """The weights of one model on one device."""

    def __init__(self, directory: Path, device: str, dtype: torch.dtype) -> None:
        self.shape, self.device, self.dtype = Shape.read(directory), device, dtype
        tensors: dict[str, torch.Tensor] = {}
        for path in sorted(directory.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                tensors |= {name: file.get_tensor(name).to(device, dtype) for name in file.keys()}  # noqa: SIM118
        self.embedding = tensors["model.embed_tokens.weight"]
        self.head = self.embedding if self.shape.tied else tensors["lm_head.weight"]
        self.norm = tensors["model.norm.weight"]
        self.layers = [_layer(tensors, f"model.layers.{i}.") for i in range(self.shape.layers)]
        d = self.shape.head_size
        self.wide_product = _has_wide_product(device, dtype)
        self.frequencies = self.shape.theta ** (-torch.arange(0, d, 2, device=device, dtype=torch.float32) / d)

    def rotary(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine for positions [b, t]: each [b, 1, t, d]."""
        angles = positions.float()[..., None] * self.frequencies
        angles = torch.cat((angles, angles), -1)[:, None]
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)

    def project(
        self, layer: Layer, x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """Hidden states [b, t, m] → rotated query [b, h, t, d], rotated key and value [b, g, t, d]."""
        s, (b, t, _) = self.shape, x.shape
        packed = functional.linear(functional.rms_norm(x, x.shape[-1:], layer.norm1, s.epsilon), layer.qkv, layer.bias)
        packed = packed.view(b, t, s.heads + 2 * s.groups, s.head_size).transpose(1, 2)
        q, k, v = torch.split(packed, [s.heads, s.groups, s.groups], 1)
        return _rotate(q, rotary), _rotate(k, rotary), v

    def finish(self, layer: Layer, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Attention output [b, h, t, d] → the next hidden states."""
        b, t, _ = x.shape
        x = x + functional.linear(attended.transpose(1, 2).reshape(b, t, -1), layer.out)
        gate, up = functional.linear(
            functional.rms_norm(x, x.shape[-1:], layer.norm2, self.shape.epsilon), layer.gate_up
        ).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, layer.down)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Hidden states [n, m] → fp32 logits [n, v]; where the device can, the product of bf16 is kept in fp32."""
        x = functional.rms_norm(x, x.shape[-1:], self.norm, self.shape.epsilon)
        if self.wide_product:
            return torch.mm(x, self.head.T, out_dtype=torch.float32)
        return functional.linear(x, self.head).float()

    def prefill(self, tokens: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, KeyValues]:
        """Right-padded rows [b, t] → hidden state of each row's last token [b, m], and keys and values."""
        x = functional.embedding(tokens, self.embedding)
        rotary = self.rotary(torch.arange(tokens.shape[1], device=self.device)[None])
        cache: KeyValues = []
        for layer in self.layers:
            q, k, v = self.project(layer, x, rotary)
            cache.append((k, v))
            x = self.finish(layer, x, functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))
        return x[torch.arange(len(x), device=self.device), lengths - 1], cache

    def score(self, tokens: torch.Tensor, prefix: KeyValues, rows: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Hidden states [b, t, m] of right-padded continuations, each after row ``rows[i]`` of a prefix.

        ``lengths`` [b] are the true lengths of those prefix rows.
        """
        b, t = tokens.shape
        start = prefix[0][0].shape[2]
        own = torch.ones(t, t, dtype=torch.bool, device=self.device).tril()
        before = torch.arange(start, device=self.device)[None] < lengths[:, None]
        mask = torch.cat((before[:, None, :].expand(b, t, start), own.expand(b, t, t)), -1)[:, None]
        rotary = self.rotary(lengths[:, None] + torch.arange(t, device=self.device)[None])
        x = functional.embedding(tokens, self.embedding)
        repeat = self.shape.heads // self.shape.groups
        for layer, (past_k, past_v) in zip(self.layers, prefix, strict=True):
            q, k, v = self.project(layer, x, rotary)
            k, v = torch.cat((past_k[rows], k), 2), torch.cat((past_v[rows], v), 2)
            # heads of a group become rows of one query, so that no key is copied: [b, g, r·t, d]
            q = q.reshape(b, self.shape.groups, repeat * t, -1)
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask.repeat(1, 1, repeat, 1))
            x = self.finish(layer, x, mixed.reshape(b, self.shape.heads, t, -1))
        return x


class Slots:
    """Key/value rows of answers being written, each at its own length."""

    def __init__(self, decoder: Decoder, slots: int, length: int) -> None:
        s = decoder.shape
        size = (slots, s.groups, length, s.head_size)

        def make() -> torch.Tensor:
            return torch.zeros(size, dtype=decoder.dtype, device=decoder.device)

        self.decoder, self.length = decoder, length
        self.cache: KeyValues = [(make(), make()) for _ in range(s.layers)]

    def fill(self, slots: torch.Tensor, prefix: KeyValues, rows: torch.Tensor) -> None:
        """Copy prefix rows into slots."""
        for (k, v), (new_k, new_v) in zip(self.cache, prefix, strict=True):
            t = new_k.shape[2]
            k[slots, :, :t], v[slots, :, :t] = new_k[rows], new_v[rows]

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, longest: int) -> torch.Tensor:
        """One token per slot at its position, attending to all before it → hidden states [b, m]."""
        decoder, s = self.decoder, self.decoder.shape
        b, rows = len(tokens), torch.arange(len(tokens), device=tokens.device)
        width = min(self.length, math.ceil(longest / 8) * 8)
        mask = (torch.arange(width, device=tokens.device)[None] <= positions[:, None])[:, None, None]
        mask = mask.expand(b, 1, s.heads // s.groups, width)
        rotary = decoder.rotary(positions[:, None])
        x = functional.embedding(tokens[:, None], decoder.embedding)
        for layer, (k, v) in zip(decoder.layers, self.cache, strict=True):
            q, new_k, new_v = decoder.project(layer, x, rotary)
            k[rows, :, positions], v[rows, :, positions] = new_k[:, :, 0], new_v[:, :, 0]
            q = q.reshape(b, s.groups, s.heads // s.groups, -1)
            mixed = functional.scaled_dot_product_attention(q, k[:, :, :width], v[:, :, :width], attn_mask=mask)
            x = decoder.finish(layer, x, mixed.reshape(b, s.heads, 1, -1))
        return x[:, 0]


def _has_wide_product(device: str, dtype: torch.dtype) -> bool:
    """Whether a product of this dtype can come out in fp32: bf16 logits are rounded by up to 0.1 nats."""
    if dtype == torch.float32:
        return False
    a = torch.ones(16, 16, device=device, dtype=dtype)
    try:
        return torch.mm(a, a.T, out_dtype=torch.float32).dtype == torch.float32
    except (RuntimeError, TypeError, NotImplementedError):
        return False


def _rotate(x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    cosine, sine = rotary
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat((-second, first), -1) * sine


def _layer(tensors: dict[str, torch.Tensor], prefix: str) -> Layer:
    def get(name: str) -> torch.Tensor:
        return tensors[prefix + name]

    attention = [f"self_attn.{name}_proj" for name in "qkv"]
    biased = prefix + attention[0] + ".bias" in tensors
    return Layer(
        get("input_layernorm.weight"),
        torch.cat([get(name + ".weight") for name in attention]),
        torch.cat([get(name + ".bias") for name in attention]) if biased else None,
        get("self_attn.o_proj.weight"),
        get("post_attention_layernorm.weight"),
        torch.cat((get("mlp.gate_proj.weight"), get("mlp.up_proj.weight"))),
        get("mlp.down_proj.weight"),
    )
