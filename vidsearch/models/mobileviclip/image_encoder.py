"""MCi: pictures, or the frames of clips, → one vector each; training form.

MobileCLIP (arXiv 2311.17049), section "architecture"; with a TemporalConfig the video encoder of MobileViCLIP (arXiv
2508.07312). Frames of clips stand in the batch axis: (B·T, C, H, W). Attribute names are Apple's.
"""

from __future__ import annotations

from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.mobileviclip.blocks import (
    ConvFFN,
    ConvNorm,
    MobileOneBlock,
    PatchSqueezeExcite,
    RepMixerBlock,
    layer_scale_parameter,
)
from vidsearch.models.mobileviclip.config import ImageConfig, TemporalConfig
from vidsearch.models.mobileviclip.temporal import TemporalMixer, add_temporal_embedding, temporal_embedding


class LargeKernelPatch(nn.Module):
    """Halves the side: a large and a 3 × 3 strided convolution summed, channel gates where asked for, GELU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gates: bool) -> None:
        super().__init__()
        groups = gcd(inputs, outputs)  # = inputs where the width doubles: each channel feeds two
        self.lkb_origin = ConvNorm(inputs, outputs, (kernel, kernel), 2, groups)
        self.small_conv = ConvNorm(inputs, outputs, (3, 3), 2, groups)
        self.se = PatchSqueezeExcite(outputs) if gates else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) → (B, out, H/2, W/2)."""
        return F.gelu(self.se(self.lkb_origin(x) + self.small_conv(x)))


class Downsample(nn.Module):
    """Between two stages: the large-kernel step, then a 1 × 1 MobileOne block; keys `proj.0`, `proj.1`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gates: bool) -> None:
        super().__init__()
        patch = LargeKernelPatch(inputs, outputs, kernel, gates)
        self.proj = nn.Sequential(patch, MobileOneBlock(outputs, outputs, (1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class PositionEncoding(nn.Module):
    """x + pe(x), a depthwise convolution (CPE); with a TPE after or before that convolution.

    after: pe(x) + x + TPE; before: pe(x + TPE) + x + TPE. `tpe` is None, "after" or "before".
    """

    def __init__(self, channels: int, kernel: int, frames: int, tpe: str | None) -> None:
        super().__init__()
        self.pe = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.tpe = tpe
        self.temporal_embedding = None if tpe is None else temporal_embedding(channels, frames)

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape."""
        if self.temporal_embedding is None:
            return x + self.pe(x)
        if self.tpe == "before":
            x = add_temporal_embedding(x, self.temporal_embedding)
            return x + self.pe(x)
        return add_temporal_embedding(x + self.pe(x), self.temporal_embedding)


class Attention(nn.Module):
    """Self-attention over the positions of one frame, or over those of all `frames` of a clip together."""

    def __init__(self, channels: int, head_dim: int, frames: int) -> None:
        super().__init__()
        self.head_dim, self.frames = head_dim, frames
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)  # rows (q | k | v), each (heads, head_dim)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape; `frames` is T for joint attention, 1 for each frame on its own."""
        tokens = to_tokens(x, self.frames)  # (B, T·H·W, C)
        q, k, v = self.qkv(tokens).unflatten(2, (3, -1, self.head_dim)).permute(2, 0, 3, 1, 4)  # each (B, heads, N, d)
        mixed = F.scaled_dot_product_attention(q, k, v)  # scale d^-0.5
        return from_tokens(self.proj(mixed.transpose(1, 2).flatten(2)), x)


def to_tokens(x: Tensor, frames: int) -> Tensor:
    """(B·T, C, H, W) → (B, T·H·W, C)."""
    return torch.unflatten(x.flatten(2), 0, (-1, frames)).transpose(2, 3).flatten(1, 2)


