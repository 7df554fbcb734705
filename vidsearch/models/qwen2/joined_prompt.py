"""A prompt through a decoder's joined layers: the numbers of `decoder.py` in a third of its operations.

A question about a clip that was looked at before is some twenty positions. On a GPU they take as long as starting their
operations does, so that few of them are what counts.

Axes: L new positions, K positions in the cache with the new ones, D width, h head width; one sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.decoder import CausalLanguageModel, causal_mask, rotary_embedding
from vidsearch.models.qwen2.joined_layers import JoinedLayer

_ROWS = 256  # positions that attend to a cache at once: their scores are heads · L · K values


def prompt_logits(
    network: CausalLanguageModel, layers: Sequence[JoinedLayer], embeddings: Tensor, cache: KeyValueCache
) -> Tensor:
    """(1, L, D) after the cache's positions → (V,) of the last one; the cache takes all of them in.

    `layers` are those of the network (`join_layers`). Without gradients.
    """
    config, norm = network.lm_config, network.model.norm.weight
    eps = config.rms_norm_eps
    length, past = embeddings.shape[1], cache.length
    attend = _Attention(config.num_attention_heads, config.num_key_value_heads, past, length, embeddings)
    cos, sin = rotary_embedding(config, past, length, embeddings)  # (L, h) each
    below, above = sin.chunk(2, dim=-1)
    sin = torch.cat((-below, above), dim=-1)  # the sign that the other half of a head gets
    x = embeddings[0].clone()  # products are added to it in place
    for number, layer in enumerate(layers):
        states = F.linear(_normed(x, layer.before_attention, eps), layer.qkv, layer.qkv_bias)
        parts = states.view(length, -1, config.head_dim).transpose(0, 1)  # (heads + 2·shared, L, h)
        turning, values = parts[: -attend.shared], parts[-attend.shared :]
        turned = torch.addcmul(turning * cos, turning.roll(config.head_dim // 2, -1), sin)
        known = cache.update(number, turned[attend.heads :].unsqueeze(0), values.unsqueeze(0))
        x.addmm_(attend(turned[: attend.heads], known[0][0], known[1][0]), layer.out.T)
        gate, up = F.linear(_normed(x, layer.before_mlp, eps), layer.gate_up).chunk(2, dim=-1)
        x.addmm_(F.silu(gate).mul_(up), layer.down.T)
    cache.advance(length)
    return network.head(_normed(x[-1:], norm, eps))[0]


class _Attention:
    """New positions over all of them, in groups of query heads that share keys and values."""

    def __init__(self, heads: int, shared: int, past: int, length: int, like: Tensor) -> None:
        self.heads, self.shared, self._past = heads, shared, past
        self._group = heads // shared
        if past:
            unseen = ~causal_mask(past, length, like.device)
            mask = torch.zeros(length, past + length, dtype=like.dtype, device=like.device)
            parts = torch.split(mask.masked_fill_(unseen, float("-inf")), _ROWS)
            self._masks = [part.repeat(self._group, 1) for part in parts]  # (group·L, K) each

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(heads, L, h) and (shared, K, h) → (L, heads·h)."""
        if not self._past:
            k, v = (known.repeat_interleave(self._group, dim=0).unsqueeze(0) for known in (k, v))
            mixed = F.scaled_dot_product_attention(q.unsqueeze(0), k, v, is_causal=True)[0]
            return mixed.transpose(0, 1).flatten(1)
        parts = zip(torch.split(q, _ROWS, dim=1), self._masks, strict=True)
        pieces = [self._over_cache(rows, mask, k, v) for rows, mask in parts]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _over_cache(self, q: Tensor, mask: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The heads of a group are rows of one product: keys and values are not copied."""
        heads, length, width = q.shape
        rows = q.reshape(self.shared, self._group * length, width)
        scores = torch.add(mask, rows @ k.mT, alpha=width**-0.5)
        mixed = torch.softmax(scores, dim=-1) @ v  # (shared, group·L, h)
        return mixed.view(heads, length, width).transpose(0, 1).flatten(1)


def _normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)
