"""The language model as a CPU runs it fastest: weights packed once, three products a layer where the network has six.

An answer costs one reading of all weights for every token; `linears.py` has the layouts that are read fastest, and
`benchmarks/ask.py` measures how fast that is. Between the products a token gives so little to compute that the number
of torch's operations is what counts: norms and rotations are written with few of them. Numbers are those of
`decoder.py`, up to rounding; tests/unit/models/qwen2 compares them.

Axes: L positions asked for, K positions in the cache and asked for, D width, h head width, V vocabulary; one sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.qwen2.decoder import causal_mask, rotary_embedding
from vidsearch.models.qwen2.linears import (
    Layout,
    PackedLinear,
    Product,
    WeightFormat,
    activation_dtype,
    pack_linear,
)

# Gives tensors of the model's file by their names; whoever gives them may let go of them afterwards.
ReadTensors = Callable[[Sequence[str]], Mapping[str, Tensor]]

Pack = Callable[..., PackedLinear]  # parts of a weight, and perhaps a bias → the product
Layouts = Mapping[Product, Layout]

_ROWS = 512  # of a long prompt go through an MLP at once: what is in memory between its products is ten times as wide


class PackedLanguageModel:
    """A decoder with its output head, for one sequence at a time. `bytes_read` is what one token reads of weights."""

    def __init__(
        self, config: LanguageModelConfig, read: ReadTensors, weights: WeightFormat, layouts: Layouts | None = None
    ) -> None:
        """Reads and packs layer by layer, so that no more than one layer is in memory twice.

        `layouts`: of the products, where they were measured (`measure_layouts.py`).
        """
        self.config = config
        self.dtype = activation_dtype(weights)
        pack = partial(_packed, weights=weights, layouts=layouts or {})
        self._layers = [_PackedLayer(config, number, read, pack) for number in range(config.num_hidden_layers)]
        head = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
        self._head = pack([read([head])[head]])
        self._norm = _twice(read(["model.norm.weight"])["model.norm.weight"])
        linears = [linear for layer in self._layers for linear in layer.linears]
        self.bytes_read = sum(linear.bytes for linear in [*linears, self._head])

    @torch.inference_mode()
    def __call__(self, embeddings: Tensor, cache: KeyValueCache) -> Tensor:
        """(1, L, D) after the cache's positions → (V,) logits of the last one; the cache takes all of them in."""
        length = embeddings.shape[1]
        x = embeddings[0].to(self.dtype)
        cos_sin = _signed(rotary_embedding(self.config, cache.length, length, x))
        mask = causal_mask(cache.length, length, x.device) if cache.length and length > 1 else None
        for number, layer in enumerate(self._layers):
            x = layer(x, cos_sin, mask, cache, last_only=number == len(self._layers) - 1)
        cache.advance(length)
        return self._head(_normed(x, self._norm, self.config.rms_norm_eps))[0].float()