def from_tokens(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, T·H·W, C) → the shape (B·T, C, H, W) of `like`."""
    height, width = like.shape[2:]
    return tokens.reshape(like.shape[0], height, width, -1).permute(0, 3, 1, 2)


class AttentionBlock(nn.Module):
    """One block of the last stage: attention, then ConvFFN, each behind its layer scale.

    With `own_tpe` the block adds a temporal position encoding of its own to its input.
    """

    def __init__(self, config: ImageConfig, temporal: TemporalConfig | None, own_tpe: bool) -> None:
        super().__init__()
        channels = config.widths[3]
        frames = temporal.frames if temporal is not None and temporal.joint_attention else 1
        self.temporal_embedding = temporal_embedding(channels, temporal.frames) if temporal and own_tpe else None
        self.norm = nn.BatchNorm2d(channels)
        self.token_mixer = Attention(channels, config.head_dim, frames)
        self.convffn = ConvFFN(channels, channels * config.mlp_ratio, (config.ffn_kernel, config.ffn_kernel))
        self.layer_scale_1 = layer_scale_parameter(channels, config.layer_scale)
        self.layer_scale_2 = layer_scale_parameter(channels, config.layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape."""
        if self.temporal_embedding is not None:
            x = add_temporal_embedding(x, self.temporal_embedding)
        x = x + self.layer_scale_1.to(x.dtype) * self.token_mixer(self.norm(x))
        return x + self.layer_scale_2.to(x.dtype) * self.convffn(x)


class Head(nn.Module):
    """Mean over H and W, then one linear map into the shared space."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Parameter(torch.empty(channels, embed_dim))
        nn.init.normal_(self.proj, std=channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, E)."""
        return x.mean((2, 3)) @ self.proj


class ImageEncoder(nn.Module):
    """(B, 3, H, W) normalised → (B, E), not of unit length. Sides are multiples of `config.reduction`.

    With `temporal` the batch is that of clips, frame after frame: (B·T, 3, H, W) → (B·T, E).
    """

    def __init__(self, config: ImageConfig, embed_dim: int, temporal: TemporalConfig | None = None) -> None:
        super().__init__()
        c0, c1, c2, c3 = config.widths
        gates = config.downsample_se
        self.patch_embed = stem(config)
        self.network = nn.ModuleList(
            [
                mixer_stage(config, 0, temporal),  # side / 4
                Downsample(c0, c1, config.patch_kernel, gates[0]),
                mixer_stage(config, 1, temporal),  # side / 8
                Downsample(c1, c2, config.patch_kernel, gates[1]),
                mixer_stage(config, 2, temporal),  # side / 16
                Downsample(c2, c3, config.patch_kernel, gates[2]),
                position_encoding(config, temporal),  # side / 32
                attention_stage(config, temporal),
            ]
        )
        wide = c3 * config.expansion
        self.conv_exp = MobileOneBlock(c3, wide, (3, 3), groups=c3, gates=True)
        self.head = Head(wide, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for part in self.network:
            x = part(x)
        return self.head(self.conv_exp(x))


def stem(config: ImageConfig) -> nn.Sequential:
    """(B, 3, H, W) → (B, C0, H/4, W/4)."""
    width = config.widths[0]
    first, second = config.stem_strides
    return nn.Sequential(
        MobileOneBlock(3, width, (3, 3), first),
        MobileOneBlock(width, width, (3, 3), second, groups=width),
        MobileOneBlock(width, width, (1, 1)),
    )


def mixer_stage(config: ImageConfig, stage: int, temporal: TemporalConfig | None) -> nn.Sequential:
    return nn.Sequential(*(mixer_block(config, stage, temporal) for _ in range(config.depths[stage])))


def mixer_block(config: ImageConfig, stage: int, temporal: TemporalConfig | None) -> RepMixerBlock:
    channels = config.widths[stage]
    over_time = None
    if temporal is not None and temporal.repmixer:
        over_time = TemporalMixer(channels, temporal.frames, temporal.kernel, temporal.conv_bias)
    return RepMixerBlock(
        channels,
        channels * config.mlp_ratio,
        (config.mixer_kernel, config.mixer_kernel),
        (config.ffn_kernel, config.ffn_kernel),
        config.layer_scale,
        over_time,
    )


def position_encoding(config: ImageConfig, temporal: TemporalConfig | None) -> PositionEncoding:
    shared = temporal is not None and temporal.tpe and temporal.tpe_place != "block"
    place, frames = (temporal.tpe_place, temporal.frames) if temporal is not None and shared else (None, 1)
    return PositionEncoding(config.widths[3], config.patch_kernel, frames, place)


def attention_stage(config: ImageConfig, temporal: TemporalConfig | None) -> nn.Sequential:
    own_tpe = temporal is not None and temporal.tpe and temporal.tpe_place == "block"
    return nn.Sequential(*(AttentionBlock(config, temporal, own_tpe) for _ in range(config.depths[3])))
