"""The language model as a CPU runs it fastest: weights packed once, three products a layer where the network has six.

An answer costs one reading of all weights for every token, so what counts is how near that comes to the speed of
memory. oneDNN's blocked layout reads bfloat16 weights two to four times as fast as the plain one in a product with one
row, and is no slower with thousands; `benchmarks/ask.py` measures it. Numbers are those of `language_model.py`, up to
rounding; tests/unit/models/mobilevideogpt compares them.

Axes: L positions asked for, K positions in the cache and asked for, D width, h head width, V vocabulary; one sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vidsearch.models.mobilevideogpt.config import LanguageModelConfig
from vidsearch.models.mobilevideogpt.language_model import KeyValueCache, causal_mask, rotated, rotations

Weights = Literal["float32", "bfloat16", "int8"]
# Gives tensors of the model's file by their names; whoever gives them may let go of them afterwards.
ReadTensors = Callable[[Sequence[str]], Mapping[str, Tensor]]

_FEW_ROWS = 8  # from here on int8 weights are unpacked: the product with them is made for a row or two


class PackedLanguageModel:
    """A decoder with its output head, for one sequence at a time. `bytes_read` is what one token reads of weights."""

    def __init__(self, config: LanguageModelConfig, read: ReadTensors, weights: Weights) -> None:
        """Reads and packs layer by layer, so that no more than one layer is in memory twice."""
        self.config = config
        self.dtype = torch.float32 if weights == "float32" else torch.bfloat16
        self._layers = [_PackedLayer(config, number, read, weights) for number in range(config.num_hidden_layers)]
        head = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
        self._head = _packed(read([head])[head], None, weights)
        self._norm = read(["model.norm.weight"])["model.norm.weight"].to(self.dtype, copy=True)
        linears = [linear for layer in self._layers for linear in layer.linears]
        self.bytes_read = sum(linear.bytes for linear in [*linears, self._head])

    @torch.inference_mode()
    def __call__(self, embeddings: Tensor, cache: KeyValueCache) -> Tensor:
        """(1, L, D) after the cache's positions → (V,) logits of the last one; the cache takes all of them in."""
        length = embeddings.shape[1]
        x = embeddings[0].to(self.dtype)
        turns = rotations(self.config, cache.length, length, x)
        mask = causal_mask(cache.length, length, x.device) if cache.length and length > 1 else None
        for number, layer in enumerate(self._layers):
            x = layer(x, turns, mask, cache, last_only=number == len(self._layers) - 1)
        cache.advance(length)
        return self._head(_normed(x, self._norm, self.config.rms_norm_eps))[0].float()


class _PackedLayer:
    """One decoder layer: queries, keys and values from one product, gate and up from another."""

    def __init__(self, config: LanguageModelConfig, number: int, read: ReadTensors, weights: Weights) -> None:
        self.number = number
        self.config = config
        prefix = f"model.layers.{number}."
        attention = [f"self_attn.{name}_proj.{part}" for part in ("weight", "bias") for name in "qkv"]
        rest = ["self_attn.o_proj.weight", *(f"mlp.{name}_proj.weight" for name in ("gate", "up", "down"))]
        norms = ["input_layernorm.weight", "post_attention_layernorm.weight"]
        tensors = read([prefix + name for name in [*attention, *rest, *norms]])
        part = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        self.qkv = _packed(
            torch.cat([part[name] for name in attention[:3]]),
            torch.cat([part[name] for name in attention[3:]]),
            weights,
        )
        self.out = _packed(part["self_attn.o_proj.weight"], None, weights)
        self.gate_up = _packed(torch.cat((part["mlp.gate_proj.weight"], part["mlp.up_proj.weight"])), None, weights)
        self.down = _packed(part["mlp.down_proj.weight"], None, weights)
        dtype = torch.float32 if weights == "float32" else torch.bfloat16
        self.before_attention, self.before_mlp = (part[name].to(dtype, copy=True) for name in norms)

    @property
    def linears(self) -> tuple[_Linear, ...]:
        """All products of the layer."""
        return self.qkv, self.out, self.gate_up, self.down

    def __call__(
        self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor | None, cache: KeyValueCache, *, last_only: bool
    ) -> Tensor:
        """(L, D) → (L, D). `last_only`: (1, D), of the last position; nothing after needs the others."""
        c = self.config
        heads, shared = c.num_attention_heads, c.num_key_value_heads
        states = self.qkv(_normed(x, self.before_attention, c.rms_norm_eps))
        parts = states.view(1, len(x), -1, c.head_dim).transpose(1, 2)  # (1, heads of all three, L, h)
        q, k, v = torch.split(parts, [heads, shared, shared], dim=1)
        keys, values = cache.extended(self.number, rotated(k, turns), v)
        if last_only:
            x, q, turns, mask = x[-1:], q[:, :, -1:], (turns[0][-1:], turns[1][-1:]), None
        mixed = self._attend(rotated(q, turns), keys, values, mask)  # (1, heads, L, h)
        x = x + self.out(mixed.transpose(1, 2).flatten(2)[0])
        gate, up = self.gate_up(_normed(x, self.before_mlp, c.rms_norm_eps)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate).mul_(up))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """(1, heads, L, h): each head of keys and values serves a group of query heads."""
        group = self.config.num_attention_heads // self.config.num_key_value_heads
        if q.shape[2] == 1:  # the group's heads become rows of one product, and nothing is copied
            return F.scaled_dot_product_attention(q.view(1, -1, group, q.shape[3]), k, v).flatten(1, 2).unsqueeze(2)
        k, v = (shared.repeat_interleave(group, dim=1) for shared in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


class _Linear:
    """x → x Wᵀ + b. `bytes` is the size of the weights."""

    bytes: int

    def __call__(self, x: Tensor) -> Tensor:
        """(L, in) → (L, out)."""
        raise NotImplementedError


class _PlainLinear(_Linear):
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight.clone(), bias
        self.bytes = weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class _BlockedLinear(_Linear):
    """The weight in the layout that oneDNN wants, made once."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
        self.bias = bias
        self.bytes = weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product


class _Int8Linear(_Linear):
    """Weights rounded to 8 bits, with one scale for each output; activations stay bfloat16."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        wide = weight.float()
        scales = wide.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 127
        self.weight = (wide / scales[:, None]).round().to(torch.int8)
        self.scales = scales.to(torch.bfloat16)
        self.bias = bias
        self.bytes = self.weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) > _FEW_ROWS:
            return F.linear(x, self.weight.to(x.dtype) * self.scales[:, None], self.bias)
        product = torch._weight_int8pack_mm(x.contiguous(), self.weight, self.scales)
        return product if self.bias is None else product + self.bias


def _packed(weight: Tensor, bias: Tensor | None, weights: Weights) -> _Linear:
    if weights == "int8":
        return _Int8Linear(weight, None if bias is None else bias.to(torch.bfloat16))
    dtype = torch.float32 if weights == "float32" else torch.bfloat16
    kind = _BlockedLinear if blocks_pay(dtype) else _PlainLinear
    return kind(weight.to(dtype), None if bias is None else bias.to(dtype))


def blocks_pay(dtype: torch.dtype) -> bool:
    """Whether this torch has oneDNN, and oneDNN runs this precision on this processor."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    if not there or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    return dtype is torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm, the mean square in float32."""
    return F.rms_norm(x.float(), x.shape[-1:], None, eps).to(x.dtype) * weight
