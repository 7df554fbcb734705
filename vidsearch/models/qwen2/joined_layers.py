"""A decoder's weights with the products that read the same input joined into one, without a second copy of them.

Axes: D width, h head width, I inner width of the MLP; heads of queries, fewer of keys and values ("shared").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidsearch.models.qwen2.decoder import CausalLanguageModel


@dataclass(frozen=True, slots=True)
class JoinedLayer:
    """The tensors of one decoder layer; a weight is (outputs, inputs)."""

    qkv: Tensor  # ((heads + 2·shared)·h, D): queries, keys, values
    qkv_bias: Tensor
    out: Tensor  # (D, heads·h)
    gate_up: Tensor  # (2·I, D): gates first
    down: Tensor  # (D, I)
    before_attention: Tensor  # (D,) of the norms
    before_mlp: Tensor


def join_layers(network: CausalLanguageModel) -> list[JoinedLayer]:
    """The layers of a network, which from now on has views of the joined tensors as its parameters."""
    return [_joined(layer) for layer in network.model.layers]


def _joined(layer: Any) -> JoinedLayer:
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    return JoinedLayer(
        qkv=_one(projections, "weight"),
        qkv_bias=_one(projections, "bias"),
        out=attention.o_proj.weight.detach(),
        gate_up=_one([mlp.gate_proj, mlp.up_proj], "weight"),
        down=mlp.down_proj.weight.detach(),
        before_attention=layer.input_layernorm.weight.detach(),
        before_mlp=layer.post_attention_layernorm.weight.detach(),
    )


def _one(linears: list[nn.Linear], name: str) -> Tensor:
    """The parameters of that name in one tensor, and each of them a view of it."""
    parts = [getattr(linear, name).detach() for linear in linears]
    joined = torch.cat(parts)
    for linear, view in zip(linears, torch.split(joined, [len(part) for part in parts]), strict=True):
        getattr(linear, name).data = view
    return joined
