"""The image tower: a CLIP vision transformer that gives patch features of every frame.

Source: Mobile-VideoGPT section 3 (image encoder); CLIP (arXiv 2103.00020); keys of the checkpoint
openai/clip-vit-base-patch16. The feature is the second-to-last hidden state without post layer norm, so the last block
and the post layer norm are in the state dict and are never run.

Axes: N pictures, P patches (row-major), D width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.clip_vit.config import ClipImageConfig
from vidsearch.models.deferred import DeferredModule


class ClipImageTower(DeferredModule):
    """Pictures → patch features. Keyword arguments are the fields of ClipImageConfig; keys start with vision_model."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = ClipImageConfig(**config)
        self.vision_model = _VisionTransformer(self.config)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised → (N, P, D): output of the last block but one, class token left out."""
        return self.hidden_state(pixels, self.config.num_hidden_layers - 1)[:, 1:]

    def hidden_state(self, pixels: Tensor, blocks: int) -> Tensor:
        """(N, 3, S, S) → (N, 1 + P, D), class token first, after the first `blocks` blocks (0: as embedded)."""
        network = self.vision_model
        x = network.pre_layrnorm(network.embeddings(pixels))
        for block in network.encoder.layers[:blocks]:
            x = block(x)
        return x


class _VisionTransformer(nn.Module):
    def __init__(self, config: ClipImageConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)  # the checkpoint's spelling
        self.encoder = _Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)


class _Encoder(nn.Module):
    def __init__(self, config: ClipImageConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))


class _Embeddings(nn.Module):
    def __init__(self, config: ClipImageConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.patch_embedding = nn.Conv2d(3, width, config.patch_size, config.patch_size, bias=False)
        self.position_embedding = nn.Embedding(1 + config.patches, width)
        nn.init.normal_(self.class_embedding, std=width**-0.5)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)  # (N, P, D)
        first = self.class_embedding.expand(len(patches), 1, -1)
        return torch.cat((first, patches), dim=1) + self.position_embedding.weight


class _Block(nn.Module):
    """Pre-norm transformer block; the MLP's activation is the sigmoid approximation of GELU."""

    def __init__(self, config: ClipImageConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.self_attn = _Attention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = _Mlp(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class _Attention(nn.Module):
    def __init__(self, config: ClipImageConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, 1 + P, D / heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self, config: ClipImageConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x)
        return self.fc2(hidden * torch.sigmoid(1.702 * hidden))
