"""Token ids → one vector a text; training form.

MobileCLIP (arXiv 2311.17049): a transformer without mask, between two convolution blocks in the small size ("mct").
Attribute names are Apple's. Every position sees every other one, padding included: rows are always run at full length.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.mobileviclip.blocks import RepMixerBlock
from vidsearch.models.mobileviclip.config import CONTEXT, END_TOKEN, VOCABULARY, TextConfig


class WideLayerNorm(nn.LayerNorm):
    """Layer norm in at least float32, back to the input's dtype: a half-precision model keeps its accuracy."""

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        return F.layer_norm(x.to(wide), self.normalized_shape, self.weight.to(wide), self.bias.to(wide), self.eps).to(
            x.dtype
        )


class TextAttention(nn.Module):
    """Self-attention over all tokens, no mask."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = nn.Linear(width, 3 * width)  # rows (q | k | v), each (heads, width / heads)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) → the same shape."""
        q, k, v = self.qkv_proj(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, heads, L, d)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Pre-norm layer. The two parts are sequences because their places are the checkpoint's names."""

    def __init__(self, width: int, heads: int, ffn_width: int) -> None:
        super().__init__()
        self.pre_norm_mha = nn.Sequential(WideLayerNorm(width), TextAttention(width, heads))
        self.pre_norm_ffn = nn.Sequential(
            WideLayerNorm(width),
            nn.Linear(width, ffn_width),
            nn.GELU(),
            nn.Identity(),  # dropout in Apple's code, always 0
            nn.Linear(ffn_width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) → the same shape."""
        x = x + self.pre_norm_mha(x)
        return x + self.pre_norm_ffn(x)


class TokenConvBlock(RepMixerBlock):
    """A RepMixer block over tokens: the text as a picture of one row."""

    def __init__(self, config: TextConfig) -> None:
        kernel = (1, config.conv_kernel)
        super().__init__(config.width, config.ffn_width, kernel, kernel, config.layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) → the same shape."""
        picture = x.transpose(1, 2).unsqueeze(2)  # (B, width, 1, L)
        return super().forward(picture).squeeze(2).transpose(1, 2)


class _PositionTable(nn.Module):
    """One level of `positional_embedding.pos_embed.pos_embed` (1, 1, L, width)."""

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.empty(1, 1, context, width))
        nn.init.normal_(self.pos_embed, std=width**-0.5)


class PositionalEmbedding(nn.Module):
    """The learned position table, added to the tokens."""

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.pos_embed = _PositionTable(context, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) → the same shape."""
        return x + self.pos_embed.pos_embed[0].to(x.dtype)


class TextEncoder(nn.Module):
    """(B, 77) token ids → (B, E), not of unit length.

    A pruned word table (`config.pruned`) has the buffer `embedding_row` (49408,): token id → row of the table, 0 for
    words left out. It starts with all zeros; whoever prunes sets it.
    """

    embedding_row: Tensor

    def __init__(self, config: TextConfig, embed_dim: int) -> None:
        super().__init__()
        self.context = config.context
        self.pruned = config.pruned
        self.embedding_layer = nn.Embedding(config.vocabulary_rows, config.width)
        nn.init.normal_(self.embedding_layer.weight, std=config.width**-0.5)
        if self.pruned:
            self.register_buffer("embedding_row", torch.zeros(VOCABULARY, dtype=torch.int64))
        self.positional_embedding = PositionalEmbedding(config.context, config.width)
        self.transformer = nn.ModuleList(
            [
                *(TokenConvBlock(config) for _ in range(config.conv_blocks)),
                *(TransformerLayer(config.width, config.heads, config.ffn_width) for _ in range(config.layers)),
                *(TokenConvBlock(config) for _ in range(config.conv_blocks)),
            ]
        )
        self.final_layer_norm = WideLayerNorm(config.width)
        self.projection_layer = nn.Parameter(torch.empty(config.width, embed_dim))
        nn.init.normal_(self.projection_layer, std=config.width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, 77) int64 → (B, E): the hidden state at the first of the largest ids, which is the end token."""
        ids = cut(ids, self.context)
        x = self.embedding_layer(self.embedding_row[ids] if self.pruned else ids)  # (B, L, width)
        x = self.positional_embedding(x)
        for layer in self.transformer:
            x = layer(x)
        x = self.final_layer_norm(x)
        end = ids.argmax(1)[:, None, None].expand(-1, 1, x.shape[2])
        return x.gather(1, end)[:, 0] @ self.projection_layer


def cut(ids: Tensor, context: int) -> Tensor:
    """(B, 77) → (B, context): the first tokens; a row that is longer ends with the end token, as the tokenizer's do."""
    if context == CONTEXT:
        return ids
    end = ids.argmax(1, keepdim=True)
    last = torch.where(end >= context, END_TOKEN, ids[:, context - 1 : context])
    return torch.cat([ids[:, : context - 1], last], 1)