class _PackedLayer:
    """One decoder layer: queries, keys and values from one product, gate and up from another."""

    def __init__(self, config: LanguageModelConfig, number: int, read: ReadTensors, pack: Pack) -> None:
        self.number = number
        self.config = config
        prefix = f"model.layers.{number}."
        attention = [f"self_attn.{name}_proj.{part}" for part in ("weight", "bias") for name in "qkv"]
        rest = ["self_attn.o_proj.weight", *(f"mlp.{name}_proj.weight" for name in ("gate", "up", "down"))]
        norms = ["input_layernorm.weight", "post_attention_layernorm.weight"]
        tensors = read([prefix + name for name in [*attention, *rest, *norms]])
        part = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        self.qkv = pack([part[name] for name in attention[:3]], torch.cat([part[name] for name in attention[3:]]))
        self.out = pack([part["self_attn.o_proj.weight"]])
        self.gate_up = pack([part["mlp.gate_proj.weight"], part["mlp.up_proj.weight"]])
        self.down = pack([part["mlp.down_proj.weight"]])
        self.before_attention, self.before_mlp = (_twice(part[name]) for name in norms)

    @property
    def linears(self) -> tuple[PackedLinear, ...]:
        """All products of the layer."""
        return self.qkv, self.out, self.gate_up, self.down

    def __call__(
        self, x: Tensor, cos_sin: tuple[Tensor, Tensor], mask: Tensor | None, cache: KeyValueCache, *, last_only: bool
    ) -> Tensor:
        """(L, D) → (L, D). `last_only`: (1, D), of the last position; nothing after needs the others."""
        c = self.config
        heads, shared = c.num_attention_heads, c.num_key_value_heads
        states = self.qkv(_normed(x, self.before_attention, c.rms_norm_eps))
        parts = states.view(1, len(x), -1, c.head_dim).transpose(1, 2)  # (1, heads of all three, L, h)
        rotating, v = torch.split(parts, [heads + shared, shared], dim=1)
        q, k = torch.split(_rotated(rotating, cos_sin), [heads, shared], dim=1)
        keys, values = cache.update(self.number, k, v)
        if last_only:
            x, q, mask = x[-1:], q[:, :, -1:], None
        x = x + self.out(self._attend(q, keys, values, mask))
        if len(x) <= _ROWS:
            return x + self._mlp(x)
        return torch.cat([rows + self._mlp(rows) for rows in torch.split(x, _ROWS)])

    def _mlp(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(_normed(x, self.before_mlp, self.config.rms_norm_eps)).chunk(2, dim=-1)
        return self.down(F.silu(gate).mul_(up))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Queries (1, heads, L, h) → (L, D): each head of keys and values serves a group of query heads."""
        group = self.config.num_attention_heads // self.config.num_key_value_heads
        if q.shape[2] == 1:  # the group's heads become rows of one product, and nothing is copied
            return F.scaled_dot_product_attention(q.reshape(1, -1, group, q.shape[3]), k, v).view(1, -1)
        k, v = (shared.repeat_interleave(group, dim=1) for shared in (k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return mixed[0].transpose(0, 1).flatten(1)


def products(config: LanguageModelConfig) -> list[Product]:
    """Every product of a token: those of a layer, and the head."""
    width, shared = config.hidden_size, config.num_key_value_heads * config.head_dim
    layer = [
        ((config.num_attention_heads * config.head_dim, shared, shared), width),
        ((width,), config.num_attention_heads * config.head_dim),
        ((config.intermediate_size, config.intermediate_size), width),
        ((width,), config.intermediate_size),
    ]
    return [*layer, ((config.vocab_size,), width)]


def _packed(
    parts: Sequence[Tensor], bias: Tensor | None = None, *, weights: WeightFormat, layouts: Layouts
) -> PackedLinear:
    return pack_linear(parts, bias, weights, layouts.get((tuple(map(len, parts)), parts[0].shape[1])))


def _normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm of (L, D), in float32 inside, as the layer norm of x beside −x: mean 0, and as variance the mean of x².

    torch has no RMS norm in one operation for a CPU.
    """
    width = x.shape[1]
    return F.layer_norm(torch.cat((x, -x), dim=1), (2 * width,), weight, None, eps)[:, :width]


def _twice(weight: Tensor) -> Tensor:
    """(D,) → (2·D,) float32, as `_normed` wants it."""
    return weight.float().repeat(2)


def _signed(cos_sin: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """cos and sin (L, h) → cos, and sin with the sign that the other half of a head gets."""
    cos, sin = cos_sin
    below, above = sin.chunk(2, dim=-1)
    return cos, torch.cat((-below, above), dim=-1)


def _rotated(x: Tensor, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
    """(1, heads, L, h): as `decoder.apply_rotary`, in three operations."""
    cos, sin = cos_sin
    return torch.addcmul(x * cos, x.roll(x.shape[3] // 2, -1), sin)
